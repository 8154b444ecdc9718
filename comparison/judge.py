"""Verdicts for two sides: plain facts at once, measured numbers once the whole table is known."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from comparison import change, exact_verdicts, noise
from comparison.cell_summary import UNITS, CellSummary, LaunchSummary, Metric, Side, failed, passed
from comparison.false_discovery import two_sided
from comparison.match import Matched
from comparison.noise import Noise, Profile
from comparison.paired_runs import decided, pairs_of
from comparison.verdict import (
    Added,
    Change,
    Faster,
    Line,
    NotComparable,
    Removed,
    Same,
    Slower,
    Unclear,
    Verdict,
)
from perf.stats.sequential_test import StoppingRule

MEASURED = (
    Metric.P50,
    Metric.MEAN,
    Metric.SLOW_END,
    Metric.P99,
    Metric.SESSION,
    Metric.HOST_MEMORY,
    Metric.GPU_MEMORY,
)
# Below these relative changes nobody is told; `--threshold` sets the first two.
LEAST: Mapping[Metric, float] = {
    Metric.P50: 0.025,
    Metric.MEAN: 0.025,
    Metric.SLOW_END: 0.05,
    Metric.P99: 0.10,
    Metric.SESSION: 0.10,
    Metric.HOST_MEMORY: 0.05,
    Metric.GPU_MEMORY: 0.05,
}
# An engine's arenas and a host's own pages differ by some MiB from process to process: no change in memory.
LEAST_MIB = 8.0
BUSY = 0.5  # of the launches
# Status is judged whatever differs: a failure after an update is what people look for.
IRRELEVANT: Mapping[Metric, frozenset[str]] = {
    Metric.ACCURACY: frozenset({"protocol", "io"}),
    Metric.PLACEMENT: frozenset({"protocol", "io", "cpu"}),
}


@dataclass(frozen=True)
class Criteria:
    """What is asked, and how much evidence is wanted."""

    metrics: frozenset[Metric] = frozenset(Metric)
    threshold: float = LEAST[Metric.P50]
    fdr: float = 0.01  # expected share of false ones among the changes told, over the whole table
    rule: StoppingRule = field(default_factory=StoppingRule)  # for launches that ran as neighbours
    paired: bool = False  # both sides come from one A/B run
    profile: Profile | None = None

    def least(self, metric: Metric) -> float:
        """The smallest relative change that counts."""
        return self.threshold if metric in (Metric.P50, Metric.MEAN) else LEAST[metric]


@dataclass(frozen=True)
class _Open:
    """A measured change that waits for the whole table."""

    matched: Matched
    metric: Metric
    change: Change
    noise: Noise | None  # None: paired
    origin: str


def judge_cells(
    matched: Sequence[Matched], previous: Side, current: Side, criteria: Criteria
) -> tuple[Line, ...]:
    """One line per cell and metric that either side can speak of."""
    asked = criteria.metrics & (previous.answers | current.answers)
    level = criteria.fdr / 2 / max(1, sum(len(_shared(m, asked)) for m in matched))
    lines: list[Line] = []
    waiting: list[_Open] = []
    for m in matched:
        if m.previous is None or m.current is None:
            lines.append(_alone(m))
            continue
        lines += _plain(m, m.previous, m.current, asked & previous.answers & current.answers)
        for metric in _shared(m, asked):
            found = _measured(m, metric, (previous, current), criteria, level)
            if isinstance(found, _Open):
                waiting.append(found)
            elif found is not None:
                lines.append(found)
    believed = two_sided([_of_a_rise(w.change) for w in waiting], criteria.fdr)
    lines += [_told(w, b, criteria, level) for w, b in zip(waiting, believed, strict=True)]
    return tuple(sorted(lines, key=lambda x: (x.cell, list(Metric).index(x.metric))))


def _of_a_rise(c: Change) -> float:
    """Probability of so large a rise, or larger, without any change."""
    p = 0.5 if c.p is None else c.p
    return p if c.ratio >= 1 else 1 - p


def _alone(m: Matched) -> Line:
    cell = m.cell
    what = cell.outcome + (f": {cell.detail}" if failed(cell) and cell.detail else "")
    verdict: Verdict = Removed(what) if m.current is None else Added(what, failed(cell))
    return Line(cell.id, cell.model, cell.target, Metric.STATUS, verdict)


def _plain(m: Matched, a: CellSummary, b: CellSummary, asked: frozenset[Metric]) -> Iterable[Line]:
    if Metric.STATUS in asked and (a.outcome or b.outcome):
        verdict = exact_verdicts.status(a, b)
        yield replace(_line(m, Metric.STATUS, verdict), across=(*m.across, *m.differing))
    if Metric.ACCURACY in asked and a.accuracy and b.accuracy:
        yield _line(
            m,
            Metric.ACCURACY,
            _blocked(m, Metric.ACCURACY) or exact_verdicts.accuracy(a.accuracy, b.accuracy),
        )
    if Metric.PLACEMENT in asked and a.placement and b.placement:
        yield _line(
            m,
            Metric.PLACEMENT,
            _blocked(m, Metric.PLACEMENT) or exact_verdicts.placement(a.placement, b.placement),
        )


def _blocked(m: Matched, metric: Metric) -> NotComparable | None:
    """Why two numbers cannot be compared, naming the flag that makes the difference the question."""
    ignored = IRRELEVANT.get(metric, frozenset())
    why = [d for d in m.differing if d.partition(":")[0] not in ignored]
    if not why:
        return None
    fields = " ".join(d.partition(":")[0] for d in why)
    return NotComparable(f"{'; '.join(why)} (if that is the question: --across {fields})")


def _shared(m: Matched, asked: frozenset[Metric]) -> tuple[Metric, ...]:
    """Measured metrics that at least one side of a pair has."""
    if m.previous is None or m.current is None:
        return ()
    sides = (m.previous, m.current)
    return tuple(x for x in MEASURED if x in asked and any(x in s.values for s in sides))


def _measured(
    m: Matched, metric: Metric, sides: tuple[Side, Side], criteria: Criteria, level: float
) -> _Open | Line | None:
    a, b = m.previous, m.current
    if a is None or b is None:
        return None
    lacking = [
        s for s, c in zip(("previous", "current"), (a, b), strict=True) if metric not in c.values
    ]
    if lacking:
        return _lacking(m, metric, lacking[0], sides)
    if blocked := _blocked(m, metric):
        return _line(m, metric, blocked)
    if criteria.paired:
        pairs = pairs_of(a, b)
        if metric in (Metric.P50, Metric.SLOW_END):
            return _line(m, metric, decided(pairs, metric, criteria.rule))
        numbers = [
            (x.values[metric], y.values[metric])
            for x, y in pairs
            if metric in x.values and metric in y.values
        ]
        if len(numbers) < 2:
            return _line(
                m,
                metric,
                Unclear(f"{len(numbers)} of {len(pairs)} pairs have this number"),
            )
        told = change.paired(numbers)
        return _Open(m, metric, told, None, "pairs of neighbouring launches")
    return _stored(m, metric, sides, criteria, level)


def _lacking(m: Matched, metric: Metric, side: str, sides: tuple[Side, Side]) -> Line | None:
    """A number that only one side has: told where both sides could have had it and both passed."""
    if (
        metric is Metric.P99
    ):  # so many runs as its p99 needs were there, or were not: that is no news
        return None
    if not all(metric in s.answers for s in sides) or not all(
        c is not None and passed(c) for c in (m.previous, m.current)
    ):
        return None
    verdict: Verdict = (
        Removed("not measured now") if side == "current" else Added("not measured before")
    )
    return _line(m, metric, verdict)


def _stored(
    m: Matched, metric: Metric, sides: tuple[Side, Side], criteria: Criteria, level: float
) -> _Open | Line | None:
    a, b = m.previous, m.current
    if a is None or b is None:
        return None
    beside = [_canary(s, c) for s, c in zip(sides, (a, b), strict=True)]
    if all(beside):
        expected, origin = noise.expected(criteria.profile, b.id, metric, canary=True)
        found = change.canary_change(a, b, beside[0], beside[1], metric, expected, level)
        if found is not None:
            return _Open(m, metric, *found, f"canary, {origin}")
    expected, origin = noise.expected(criteria.profile, b.id, metric, canary=False)
    found = change.stored_change(a, b, metric, expected, level)
    return None if found is None else _Open(m, metric, *found, origin)


def _canary(side: Side, cell: CellSummary) -> Sequence[LaunchSummary]:
    same = [c for c in side.canaries if c.target == cell.target] or side.canaries
    return [x for c in same[:1] for x in c.launches]


def _told(w: _Open, believed: bool, criteria: Criteria, level: float) -> Line:
    c, least = w.change, criteria.least(w.metric)
    small = UNITS[w.metric] == "MiB" and abs(c.current - c.previous) < LEAST_MIB
    if small or abs(c.log) <= math.log1p(least):
        return _line(w.matched, w.metric, Same(c))
    if believed:
        suspect = w.noise is not None
        if suspect and _was_busy(w):
            why = "beyond the noise, but most of its launches were held up on a busy machine"
            return _line(
                w.matched,
                w.metric,
                Unclear(f"{why}; ask again when it is quiet, or by --confirm", c, suspect=True),
            )
        kind = Slower if c.ratio > 1 else Faster
        return _line(
            w.matched, w.metric, kind(c, suspect, f"beyond the {w.origin}" if suspect else "")
        )
    if w.noise is None:
        return _line(
            w.matched, w.metric, Unclear(f"within the spread of {c.launches[0]} pairs", c)
        )
    z = change.t_at(1 - level, w.noise.df) + change.POWER_Z
    needed = noise.launches_needed(w.noise, c.log, z)
    why = f"within the noise of {min(c.launches)} launches ({w.origin})"
    if needed is None:
        why += "; only --confirm or an --ab run would tell"
    return _line(w.matched, w.metric, Unclear(why, c, needed))


def _was_busy(w: _Open) -> bool:
    """Whether the slower side's launches were mostly held up by others: that is not the cell's doing."""
    slower = w.matched.current if w.change.ratio > 1 else w.matched.previous
    return slower is not None and UNITS[w.metric] != "MiB" and slower.disturbed > BUSY


def _line(m: Matched, metric: Metric, verdict: Verdict) -> Line:
    cell = m.cell
    seen = []
    if metric in UNITS and metric is not Metric.ACCURACY:
        for word, c in (("previous", m.previous), ("current", m.current)):
            seen += [f"{word}: {d}" for d in (c.disturbances if c else ())]
    return Line(cell.id, cell.model, cell.target, metric, verdict, m.across, tuple(seen))
