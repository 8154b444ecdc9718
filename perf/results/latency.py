"""When a record's samples may be published as a latency, what they come to, and what mars them."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from perf.results.device_time import HOST_BOUND_PCT, suggest_remedies, summarise_device
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
THREADS_NOTE = "threads"  # key of a note on a better number of them
OWN_SHARE = 0.9  # of the CPUs that a launch may use, which only its own threads can take


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
    """A latency is for a cell that passed, or whose only fault came after its last word, in close.

    One that was to be checked and of which no element was compared has none: see `describe_check`; nor has
    one that cannot be true.
    """
    if record.cell.protocol.instrumented or (record.cell.checked and not was_checked(record)):
        return False
    if impossible_reason(record):
        return False
    return _ran_to_its_end(record)


def _ran_to_its_end(record: Record) -> bool:
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


def was_oversubscribed(launch: Launch) -> bool:
    """Whether a launch that waited for a CPU had its own threads in the way: they took all it may use."""
    timed = launch.timed
    if timed is None or timed.cpu_ns is None or not timed.cpus or not was_preempted(launch):
        return False
    return timed.cpu_ns >= OWN_SHARE * timed.cpus * (timed.ended_s - timed.begun_s) * 1e9


def was_mostly_preempted(record: Record) -> bool:
    """Whether most of the launches that are published waited for a CPU."""
    launches = published_launches(record)
    return 2 * sum(map(was_preempted, launches)) > len(launches)


def was_checked(record: Record) -> bool:
    """Whether an output with elements in it was held against a reference."""
    return any(c.has_content for x in record.launches for c in x.compared)


def describe_check(record: Record) -> str:
    """`checked` where outputs were held against a reference, else why they were not.

    Outputs without an element, or absent as in the reference, of which nothing is learned, are unchecked.
    """
    if not record.cell.checked:
        return "unchecked"
    if was_checked(record):
        return "checked"
    if any(x.unreferenced for x in record.launches):
        return "unreferenced"
    return "unchecked" if record.launches and _ran_to_its_end(record) else ""


def count_unchecked_outputs(record: Record) -> int:
    """Outputs, over all sets, that were given and that nothing was there to hold against."""
    return sum(x.unreferenced for x in record.launches)


def describe_disturbance(records: Sequence[Record], machine: str) -> tuple[str, ...]:
    """What waiting for a CPU cost a run, in lines, and what its own threads had to do with it; none for a
    quiet one. `machine` says how busy all CPUs were."""
    launches = [x for r in records for x in published_launches(r) if x.timed]
    out = []
    crowded = [x for x in launches if was_oversubscribed(x)]
    robbed = [x for x in launches if was_preempted(x) and x not in crowded]
    if robbed:
        seen = f" ({machine})" if machine else ""
        out.append(
            f"busy machine: others took the CPU in {len(robbed)} of {len(launches)} launches, "
            f"{_share_waited(robbed)} of whose time was waiting{seen}"
        )
    if crowded:
        out.append(
            f"oversubscribed: {len(crowded)} of {len(launches)} launches had more threads than CPUs to run "
            f"them ({_share_waited(crowded)} of their time was waiting); set --intra_op_threads"
        )
    notes = (n.text for x in launches for n in x.notes if n.key == THREADS_NOTE)
    return (*out, *dict.fromkeys(notes), *_describe_host_bound(records))


def describe_untimed_sets(records: Sequence[Record]) -> tuple[str, ...]:
    """A line on cells that had fewer timed runs than test sets: some sets have no latency; none for none."""
    sets = {
        r.cell.id: x.timed.sets
        for r in records
        for x in published_launches(r)
        if x.timed and len(x.timed.samples_ns) < x.timed.sets
    }
    if not sets:
        return ()
    named = ", ".join(list(sets)[:3]) + (" …" if len(sets) > 3 else "")
    return (
        f"fewer timed runs than test sets: {named} {'has' if len(sets) == 1 else 'have'} up to "
        f"{max(sets.values())} sets, and what no run was left for has no latency; -t {max(sets.values())} "
        "or more times each",
    )


def find_host_bound_pct(record: Record) -> float | None:
    """The share of a published run in which the device waits, where that is so much that it is told."""
    device = summarise_device(record)
    found = summarise_latency(record) if device else None
    share = device.host_bound_pct(found.summary.p50) if found and device else None
    return share if share is not None and share > HOST_BOUND_PCT else None


def _describe_host_bound(records: Sequence[Record]) -> list[str]:
    """A line on the cells whose device mostly waits, and what would help."""
    bound = [r for r in records if find_host_bound_pct(r) is not None]
    if not bound:
        return []
    remedies = dict.fromkeys(words for r in bound for words in suggest_remedies(r.cell))
    named = ", ".join(r.cell.id for r in bound[:3]) + (" …" if len(bound) > 3 else "")
    return [
        f"host-bound: in {len(bound)} cell{'' if len(bound) == 1 else 's'} ({named}) the device waits "
        f"for more than {HOST_BOUND_PCT:g} % of a run; what may help: {', '.join(remedies)}"
    ]


def _share_waited(launches: Sequence[Launch]) -> str:
    """Of all that threads waited for a CPU and had one, for many can wait longer than the loop took."""
    timed = [x.timed for x in launches if x.timed]
    waited_ns = sum((t.run_delay_ns or 0) + 1000 * (t.throttled_us or 0) for t in timed)
    had_ns = sum(sum(t.samples_ns) if t.cpu_ns is None else t.cpu_ns for t in timed)
    return f"{100 * waited_ns / max(1, waited_ns + had_ns):.0f} %"


def mark_kind(mark: str) -> str:
    """A mark without what is its cell's alone, so that marks of many cells are told once."""
    kinds = {"shapes": "one of several input shapes"}
    kinds |= {kind: kind for kind in ("preempted", "oversubscribed", "host-bound")}
    return kinds.get(mark.partition(" ")[0], mark)


def _unchecked_outputs(record: Record) -> str:
    count = count_unchecked_outputs(record)
    return f"{count} output{'' if count == 1 else 's'} unchecked"


def _prefix_statuses(record: Record) -> list[str]:
    """What the program before a worker ended with: a checker of memory may tell by it what it found."""
    if not record.cell.protocol.instrumented:
        return []
    found = dict.fromkeys(x.ending.status for x in record.launches if x.ending.status)
    return [f"its prefix ended with status {status}" for status in found]


def collect_marks(record: Record) -> tuple[str, ...]:
    """What a reader must know before believing this row's numbers; empty for a clean one."""
    return marks_of(record, summarise_latency(record))


def marks_of(record: Record, found: Latency | None) -> tuple[str, ...]:
    """The marks of a record whose latency is known already."""
    if found is None:
        unpublished = {
            "instrumented": record.cell.protocol.instrumented,
            f"impossible: {impossible_reason(record)}": impossible_reason(record),
            **dict.fromkeys(_prefix_statuses(record), True),
            "unchecked": record.cell.checked
            and describe_check(record) in ("unchecked", "unreferenced"),
        }
        told = tuple(mark for mark, is_true in unpublished.items() if is_true)
        return (*told, *mark_references(record))
    launches = published_launches(record)
    counters = [x.gpu_counters for x in launches]
    crowded = sum(map(was_oversubscribed, launches))
    others = found.preempted - crowded
    waits_pct = find_host_bound_pct(record)
    marks = {
        "unchecked": describe_check(record) != "checked",
        _unchecked_outputs(record): count_unchecked_outputs(record),
        "overhead-bound": found.summary.p50 < OVERHEAD_BOUND_MS,
        f"preempted {others} of {found.spread.launches}": others,
        f"oversubscribed {crowded} of {found.spread.launches}": crowded,
        f"host-bound {waits_pct or 0:.0f} %": waits_pct is not None,
        "failed in close": not isinstance(record.outcome, Passed),
        "throttled": any(c and c.throttled_share for c in counters),
        "gpu compute only": any(t.gpu_only for t in found.timed),
        "not synchronised": not all(t.synchronised for t in found.timed),
    }
    return (*(mark for mark, is_true in marks.items() if is_true), *mark_references(record))


def mark_references(record: Record) -> tuple[str, ...]:
    """What the comparisons of a cell that passed rest on, where it is less than a firm reference."""
    compared = [c for x in record.launches for c in x.compared]
    if not isinstance(record.outcome, Passed) or not compared:
        return ()
    loose = {c.output for c in compared if not c.reproducible}
    why: dict[str, str] = {}  # of the first set, whose run is the first of its session
    for quality in (q for s in record.cell.sets for q in s.quality if q.output in loose):
        why.setdefault(quality.output, quality.why)
    how = "by shape, range, mean and spread only"
    marks = [f"{name} not reproducible ({w}): {how}" for name, w in why.items()]
    if any(c.within_noise for c in compared):
        worst = max(c.reference_noise or 0.0 for c in compared)
        marks.append(
            f"passes within the noise of its reference ({100 * worst:.2g} % of the scale)"
        )
    return tuple(marks)
