"""The timed loop: warm-up, then runs rotated over the inputs, with two clock reads around each."""

import gc
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from perf.schema.cell import Cell, Protocol
from perf.schema.journal import Timed

if TYPE_CHECKING:
    import numpy as np

    Outputs: TypeAlias = Mapping[str, np.ndarray]
Result = TypeVar("Result")

FEWEST, MOST = 20, 1000  # runs of a launch, where their number is not asked for
_EMPTY_PAIRS = 201


@dataclass(frozen=True)
class TimedRuns:
    """The samples of a launch, and the outputs of its first and last timed run as each run left them."""

    timed: Timed
    first: "Outputs" = field(default_factory=dict)
    last: "Outputs" = field(default_factory=dict)
    no_outputs: str = ""  # why there are none: an engine that times itself hands out none


def time_runs(
    run: Callable[[int], Result],
    read_outputs: "Callable[[Result], Outputs]",
    sets: int,
    cell: Cell,
    *,
    synchronised: bool,
) -> TimedRuns:
    """Call run(0), run(1), … run(sets - 1), run(0), … and time each call, in nanoseconds.

    The cell's protocol says how many: `runs`; or 20 and then as many as fit `min_time_s`, at most 1,000, and
    none begun after `max_time_s`. Every set is run at least once before the clock counts, unless `warmup` is
    0. `synchronised` is what the caller knows of `run`: that it returns after the device is done. While the
    clock stands, `read_outputs` names what the first and the last run returned, and that is copied. What
    either raises is raised.
    """
    protocol = cell.protocol
    warmup = max(protocol.warmup, sets) if protocol.warmup else 0
    for i in range(warmup):
        run(i % sets)
    floor_ns = empty_clock_ns()
    collecting = gc.isenabled()
    gc.disable()  # and none is forced before: a full collection in a forked child copies its host's heap
    delay, throttled, cpu_ns = run_delay_ns(), throttled_us(), time.process_time_ns()
    begun_s = time.monotonic()
    try:
        samples, first, result = _loop(run, read_outputs, sets, protocol)
    finally:
        if collecting:
            gc.enable()
    timed = Timed(
        samples_ns=tuple(samples),
        io=cell.io.value,
        sets=sets,
        warmup=warmup,
        floor_ns=floor_ns,
        run_delay_ns=_grown(delay, run_delay_ns()),
        throttled_us=_grown(throttled, throttled_us()),
        synchronised=synchronised,
        begun_s=begun_s,
        ended_s=time.monotonic(),
        cpu_ns=time.process_time_ns() - cpu_ns,
        cpus=usable_cpus(),
    )
    return TimedRuns(timed, first, _copied(read_outputs(result)))


def _loop(
    run: Callable[[int], Result],
    read_outputs: "Callable[[Result], Outputs]",
    sets: int,
    protocol: Protocol,
) -> "tuple[list[int], Outputs, Result]":
    """Samples, the first run's outputs, and what the last run returned."""
    clock = time.perf_counter_ns
    adaptive = protocol.runs is None
    most = MOST if protocol.runs is None else protocol.runs
    samples = [0] * most
    first: Outputs = {}
    result: Any = None
    ended = clock()
    enough = ended + int(protocol.min_time_s * 1e9)
    too_long = ended + int(protocol.max_time_s * 1e9)
    for k in range(most):
        if adaptive and ((k >= FEWEST and ended >= enough) or (k and ended >= too_long)):
            return samples[:k], first, result
        i = k % sets
        began = clock()
        # the outputs before are freed in the sample, as by a loop that drops them, before new are made
        result = None
        result = run(i)
        ended = clock()
        samples[k] = ended - began
        if k == 0:
            first = _copied(read_outputs(result))
    return samples, first, result


def _copied(outputs: "Outputs") -> "Outputs":
    return {name: array.copy() for name, array in outputs.items()}


def empty_clock_ns() -> int:
    """Median of an empty pair of clock reads: what a sample holds of the clock itself."""
    clock = time.perf_counter_ns
    pairs = [0] * _EMPTY_PAIRS
    for k in range(_EMPTY_PAIRS):
        began = clock()
        pairs[k] = clock() - began
    return sorted(pairs)[_EMPTY_PAIRS // 2]


def rehearse() -> None:
    """Read once, with nothing to time, all that is read around a timed loop."""
    empty_clock_ns()
    run_delay_ns()
    throttled_us()
    usable_cpus()


def run_delay_ns() -> int | None:
    """Time that this thread was runnable and not running; None where the kernel does not say."""
    try:
        fields = Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()
    except OSError:
        return None
    return int(fields[1])  # time on the CPU, time waiting for it, time slices (proc(5))


def throttled_us(
    proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Time for which the container's CPU quota stopped this process's group; None if none is told."""
    try:
        lines = proc.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers == "":  # cgroup v2; in a container's own namespace the group may read "/"
            for folder in (root / group.lstrip("/"), root):
                if (value := _stat(folder / "cpu.stat", "throttled_usec")) is not None:
                    return value
        elif "cpu" in controllers.split(","):
            for folder in (root / controllers / group.lstrip("/"), root / "cpu"):
                if (value := _stat(folder / "cpu.stat", "throttled_time")) is not None:
                    return value // 1000  # v1 counts nanoseconds
    return None


def usable_cpus(
    proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> float:
    """CPUs that this process can use at once: its cores, or its container's quota where that is less."""
    cores = float(len(os.sched_getaffinity(0)))
    try:
        lines = proc.read_text(encoding="utf-8").splitlines()
    except OSError:
        return cores
    quotas = [cores]
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            for folder in (root / group.lstrip("/"), root):
                quotas += _quota(_words(folder / "cpu.max"))
        elif "cpu" in controllers.split(","):
            for folder in (root / controllers / group.lstrip("/"), root / "cpu"):
                names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
                quotas += _quota([w for name in names for w in _words(folder / name)])
    return min(quotas)


def _quota(words: Sequence[str]) -> list[float]:
    """CPUs by a quota and its period; none where there is no quota (max, -1)."""
    if len(words) != 2 or not all(w.isdigit() for w in words) or int(words[1]) == 0:
        return []
    return [int(words[0]) / int(words[1])]


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except OSError:
        return []


def _stat(path: Path, key: str) -> int | None:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(v) for k, _, v in (x.partition(" ") for x in lines) if k == key), None)


def _grown(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else max(0, after - before)
