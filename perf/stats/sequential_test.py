"""When pairs of neighbouring launches suffice to call a cell slower, faster or the same, and at what risk."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from statistics import median
from typing import TypeAlias

from perf.stats.summary import mad, quantile

Samples: TypeAlias = Sequence[int]  # one launch's timed runs, in nanoseconds, in order
Pair: TypeAlias = tuple[Samples, Samples]  # neighbouring launches of side A and side B

MEDIAN_COST = math.sqrt(math.pi / 2)
# Below this, what is timed is mostly the call into the engine, and a process's memory layout, which the
# launches forked from one host share, moves it by several percent: 4.8 % was seen between two hosts alike.
OVERHEAD_BOUND_NS = 100_000
OVERHEAD_BOUND_THRESHOLD = 0.10


@dataclass(frozen=True)
class StoppingRule:
    """A sequential test over pairs of launches; its error rates are in docs/performance.md."""

    threshold: float = 0.025  # a relative change up to this is no change
    tail_threshold: float = 0.05  # the same of the tail ratio, which sees slowdowns of some runs
    first_look: int = 5  # pairs before it
    step: int = 2  # pairs between looks
    cap: int = 60  # pairs after which nothing more is learnt at a reasonable price
    z: float = 2.0  # standard errors between the centre and the threshold
    sign: float = 0.04  # and so improbable by the sign test, which no shape of noise misleads
    floor: float = 0.003  # spread of one pair's log ratio that is never believed to be smaller
    runs: int = 20  # timed runs of a launch that are used: more buy next to nothing
    confirm: bool = True  # a change must be found again in fresh pairs


@dataclass(frozen=True)
class Estimate:
    """A log ratio B/A from paired launches, with its standard error."""

    log_ratio: float
    error: float


@dataclass(frozen=True)
class Evidence:
    """Both statistics of a decision."""

    p10: Estimate  # of each launch's 10th percentile: what the code costs, undisturbed
    tail: Estimate  # of each launch's `tail_ratio`: what some of its runs cost more
    pairs_used: int  # confirmation included


@dataclass(frozen=True)
class Undecided:
    """More pairs can still settle it."""

    evidence: Evidence | None  # None: fewer pairs than one look takes


@dataclass(frozen=True)
class Regressed:
    """B is slower than A by more than a threshold, and was so again in fresh pairs."""

    evidence: Evidence
    in_tail: bool  # only the tail ratio moved: some of the runs are slower


@dataclass(frozen=True)
class Improved:
    """B is faster than A by more than a threshold, and was so again in fresh pairs."""

    evidence: Evidence
    in_tail: bool


@dataclass(frozen=True)
class Unchanged:
    """Neither statistic can differ by more than its threshold."""

    evidence: Evidence


@dataclass(frozen=True)
class Unsettled:
    """No more pairs would be spent on it, and the answer is not known."""

    evidence: Evidence
    why: str
    contradicted: bool = False  # a change was found, and fresh pairs did not repeat it


Decision: TypeAlias = Undecided | Regressed | Improved | Unchanged | Unsettled


class Shift(Enum):
    """What the interval of one statistic's ratio B/A says, held against a threshold."""

    SLOWER = "above the threshold"
    FASTER = "below it on the other side"
    NONE = "within it on both sides"
    OPEN = "on both sides of it: more pairs are needed to tell"


def p10(samples: Samples) -> float:
    """The 10th percentile, in the samples' unit: disturbances only ever add time."""
    return quantile(sorted(samples), 0.10)


def tail_ratio(samples: Samples) -> float:
    """The 90th percentile over the 10th: how far the slow runs of a launch lie above the others.

    What slows a tenth to nine tenths of the runs moves it; what slows more of them moves the 10th.
    """
    ordered = sorted(samples)
    return quantile(ordered, 0.90) / quantile(ordered, 0.10)


def estimate_ratio(log_ratios: Sequence[float], floor: float) -> Estimate:
    """Median of paired log ratios and its standard error; their spread is at least `floor`.

    The scaled MAD is a robust standard deviation (Rousseeuw & Croux, JASA 88 (1993) 1273-1283).
    """
    spread = max(floor, mad(log_ratios))
    return Estimate(median(log_ratios), standard_error(spread, len(log_ratios)))


def standard_error(spread: float, pairs: int) -> float:
    """Standard error of the median of so many pairs.

    sqrt(pi/2) is that of a median over that of a mean, for many normal values (Kendall & Stuart, The
    Advanced Theory of Statistics, vol. 1); 1 + 2/k pays for there being few.
    """
    return MEDIAN_COST * spread / math.sqrt(pairs) * (1 + 2 / pairs)


def decide(pairs: Sequence[Pair], rule: StoppingRule) -> Decision:
    """Judge pairs in the order they ran; the first look that decides stands, whatever follows it.

    Pairs beyond what a decision needed change nothing, so that stored pairs give the same answer
    as the run that stopped on them. A change is confirmed on the pairs that come after it.
    """
    rule = rule_for(pairs, rule)
    p10s, tails = _log_ratios(pairs, rule)
    found = _decide_once(p10s, tails, rule)
    if not (rule.confirm and isinstance(found, Regressed | Improved)):
        return found
    spent = found.evidence.pairs_used
    again = _decide_once(p10s[spent:], tails[spent:], rule)
    if again.evidence is None:
        return Undecided(found.evidence)
    evidence = replace(again.evidence, pairs_used=spent + again.evidence.pairs_used)
    match again:
        case Undecided():
            return Undecided(evidence)
        case Regressed() | Improved() if type(again) is type(found):
            return replace(again, evidence=evidence)
        case Regressed() | Improved() | Unchanged() | Unsettled():
            word = "slower" if isinstance(found, Regressed) else "faster"
            fresh = again.evidence.pairs_used
            why = f"{word} in {spent} pairs, and not again in {fresh} fresh ones"
            return Unsettled(evidence, why, contradicted=True)


def rule_for(pairs: Sequence[Pair], rule: StoppingRule) -> StoppingRule:
    """The rule for these launches: models that are all overhead are held to a coarser threshold."""
    usual = [p10(a) for a, b in pairs if a and b]
    if not usual or median(usual) >= OVERHEAD_BOUND_NS:
        return rule
    return replace(
        rule,
        threshold=max(rule.threshold, OVERHEAD_BOUND_THRESHOLD),
        tail_threshold=max(rule.tail_threshold, OVERHEAD_BOUND_THRESHOLD),
    )


def estimate_over_all(pairs: Sequence[Pair], rule: StoppingRule) -> Evidence:
    """Both statistics of all pairs, for what no decision was asked of; raises ValueError for none."""
    return _estimate(*_log_ratios(pairs, rule), rule)


def _log_ratios(pairs: Sequence[Pair], rule: StoppingRule) -> tuple[list[float], list[float]]:
    usable = [(a[: rule.runs], b[: rule.runs]) for a, b in pairs if a and b]
    p10s = [math.log(p10(b) / p10(a)) for a, b in usable]
    return p10s, [math.log(tail_ratio(b) / tail_ratio(a)) for a, b in usable]


def _estimate(p10s: Sequence[float], tails: Sequence[float], rule: StoppingRule) -> Evidence:
    p10_ratio, tail = estimate_ratio(p10s, rule.floor), estimate_ratio(tails, rule.floor)
    return Evidence(p10_ratio, tail, len(p10s))


def _decide_once(p10s: Sequence[float], tails: Sequence[float], rule: StoppingRule) -> Decision:
    """One pass of looks over the log ratios of both statistics, without confirmation."""
    evidence = None
    for k in range(rule.first_look, min(len(p10s), rule.cap) + 1, rule.step):
        evidence = _estimate(p10s[:k], tails[:k], rule)
        usual = _prove_by_signs(find_shift(evidence.p10, rule.threshold, rule.z), p10s[:k], rule)
        tail = find_shift(evidence.tail, rule.tail_threshold, rule.z)
        match usual, _prove_by_signs(tail, tails[:k], rule):
            case (Shift.SLOWER, Shift.FASTER) | (Shift.FASTER, Shift.SLOWER):
                pass  # they contradict each other: look again
            case Shift.SLOWER, _:
                return Regressed(evidence, in_tail=False)
            case Shift.FASTER, _:
                return Improved(evidence, in_tail=False)
            case _, Shift.SLOWER:
                return Regressed(evidence, in_tail=True)
            case _, Shift.FASTER:
                return Improved(evidence, in_tail=True)
            case Shift.NONE, Shift.NONE:
                return Unchanged(evidence)
    if evidence is None or evidence.pairs_used + rule.step <= rule.cap:
        return Undecided(evidence)
    return Unsettled(evidence, f"still open after {evidence.pairs_used} pairs")


def find_shift(e: Estimate, threshold: float, z: float) -> Shift:
    """Where a ratio's interval of z standard errors lies against a relative threshold."""
    limit = math.log1p(threshold)
    low, high = e.log_ratio - z * e.error, e.log_ratio + z * e.error
    if low > limit:
        return Shift.SLOWER
    if high < -limit:
        return Shift.FASTER
    return Shift.NONE if -limit <= low and high <= limit else Shift.OPEN


def _prove_by_signs(shift: Shift, log_ratios: Sequence[float], rule: StoppingRule) -> Shift:
    """The shift, or open where the sign test (Dixon & Mood, JASA 41 (1946) 557-566) does not agree.

    Are so many pairs to one side improbable?
    """
    if shift in (Shift.NONE, Shift.OPEN):
        return shift
    n, to = len(log_ratios), 1 if shift is Shift.SLOWER else -1
    alike = sum(x * to > 0 for x in log_ratios)
    ways = sum(math.comb(n, i) for i in range(alike, n + 1))
    return shift if ways <= rule.sign * (1 << n) else Shift.OPEN
