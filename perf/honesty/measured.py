"""Our own records: the same rules over their cells, and what samples themselves say against a latency."""

import statistics
from collections.abc import Iterator, Sequence

from perf.honesty.rules import Finding, Point, Severity, find_all
from perf.results.findings import impossible_reason
from perf.results.latency import published_launches, summarise_latency
from perf.schema.record import Launch, Record

COARSE = 0.01  # share of a sample that reading the clock may take
WARMING = 1.2  # first tenth of the samples over the rest
GAP = 0.1  # of the median, between two humps


def find_in_records(records: Sequence[Record]) -> tuple[Finding, ...]:
    """Findings of a run, the worst first."""
    found = [f for r in records for f in _of_record(r)]
    found += find_all([p for r in records if (p := _point(r))])
    return tuple(sorted(found, key=lambda f: list(Severity).index(f.severity)))


def _point(record: Record) -> Point | None:
    latency = summarise_latency(record)
    if latency is None:
        return None
    cell, shapes = (
        record.cell,
        [t.shape for s in record.cell.sets[:1] for t in s.inputs if t.shape],
    )
    batch = cell.batch or (shapes[0][0] if shapes else 1)
    ms = latency.summary.p50
    precision = "tf32" if cell.tf32 else cell.target.precision.value
    return Point(
        cell.id,
        cell.gpu_name,
        cell.model.name,
        cell.target.name,
        precision,
        batch,
        batch * 1e3 / ms,
        ms,
    )


def _of_record(record: Record) -> Iterator[Finding]:
    where = record.cell.id
    if why := impossible_reason(record):
        yield Finding(where, Severity.IMPOSSIBLE, why)
    for launch in published_launches(record):
        yield from _of_samples(f"{where} {launch.name}", launch)


def _of_samples(where: str, launch: Launch) -> Iterator[Finding]:
    if launch.timed is None or len(launch.timed.samples_ns) < 20:
        return
    samples = launch.timed.samples_ns
    middle = statistics.median(samples)
    if launch.timed.floor_ns > COARSE * middle:
        share = launch.timed.floor_ns / middle
        yield Finding(where, Severity.DOUBTFUL, f"reading the clock is {share:.0%} of a sample")
    tenth = max(2, len(samples) // 10)
    ratio = statistics.median(samples[:tenth]) / statistics.median(samples[tenth:])
    if ratio > WARMING:
        yield Finding(
            where,
            Severity.DOUBTFUL,
            f"its first runs take {ratio:.2f} of the rest: warm-up is in it",
        )
    if hump := _second_hump(sorted(samples)):
        yield Finding(
            where, Severity.NOTE, f"samples have two humps, {hump:.0%} of the median apart"
        )


def _second_hump(ordered: Sequence[int]) -> float | None:
    """The gap between two groups of samples of a fifth or more each, over the median; None for one group."""
    fifth = len(ordered) // 5
    inner = list(zip(ordered[fifth:-fifth], ordered[fifth + 1 : -fifth + 1 or None], strict=False))
    if len(inner) < 5:
        return None
    gap = max(b - a for a, b in inner) / statistics.median(ordered)
    return gap if gap > GAP else None
