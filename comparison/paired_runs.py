"""An A/B run's launches as pairs of neighbours in time, and what the sequential rule says of them."""

import math
from collections.abc import Sequence
from statistics import median

from comparison.cell_summary import CellSummary, LaunchSummary, Metric
from comparison.change import POWER_Z
from comparison.verdict import Change, Faster, Same, Slower, Unclear, Verdict
from perf.stats.sequential_test import (
    Evidence,
    Improved,
    Pair,
    Regressed,
    StoppingRule,
    Unchanged,
    Undecided,
    Unsettled,
    decide,
    estimate_over_all,
    p10,
    rule_for,
    sign_of_change,
    tail_ratio,
)

NS_PER_MS = 1e6
Pairs = Sequence[tuple[LaunchSummary, LaunchSummary]]


def pairs_of(a: CellSummary, b: CellSummary) -> Pairs:
    """Launches of the same boot and round, in the order they ran; a launch without partner is left out."""
    partners = {(x.boot_id, x.round): x for x in b.launches}
    found = [
        (x, partners[x.boot_id, x.round]) for x in a.launches if (x.boot_id, x.round) in partners
    ]
    return sorted(found, key=lambda p: min(p[0].order, p[1].order))


def decided(pairs: Pairs, metric: Metric, rule: StoppingRule) -> Verdict:
    """The rule's decision as a verdict on p50 (the undisturbed end) or on the slow end."""
    samples = [(x.samples_ns, y.samples_ns) for x, y in pairs]
    rule = rule_for(samples, rule)
    decision = decide(samples, rule)
    if decision.evidence is None:
        return Unclear(f"{len(pairs)} pairs of launches; a first look takes {rule.first}")
    evidence: Evidence = decision.evidence
    tail = metric is Metric.SLOW_END
    told = _change(evidence, samples, metric, rule)
    where = sign_of_change(evidence.tail if tail else evidence.low, limit_of(tail, rule), rule.z)
    match decision:
        case Unsettled(_, why, contradicted=True):
            return Unclear(why, told)
        case Undecided() | Unsettled() if where == 0:  # only the other statistic is still open
            return Same(told, _note(evidence))
        case Undecided():
            needed = evidence.pairs_used + rule.step
            return Unclear(f"open after {evidence.pairs_used} pairs", told, needed)
        case Unsettled(_, why):
            return Unclear(why, told)
        case Unchanged():
            return Same(told, _note(evidence))
        case Regressed(_, in_tail) | Improved(_, in_tail):
            if in_tail is tail:
                kind = Slower if told.ratio > 1 else Faster
                return kind(told, suspect=False, note=_note(evidence))
            return _beside(samples, metric, rule)


def _beside(samples: Sequence[Pair], metric: Metric, rule: StoppingRule) -> Verdict:
    """What all pairs say of the statistic that the decision did not rest on."""
    tail, found = metric is Metric.SLOW_END, estimate_over_all(samples, rule)
    told = _change(found, samples, metric, rule)
    where = sign_of_change(found.tail if tail else found.low, limit_of(tail, rule), rule.z)
    if where is None:
        return Unclear("decided by p50" if tail else "decided by the slow end", told)
    if where == 0:
        return Same(told, _note(found))
    kind = Slower if where > 0 else Faster
    return kind(told, suspect=False, note=_note(found))


def limit_of(tail: bool, rule: StoppingRule) -> float:
    """The log ratio up to which a statistic is unchanged."""
    return math.log1p(rule.tail_threshold if tail else rule.threshold)


def _note(evidence: Evidence) -> str:
    return f"{evidence.pairs_used} pairs"


def _change(
    evidence: Evidence, samples: Sequence[Pair], metric: Metric, rule: StoppingRule
) -> Change:
    tail = metric is Metric.SLOW_END
    e = evidence.tail if tail else evidence.low
    low, high = e.interval(rule.z)
    before = [a[: rule.runs] for a, _ in samples if a]
    previous = median(map(tail_ratio, before)) if tail else median(map(p10, before)) / NS_PER_MS
    return Change(
        ratio=e.ratio,
        low=low,
        high=high,
        detectable=math.expm1(limit_of(tail, rule) + (rule.z + POWER_Z) * e.error),
        p=None,
        basis="paired",
        previous=previous,
        current=previous * e.ratio,
        launches=(evidence.pairs_used, evidence.pairs_used),
    )
