"""When a record's samples may be published as a latency, what they come to, and what mars them."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from perf.results.findings import impossible_reason
from perf.schema.journal import Stage, Timed
from perf.schema.record import (
    Crashed,
    Launch,
    OutOfMemory,
    Passed,
    Raised,
    Record,
    TimedOut,
    measure_launches,
)
from perf.stats.summary import Spread, Summary, quantile, ratio, spread, summarise

NS_PER_MS = 1e6
OVERHEAD_BOUND_MS = 0.1  # below this, Python and the session call are a visible part of the time
PREEMPTED_SHARE = 0.01  # of the timed loop spent runnable and not running


@dataclass(frozen=True)
class Latency:
    """All samples of a cell's measure launches, in ms, and how its launches differ."""

    timed: tuple[Timed, ...]  # a launch each, as the next two, in the order they ran
    medians_ms: tuple[float, ...]
    quarters_ms: tuple[float, ...]  # 25th percentiles: the least noisy there is
    summary: Summary
    spread: Spread
    runs_per_s: float | None
    preempted: int  # launches that were kept off the CPU, or throttled by the container


def is_published(record: Record) -> bool:
    """A latency is for a cell that passed, or whose only fault came after its last word, in close."""
    if record.cell.protocol.instrumented or impossible_reason(record):
        return False
    match record.outcome:
        case Passed():
            return True
        case Raised(stage=s) | Crashed(stage=s) | TimedOut(stage=s) | OutOfMemory(stage=s):
            return s is Stage.CLOSE
        case _:
            return False


def published_launches(record: Record) -> tuple[Launch, ...]:
    """The measure launches whose samples are published."""
    if not is_published(record):
        return ()
    return tuple(x for x in measure_launches(record) if x.timed and x.timed.samples_ns)


def summarise_latency(record: Record) -> Latency | None:
    """What a record publishes; None where it publishes no latency."""
    launches = published_launches(record)
    timed = tuple(x.timed for x in launches if x.timed)
    ordered = [sorted(ns / NS_PER_MS for ns in t.samples_ns) for t in timed]
    medians = tuple(quantile(samples, 0.50) for samples in ordered)
    summary, between = summarise([ms for samples in ordered for ms in samples]), spread(medians)
    if summary is None or between is None:
        return None
    return Latency(
        timed=timed,
        medians_ms=medians,
        quarters_ms=tuple(quantile(samples, 0.25) for samples in ordered),
        summary=summary,
        spread=between,
        runs_per_s=ratio(1000.0, summary.mean),
        preempted=sum(was_preempted(x) for x in launches),
    )


def summarise_parts(timed: Sequence[Timed]) -> Mapping[str, float]:
    """The median in ms of each part of a run that is timed apart, over all runs of these launches."""
    names = dict.fromkeys(name for t in timed for name in t.parts_ns)
    samples = {n: [ns for t in timed for ns in t.parts_ns.get(n, ())] for n in names}
    return {n: round(statistics.median(s) / NS_PER_MS, 6) for n, s in samples.items() if s}


def was_preempted(launch: Launch) -> bool:
    """Whether others took the CPU from this launch while it was timed, by the kernel's own account."""
    if launch.timed is None:
        return False
    loop_ns = sum(launch.timed.samples_ns)
    waited = launch.timed.run_delay_ns
    return bool(launch.timed.throttled_us) or (
        waited is not None and waited > PREEMPTED_SHARE * loop_ns
    )


def describe_check(record: Record) -> str:
    """`checked` where outputs were held against a reference, else why they were not."""
    if not record.cell.checked:
        return "unchecked"
    if any(x.compared for x in record.launches):
        return "checked"
    return "unreferenced" if any(x.unreferenced for x in record.launches) else ""


def collect_marks(record: Record) -> tuple[str, ...]:
    """What a reader must know before believing this row's numbers; empty for a clean one."""
    found = summarise_latency(record)
    if found is None:
        if why := impossible_reason(record):
            return (f"impossible: {why}",)
        return ("instrumented",) if record.cell.protocol.instrumented else ()
    counters = [x.gpu_counters for x in published_launches(record)]
    marks = {
        "unchecked": describe_check(record) != "checked",
        "overhead-bound": found.summary.p50 < OVERHEAD_BOUND_MS,
        f"preempted {found.preempted} of {found.spread.launches}": found.preempted,
        "failed in close": not isinstance(record.outcome, Passed),
        "throttled": any(c and c.throttled_share for c in counters),
        "gpu compute only": any(t.gpu_only for t in found.timed),
        "not synchronised": not all(t.synchronised for t in found.timed),
    }
    return tuple(mark for mark, is_true in marks.items() if is_true)
