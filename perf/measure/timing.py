"""The timed loop: warm-up, then runs rotated over the inputs, with two clock reads around each."""

import gc
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from perf.schema.cell import Cell, Protocol
from perf.schema.journal import Timed
from perf.schema.untrusted_file import read_regular

if TYPE_CHECKING:
    import numpy as np

    Outputs: TypeAlias = Mapping[str, np.ndarray]
Result = TypeVar("Result")

FEWEST, MOST = 20, 1000  # runs of a launch, where their number is not asked for
_EMPTY_PAIRS = 201
_KERNEL_FILE_LIMIT = 1 << 16


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
    none begun after `max_time_s`, which also ends a warm-up. Every set is run at least once before the clock
    counts, unless `warmup` is 0. `synchronised` is what the caller knows of `run`: that it returns after the
    device is done. While the clock stands, `read_outputs` names what the first and the last run returned, and
    that is copied. What either raises is raised.
    """
    protocol = cell.protocol
    warmup = _warm_up(run, sets, protocol)
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


def _warm_up(run: Callable[[int], object], sets: int, protocol: Protocol) -> int:
    """How many runs were made before the clock counts: as asked for, each set at least once.

    Of runs so long that they fill `max_time_s`, fewer.
    """
    wanted = max(protocol.warmup, sets) if protocol.warmup else 0
    until_s = time.monotonic() + protocol.max_time_s
    for i in range(wanted):
        if i >= sets and time.monotonic() >= until_s:
            return i
        run(i % sets)
    return wanted


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


def run_delay_ns() -> int | None:
    """Time that this thread was runnable and not running; None where the kernel does not say."""
    fields = _words("/proc/thread-self/schedstat")
    return (
        int(fields[1]) if len(fields) > 1 else None
    )  # on the CPU, waiting for it, slices (proc(5))


def throttled_us(
    proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Time for which the container's CPU quota stopped this process's group; None if none is told."""
    for unified, folder in _cpu_groups(proc, root):
        words = _words(f"{folder}/cpu.stat")  # a name and a number, in turn
        told = dict(zip(words[::2], words[1::2], strict=False))
        if value := told.get("throttled_usec" if unified else "throttled_time"):
            return int(value) if unified else int(value) // 1000  # v1 counts nanoseconds
    return None


def usable_cpus(
    proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> float:
    """CPUs that this process can use at once: its cores, or its container's quota where that is less."""
    quotas = [float(len(os.sched_getaffinity(0)))]
    for unified, folder in _cpu_groups(proc, root):
        names = ("cpu.max",) if unified else ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        quotas += _quota([w for name in names for w in _words(f"{folder}/{name}")])
    return min(quotas)


def _cpu_groups(proc: Path, root: Path) -> Iterator[tuple[bool, str]]:
    """Folders that may tell of this process's CPU quota, and whether each is of cgroup v2.

    In a container's own namespace the group may read "/": the folder above is looked into too.
    """
    for line in _text(proc).splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            below = group.strip("/")
            yield from ((True, f"{root}/{name}") for name in dict.fromkeys((below, "")))
        elif "cpu" in controllers.split(","):
            yield False, f"{root}/{controllers}/{group.lstrip('/')}"
            yield False, f"{root}/cpu"


def _quota(words: Sequence[str]) -> list[float]:
    """CPUs by a quota and its period; none where there is no quota (max, -1)."""
    if len(words) != 2 or not all(w.isdigit() for w in words) or int(words[1]) == 0:
        return []
    return [int(words[0]) / int(words[1])]


def _words(path: str) -> list[str]:
    return _text(path).split()


def _text(path: str | Path) -> str:
    """A file of the kernel's; "" where it is not there."""
    try:
        return read_regular(path, _KERNEL_FILE_LIMIT, follow=True).decode("utf-8", "replace")
    except OSError:
        return ""


def _grown(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else max(0, after - before)
