"""A device's own time of a run: how long its kernels ran, or how long lay between events around them."""

import time
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import TypeVar

from perf.measure.cuda_events import EventTimer
from perf.measure.cupti import KERNEL, Activity, ActivityTrace, TracingRefused, read_head
from perf.schema.cell import Protocol
from perf.schema.journal import EVENTS_AROUND, RECORDS, DeviceTimed

Seen = TypeVar("Seen")
RUNS = 20  # of a launch: a device's time scatters far less than a host's


def time_device(
    run: Callable[[int], object], sets: int, protocol: Protocol, trace: ActivityTrace
) -> DeviceTimed:
    """What a device did in run(0), run(1), … run(sets - 1), run(0), …, after as many that warm up.

    Each run has ended when it returns, so that what was recorded since the one before is its own. Raises
    TracingRefused where no kernel is seen.
    """

    def watch(i: int) -> Sequence[Activity]:
        run(i)
        return [read_head(head) for head in trace.take_heads()]

    return summarise_runs(_watch_runs(watch, run, sets, protocol, trace.take_heads), sets)


def time_events(
    run: Callable[[int], object], sets: int, protocol: Protocol, timer: EventTimer
) -> DeviceTimed:
    """The same by events on the stream that the runs are on: waits between kernels are in it, too."""
    spans = _watch_runs(lambda i: timer.time_ns(lambda: run(i)), run, sets, protocol)
    return DeviceTimed(tuple(spans), tuple(spans), 0, EVENTS_AROUND, sets)


def _watch_runs(
    watch: Callable[[int], Seen],
    run: Callable[[int], object],
    sets: int,
    protocol: Protocol,
    forget: Callable[[], object] = lambda: None,
) -> list[Seen]:
    """What is seen of each of some runs, after those that warm up, of which nothing is kept."""
    for i in range(max(protocol.warmup, sets)):
        run(i % sets)
    forget()
    too_long_s = time.monotonic() + protocol.max_time_s
    seen: list[Seen] = []
    for k in range(RUNS):
        if k >= sets and time.monotonic() > too_long_s:
            break
        seen.append(watch(k % sets))
    return seen


def summarise_runs(runs: Sequence[Sequence[Activity]], sets: int) -> DeviceTimed:
    """The device's times of runs by their activities; raises TracingRefused where one has no kernel."""
    kernels = [[a for a in run if a.kind == KERNEL] for run in runs]
    if not runs or not all(kernels):
        raise TracingRefused("CUPTI saw a run without a kernel")
    return DeviceTimed(
        kernels_ns=tuple(map(covered_ns, kernels)),
        busy_ns=tuple(map(covered_ns, runs)),
        kernels=int(median(map(len, kernels))),
        source=RECORDS,
        sets=sets,
    )


def covered_ns(activities: Iterable[Activity]) -> int:
    """Time in which at least one of these was at work: those that overlap are not counted twice."""
    total = until = 0
    for activity in sorted(activities, key=lambda a: a.start_ns):
        total += max(0, activity.end_ns - max(until, activity.start_ns))
        until = max(until, activity.end_ns)
    return total
