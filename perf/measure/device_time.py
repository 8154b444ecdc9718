"""A device's own time of a run: how long its kernels ran, and how long it was at work at all."""

import time
from collections.abc import Callable, Iterable, Sequence
from statistics import median

from perf.measure.cupti import KERNEL, Activity, ActivityTrace, TracingRefused, read_head
from perf.schema.cell import Protocol
from perf.schema.journal import DeviceTimed

RUNS = 20  # of a launch: a device's time scatters far less than a host's
SOURCE = "cupti"


def time_device(
    run: Callable[[int], object], sets: int, protocol: Protocol, trace: ActivityTrace
) -> DeviceTimed:
    """What a device did in run(0), run(1), … run(sets - 1), run(0), …, after as many that warm up.

    Each run has ended when it returns, so that what was recorded since the one before is its own. Raises
    TracingRefused where no kernel is seen.
    """
    for i in range(max(protocol.warmup, sets)):
        run(i % sets)
    trace.take_heads()
    too_long_s = time.monotonic() + protocol.max_time_s
    runs: list[Sequence[Activity]] = []
    for k in range(RUNS):
        if k >= sets and time.monotonic() > too_long_s:
            break
        run(k % sets)
        runs.append([read_head(head) for head in trace.take_heads()])
    return summarise_runs(runs, sets)


def summarise_runs(runs: Sequence[Sequence[Activity]], sets: int) -> DeviceTimed:
    """The device's times of runs by their activities; raises TracingRefused where one has no kernel."""
    kernels = [[a for a in run if a.kind == KERNEL] for run in runs]
    if not runs or not all(kernels):
        raise TracingRefused("CUPTI saw a run without a kernel")
    return DeviceTimed(
        kernels_ns=tuple(map(covered_ns, kernels)),
        busy_ns=tuple(map(covered_ns, runs)),
        kernels=int(median(map(len, kernels))),
        source=SOURCE,
        sets=sets,
    )


def covered_ns(activities: Iterable[Activity]) -> int:
    """Time in which at least one of these was at work: those that overlap are not counted twice."""
    total = until = 0
    for activity in sorted(activities, key=lambda a: a.start_ns):
        total += max(0, activity.end_ns - max(until, activity.start_ns))
        until = max(until, activity.end_ns)
    return total
