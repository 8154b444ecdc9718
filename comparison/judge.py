"""Verdicts for two runs: plain facts at once, measured numbers once the whole table is known."""

import math
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from comparison import change, exact_verdicts
from comparison.cell_summary import CellSummary, LaunchSummary, Metric, RunSummary
from comparison.match import CellPair, LoneCell, Matched
from comparison.noise import MEASURED, Noise, Profile, count_needed_launches, expected_noise
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
from perf.stats.summary import POWER_Z

# An engine's arenas and a host's own pages differ by some MiB from process to process: no change in memory.
LEAST_MIB = 8.0
BUSY = 0.5  # of the launches
# Of a cell that was fed several shapes, these are told of each; the rest is of its launches, and told once.
PER_SHAPES = frozenset({Metric.P50, Metric.MEAN, Metric.TAIL_RATIO, Metric.P99, Metric.DEVICE})
# Status is judged whatever differs: a failure after an update is what people look for.
IRRELEVANT: Mapping[Metric, frozenset[str]] = {
    Metric.ACCURACY: frozenset({"protocol", "io"}),
    Metric.PLACEMENT: frozenset({"protocol", "io", "cpu"}),
}


@dataclass(frozen=True)
class Criteria:
    """What is asked, and how much evidence is wanted."""

    metrics: frozenset[Metric] = frozenset(Metric)
    threshold: float = MEASURED[Metric.P50].least
    fdr: float = 0.01  # expected share of false ones among the changes told, over the whole table
    rule: StoppingRule = field(default_factory=StoppingRule)  # for launches that ran as neighbours
    paired: bool = False  # both sides come from one A/B run
    profile: Profile | None = None

    def least(self, metric: Metric) -> float:
        """The smallest relative change that counts."""
        return self.threshold if metric in (Metric.P50, Metric.MEAN) else MEASURED[metric].least


@dataclass(frozen=True)
class PendingChange:
    """A measured change that waits for the whole table."""

    pair: CellPair
    metric: Metric
    change: Change
    noise: Noise | None = None  # None: paired
    origin: str = ""  # of the noise

    @property
    def p_of_a_rise(self) -> float:
        """Probability of so large a rise, or larger, without any change."""
        p = 0.5 if self.change.p is None else self.change.p
        return p if self.change.ratio >= 1 else 1 - p


def judge_cells(
    matched: Sequence[Matched], previous: RunSummary, current: RunSummary, criteria: Criteria
) -> tuple[Line, ...]:
    """One line per cell and metric that either run can speak of."""
    pairs = [m for m in matched if isinstance(m, CellPair)]
    lines = [
        _judge_alone(m)
        for m in matched
        # of a cell that never had a figure, shapes but the first have nothing to tell
        if isinstance(m, LoneCell) and (m.cell.is_first or m.cell.passed)
    ]
    for pair in pairs:
        lines += _judge_facts(pair, criteria.metrics & previous.metrics & current.metrics)
    metrics = criteria.metrics & (previous.metrics | current.metrics)
    measured = [
        (pair, metric)
        for pair in pairs
        for metric in MEASURED
        if metric in metrics and (metric in pair.previous.values or metric in pair.current.values)
        if pair.current.is_first or metric in PER_SHAPES
    ]
    level = criteria.fdr / 2 / max(1, len(measured))
    pending: list[PendingChange] = []
    for pair, metric in measured:
        match _judge_number(pair, metric, (previous, current), criteria, level):
            case PendingChange() as change_:
                pending.append(change_)
            case None:
                pass
            case verdict:
                lines.append(_make_line(pair, metric, verdict))
    believed = find_two_sided([x.p_of_a_rise for x in pending], criteria.fdr)
    for x, is_believed in zip(pending, believed, strict=True):
        verdict = _conclude(x, criteria.least(x.metric), level, is_believed=is_believed)
        lines.append(_make_line(x.pair, x.metric, verdict))
    order = {metric: at for at, metric in enumerate(Metric)}
    return tuple(sorted(tell_launching_apart(lines), key=lambda x: (x.name, order[x.metric])))


def tell_launching_apart(lines: Sequence[Line]) -> Iterator[Line]:
    """Of a p50 that is slower or unclear: what the device's own time, which scatters less, says of it."""
    devices = {x.name: x.verdict for x in lines if x.metric is Metric.DEVICE}
    for line in lines:
        if line.metric is not Metric.P50:
            yield line
            continue
        match line.verdict, devices.get(line.name):
            case Slower() as slower, Slower():
                yield _add_note(line, slower, "the device takes longer too")
            case Slower() as slower, Same() | Faster():
                yield _add_note(line, slower, "not on the device: launching costs more")
            case Unclear() as unclear, Same() | Slower() | Faster() as device:
                says = {Same: "takes as long", Slower: "takes longer", Faster: "takes less long"}
                why = f"{unclear.why}; the device itself {says[type(device)]}"
                yield replace(line, verdict=replace(unclear, why=why))
            case _:
                yield line


def _add_note(line: Line, verdict: Slower, text: str) -> Line:
    note = "; ".join(filter(None, (verdict.note, text)))
    return replace(line, verdict=replace(verdict, note=note))


def find_two_sided(p_up: Sequence[float], rate: float) -> tuple[bool, ...]:
    """Which rises and falls are believed, as two one-sided families at half the rate each."""
    up = find_discoveries(p_up, rate / 2)
    down = find_discoveries([1 - p for p in p_up], rate / 2)
    return tuple(a or b for a, b in zip(up, down, strict=True))


def find_discoveries(p_values: Sequence[float], rate: float) -> tuple[bool, ...]:
    """Benjamini & Hochberg, J. R. Statist. Soc. B 57 (1995) 289-300: which p-values are rejected.

    The expected share of false ones among the rejected is at most `rate` for independent tests and
    for positively dependent one-sided ones (Benjamini & Yekutieli, Ann. Statist. 29 (2001)
    1165-1188, theorem 1.2), which a machine's drift, common to all cells, makes these.
    """
    ranked = enumerate(sorted(p_values), start=1)
    limit = max((p for i, p in ranked if p <= rate * i / len(p_values)), default=-1.0)
    return tuple(p <= limit for p in p_values)


def _judge_alone(lone: LoneCell) -> Line:
    cell = lone.cell
    what = cell.outcome + (f": {cell.detail}" if cell.failed and cell.detail else "")
    fails = cell.failed and cell.is_first
    verdict = Added(what, fails) if lone.is_current else Removed(what)
    return Line(cell.id, cell.model, cell.target, Metric.STATUS, verdict, shapes=cell.shapes)


def _judge_facts(pair: CellPair, metrics: Container[Metric]) -> Iterator[Line]:
    a, b = pair.previous, pair.current
    if Metric.STATUS in metrics and (a.outcome or b.outcome) and b.is_first:
        line = _make_line(pair, Metric.STATUS, exact_verdicts.compare_status(a, b))
        yield replace(line, across=(*pair.across, *pair.differing))
    if Metric.ACCURACY in metrics and a.accuracy and b.accuracy:
        verdict = exact_verdicts.compare_accuracy(a.accuracy, b.accuracy)
        yield _make_line(pair, Metric.ACCURACY, _find_obstacle(pair, Metric.ACCURACY) or verdict)
    if Metric.PLACEMENT in metrics and a.placement and b.placement and b.is_first:
        verdict = exact_verdicts.compare_placement(a.placement, b.placement)
        yield _make_line(pair, Metric.PLACEMENT, _find_obstacle(pair, Metric.PLACEMENT) or verdict)


def _find_obstacle(pair: CellPair, metric: Metric) -> NotComparable | None:
    """Why two numbers cannot be compared, naming the flag that makes the difference the question."""
    ignored = IRRELEVANT.get(metric, frozenset())
    why = [d for d in pair.differing if d.partition(":")[0] not in ignored]
    if not why:
        return None
    fields = " ".join(d.partition(":")[0] for d in why)
    return NotComparable(
        f"{'; '.join(why)} (if that is the question: --across {fields})", tuple(why)
    )


def _judge_number(
    pair: CellPair,
    metric: Metric,
    runs: tuple[RunSummary, RunSummary],
    criteria: Criteria,
    level: float,
) -> PendingChange | Verdict | None:
    a, b = pair.previous, pair.current
    if metric not in a.values or metric not in b.values:
        # news where both could have measured it; a p99 is there, or not, by the number of runs
        could = all(metric in run.metrics for run in runs) and a.passed and b.passed
        if metric is Metric.P99 or not could:
            return None
        return Added("not measured before") if metric in b.values else Removed("not measured now")
    if obstacle := _find_obstacle(pair, metric):
        return obstacle
    if not criteria.paired:
        return _weigh_stored(pair, metric, runs, criteria.profile, level)
    launches = change.pair_launches(a, b)
    if metric in (Metric.P50, Metric.TAIL_RATIO):
        return change.decide_pairs(launches, metric, criteria.rule)
    known = [(x.values.get(metric), y.values.get(metric)) for x, y in launches]
    numbers = [(x, y) for x, y in known if x is not None and y is not None]
    if len(numbers) < 2:
        return Unclear(f"{len(numbers)} of {len(launches)} pairs have this number")
    return PendingChange(pair, metric, change.weigh_pairs(numbers))


def _weigh_stored(
    pair: CellPair,
    metric: Metric,
    runs: tuple[RunSummary, RunSummary],
    profile: Profile | None,
    level: float,
) -> PendingChange | None:
    a, b = pair.previous, pair.current
    before, after = (_find_canary(run, c) for run, c in zip(runs, (a, b), strict=True))
    if before and after:
        noise, origin = expected_noise(profile, b.name, metric, canary=True)
        found = change.weigh_by_canary(a, b, before, after, metric, noise, level)
        if found is not None:
            return PendingChange(pair, metric, *found, f"canary, {origin}")
    noise, origin = expected_noise(profile, b.name, metric, canary=False)
    found = change.weigh_stored(a, b, metric, noise, level)
    return None if found is None else PendingChange(pair, metric, *found, origin)


def _find_canary(run: RunSummary, cell: CellSummary) -> Sequence[LaunchSummary]:
    same = [c for c in run.canaries if c.target == cell.target] or run.canaries
    return same[0].launches if same else ()


def _conclude(x: PendingChange, least: float, level: float, *, is_believed: bool) -> Verdict:
    """The verdict on a change, once it is known whether the whole table lets it be believed."""
    c = x.change
    small = MEASURED[x.metric].unit == "MiB" and abs(c.current - c.previous) < LEAST_MIB
    if small or abs(c.log) <= math.log1p(least):
        return Same(c)
    kind = Slower if c.ratio > 1 else Faster
    if x.noise is None:
        if is_believed and abs(c.log) >= math.log1p(c.detectable):
            return kind(c, suspect=False)
        return Unclear(f"within the spread of {c.launches[0]} pairs", c)
    if is_believed and abs(c.log) < math.log1p(c.detectable):
        why = "beyond the noise, by less than such runs show four times in five; --confirm would tell"
        return Unclear(why, c, suspect=True)
    if is_believed and _was_busy(x):
        why = "beyond the noise, but most of its launches were held up on a busy machine"
        return Unclear(f"{why}; ask again when it is quiet, or by --confirm", c, suspect=True)
    if is_believed:
        return kind(c, suspect=True, note=f"beyond the {x.origin}")
    z = change.t_at(1 - level, x.noise.df) + POWER_Z
    needed = count_needed_launches(x.noise, c.log, z)
    why = f"within the noise of {min(c.launches)} launches ({x.origin})"
    if needed is None:
        why += "; only --confirm or an --ab run would tell"
    return Unclear(why, c, needed)


def _was_busy(x: PendingChange) -> bool:
    """Whether the slower run's launches were mostly held up by others: that is not the cell's doing."""
    slower = x.pair.current if x.change.ratio > 1 else x.pair.previous
    return MEASURED[x.metric].unit != "MiB" and slower.disturbed > BUSY


def _make_line(pair: CellPair, metric: Metric, verdict: Verdict) -> Line:
    cell = pair.current
    runs = (("previous", pair.previous), ("current", cell)) if metric in MEASURED else ()
    seen = tuple(f"{word}: {text}" for word, c in runs for text in c.disturbances)
    return Line(
        cell.id, cell.model, cell.target, metric, verdict, pair.across, seen, shapes=cell.shapes
    )
