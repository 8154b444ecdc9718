"""The ratio of a measured number in two runs, weighed against the noise of how it was collected."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean, median, stdev

from comparison.cell_summary import CellSummary, LaunchSummary, Metric
from comparison.noise import Noise, ratio_deviation
from comparison.verdict import Change, Faster, Same, Slower, Unclear, Verdict
from perf.results.latency import NS_PER_MS
from perf.stats.sequential_test import (
    Evidence,
    Improved,
    Pair,
    Regressed,
    Shift,
    StoppingRule,
    Unchanged,
    Undecided,
    Unsettled,
    decide,
    estimate_over_all,
    estimate_ratio,
    find_shift,
    rule_for,
    tail_ratio,
)
from perf.stats.summary import POWER_Z, mad, t_cdf, t_quantile

t_at = functools.cache(t_quantile)  # the same few quantiles, for thousands of cells
LaunchPairs = Sequence[tuple[LaunchSummary, LaunchSummary]]


# --- runs apart in time


def weigh_stored(
    a: CellSummary, b: CellSummary, metric: Metric, noise: Noise, level: float
) -> tuple[Change, Noise] | None:
    """Two runs apart in time; None where one has no such number.

    The least of the launches' statistics stands for a run: what disturbs a launch makes it slower
    (measuring: 4-10 % false alarms against 17-30 % for means and medians, before any noise bound). Of a p50
    the change told is that of the medians in the tables, believed as far as that least moved too. Returns
    the noise used too: data noisier than the profile widens it.
    """
    before, after = _collect_values(a, metric), _collect_values(b, metric)
    if not before or not after:
        return None
    found, noise = _weigh(before, after, min, noise, level, "stored")
    if metric is not Metric.P50 or not (metric in a.values and metric in b.values):
        return found, noise
    return _as_shown(found, (a.values[metric], b.values[metric]), noise), noise


def _as_shown(found: Change, shown: tuple[float, float], noise: Noise) -> Change:
    """The change of the numbers shown, with the reach of what was weighed, as far as both support it."""
    log_ratio = math.log(shown[1] / shown[0])
    reach = math.log(found.high) - found.log
    together = min(abs(log_ratio), abs(found.log)) if log_ratio * found.log > 0 else 0.0
    error = reach / t_at(0.975, noise.df)
    return replace(
        found, ratio=math.exp(log_ratio), previous=shown[0], current=shown[1],
        low=math.exp(log_ratio - reach), high=math.exp(log_ratio + reach),
        p=1 - t_cdf(together / error, noise.df),
    )  # fmt: skip


def weigh_by_canary(
    a: CellSummary,
    b: CellSummary,
    canary_a: Sequence[LaunchSummary],
    canary_b: Sequence[LaunchSummary],
    metric: Metric,
    noise: Noise,
    level: float,
) -> tuple[Change, Noise] | None:
    """Two runs apart in time, each launch divided by the canary's launch nearest to it."""
    before, after = (
        [x.values[metric] for x in divide_by_canary(c.launches, canary, metric)]
        for c, canary in ((a, canary_a), (b, canary_b))
    )
    if not before or not after:
        return None
    previous = median(_collect_values(a, metric))
    return _weigh(before, after, median, noise, level, "canary", previous)


def divide_by_canary(
    launches: Sequence[LaunchSummary], canary: Sequence[LaunchSummary], metric: Metric
) -> list[LaunchSummary]:
    """Each launch's number over that of the canary's launch nearest to it in the run's order."""
    beside = [x for x in canary if metric in x.values]
    if not beside:
        return []
    return [
        replace(x, values={metric: x.values[metric] / _find_nearest(x, beside).values[metric]})
        for x in launches
        if metric in x.values
    ]


def _find_nearest(launch: LaunchSummary, others: Sequence[LaunchSummary]) -> LaunchSummary:
    return min(others, key=lambda x: (abs(x.order - launch.order), x.order))


def _collect_values(cell: CellSummary, metric: Metric) -> Sequence[float]:
    """The number of every launch that has it; the cell's own where its source knows no launches."""
    values = [x.values[metric] for x in cell.launches if metric in x.values]
    return values or [cell.values[metric]] if metric in cell.values else values


def _weigh(
    before: Sequence[float],
    after: Sequence[float],
    centre: Callable[[Sequence[float]], float],
    noise: Noise,
    level: float,
    basis: str,
    previous: float | None = None,  # None: the centre
) -> tuple[Change, Noise]:
    logs = [list(map(math.log, values)) for values in (before, after)]
    seen = [mad(x) for x in logs if len(x) >= 3]
    noise = replace(noise, launch=max([noise.launch, *seen]))
    log_ratio, counts = centre(logs[1]) - centre(logs[0]), (len(before), len(after))
    error = ratio_deviation(noise, counts)
    reach, power = t_at(0.975, noise.df) * error, (t_at(1 - level, noise.df) + POWER_Z) * error
    p = 1 - t_cdf(abs(log_ratio) / error, noise.df)
    previous = math.exp(centre(logs[0])) if previous is None else previous
    return _make_change(log_ratio, reach, power, p, basis, previous, counts), noise


def _make_change(
    log_ratio: float,
    reach: float,
    power: float,
    p: float | None,
    basis: str,
    previous: float,
    launches: tuple[int, int],
) -> Change:
    """A change from logarithms: of the ratio, its interval's half and the least one that would be seen."""
    ratio = math.exp(log_ratio)
    low, high = math.exp(log_ratio - reach), math.exp(log_ratio + reach)
    return Change(
        ratio, low, high, math.expm1(power), p, basis, previous, previous * ratio, launches
    )


# --- launches of an A/B run, which are neighbours in time


def pair_launches(a: CellSummary, b: CellSummary) -> LaunchPairs:
    """Launches of the same boot and round, in the order they ran; one without a partner is left out."""
    partners = {(x.boot_id, x.round): x for x in b.launches}
    found = [(x, partners.get((x.boot_id, x.round))) for x in a.launches]
    pairs = [(x, y) for x, y in found if y is not None]
    return sorted(pairs, key=lambda p: min(p[0].order, p[1].order))


def weigh_pairs(pairs: Sequence[tuple[float, float]]) -> Change:
    """Neighbouring launches: Student's t on the log ratios (Student, Biometrika 6 (1908) 1-25).

    Needs at least two pairs of positive numbers.
    """
    logs = [math.log(y / x) for x, y in pairs]
    previous = median(x for x, _ in pairs)
    k, centre = len(logs), fmean(logs)
    error = max(stdev(logs), 1e-4) / math.sqrt(k)
    reach, power = t_at(0.975, k - 1) * error, (t_at(0.99, k - 1) + POWER_Z) * error
    p = 1 - t_cdf(abs(centre) / error, k - 1)
    return _make_change(centre, reach, power, p, "paired", previous, (k, k))


def decide_pairs(launches: LaunchPairs, metric: Metric, rule: StoppingRule) -> Verdict:
    """The sequential rule's decision as a verdict on p50 (the 10th percentile) or on the tail ratio."""
    pairs = [(x.samples_ns, y.samples_ns) for x, y in launches]
    rule = rule_for(pairs, rule)
    decision, tail = decide(pairs, rule), metric is Metric.TAIL_RATIO
    if decision.evidence is None:
        return Unclear(f"{len(pairs)} pairs of launches; a first look takes {rule.first_look}")
    evidence = decision.evidence
    change, shift = _weigh_evidence(evidence, pairs, rule, tail=tail)
    note = f"{evidence.pairs_used} pairs"
    match decision:
        case Unsettled(_, why, contradicted=True):
            return Unclear(why, change)
        case Undecided() | Unsettled() if shift is Shift.NONE:  # only the other statistic is open
            return Same(change, note)
        case Undecided():
            return Unclear(f"open after {note}", change, evidence.pairs_used + rule.step)
        case Unsettled(_, why):
            return Unclear(why, change)
        case Unchanged():
            return Same(change, note)
        case Regressed(_, in_tail) | Improved(_, in_tail) if in_tail is not tail:
            return _decide_beside(pairs, rule, tail=tail)
        case Regressed() | Improved():
            kind = Slower if isinstance(decision, Regressed) else Faster
            if not tail and (change.ratio > 1) is not (kind is Slower):
                return Unclear("its undisturbed runs changed, and its median did not", change)
            return kind(change, suspect=False, note=note)


def _decide_beside(pairs: Sequence[Pair], rule: StoppingRule, *, tail: bool) -> Verdict:
    """What all pairs say of the statistic that the decision did not rest on."""
    evidence = estimate_over_all(pairs, rule)
    change, shift = _weigh_evidence(evidence, pairs, rule, tail=tail)
    note = f"{evidence.pairs_used} pairs"
    match shift:
        case Shift.OPEN:
            return Unclear("decided by p50" if tail else "decided by the slow end", change)
        case Shift.NONE:
            return Same(change, note)
        case Shift.SLOWER:
            return Slower(change, suspect=False, note=note)
        case Shift.FASTER:
            return Faster(change, suspect=False, note=note)


def _weigh_evidence(
    evidence: Evidence, pairs: Sequence[Pair], rule: StoppingRule, *, tail: bool
) -> tuple[Change, Shift]:
    """One statistic's change, and where it lies against its threshold.

    Whether a latency changed is decided by the 10th percentiles, which disturbances leave alone; what is told
    is the change of the medians.
    """
    threshold = rule.tail_threshold if tail else rule.threshold
    estimate = evidence.tail if tail else evidence.p10
    shift = find_shift(estimate, threshold, rule.z)
    used = [(a[: rule.runs], b[: rule.runs]) for a, b in pairs if a and b][: evidence.pairs_used]
    if tail:
        values = [tail_ratio(a) for a, _ in used]
    else:
        values = [median(a) / NS_PER_MS for a, _ in used]
        estimate = estimate_ratio([math.log(median(b) / median(a)) for a, b in used], rule.floor)
    reach = rule.z * estimate.error
    power = math.log1p(threshold) + (rule.z + POWER_Z) * estimate.error
    counts = (evidence.pairs_used, evidence.pairs_used)
    previous = median(values)
    change = _make_change(estimate.log_ratio, reach, power, None, "paired", previous, counts)
    return change, shift
