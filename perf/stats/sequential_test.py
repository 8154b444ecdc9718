"""When pairs of neighbouring launches suffice to call a cell slower, faster or the same, and at what risk."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    tail_threshold: float = 0.05  # the same for the slow end, which sees slowdowns of some runs
    first: int = 5  # pairs before the first look
    step: int = 2  # pairs between looks
    cap: int = 60  # pairs after which nothing more is learnt at a reasonable price
    z: float = 2.0  # standard errors between the centre and the threshold
    sign: float = 0.04  # and so improbable by the sign test, which no shape of noise misleads
    floor: float = 0.003  # spread of one pair's log ratio that is never believed to be smaller
    runs: int = 20  # timed runs of a launch that are used: more buy next to nothing
    confirm: bool = True  # a flag must be raised again by fresh pairs


@dataclass(frozen=True)
class Estimate:
    """A log ratio B/A from paired launches, with its standard error."""

    log_ratio: float
    error: float
    pairs: int

    @property
    def ratio(self) -> float:
        """B over A."""
        return math.exp(self.log_ratio)

    def interval(self, z: float = 2.0) -> tuple[float, float]:
        """Ratios z standard errors below and above."""
        reach = z * self.error
        return math.exp(self.log_ratio - reach), math.exp(self.log_ratio + reach)


@dataclass(frozen=True)
class Evidence:
    """Both statistics of a decision: the undisturbed end of each launch, and its slow end."""

    low: Estimate  # of each launch's `low_end`: what the code costs, undisturbed
    tail: Estimate  # of each launch's `slow_end`: what some of its runs cost more
    pairs_used: int  # confirmation included


@dataclass(frozen=True)
class Undecided:
    """More pairs can still settle it."""

    evidence: Evidence | None  # None: fewer pairs than one look takes


@dataclass(frozen=True)
class Regressed:
    """B is slower than A by more than a threshold, and was so again in fresh pairs."""

    evidence: Evidence
    in_tail: bool  # only the slow end moved: some of the runs are slower


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
    contradicted: bool = False  # a flag was raised, and fresh pairs did not repeat it


Decision: TypeAlias = Undecided | Regressed | Improved | Unchanged | Unsettled


def p10(samples: Samples) -> float:
    """The 10th percentile, in the samples' unit: disturbances only ever add time."""
    return quantile(sorted(samples), 0.10)


def tail_ratio(samples: Samples) -> float:
    """The 90th percentile over the 10th: how far the slow runs of a launch lie above the others.

    What slows a tenth to nine tenths of the runs moves it; what slows more of them moves `low_end`.
    """
    ordered = sorted(samples)
    return quantile(ordered, 0.90) / quantile(ordered, 0.10)


def estimate_ratio(log_ratios: Sequence[float], floor: float) -> Estimate:
    """Median of paired log ratios and its standard error; their spread is at least `floor`.

    The scaled MAD is a robust standard deviation (Rousseeuw & Croux, JASA 88 (1993) 1273-1283).
    """
    k = len(log_ratios)
    return Estimate(median(log_ratios), standard_error(max(floor, mad(log_ratios)), k), k)


def standard_error(spread: float, pairs: int) -> float:
    """Standard error of the median of so many pairs.

    sqrt(pi/2) is that of a median over that of a mean, for many normal values (Kendall & Stuart, The
    Advanced Theory of Statistics, vol. 1); 1 + 2/k pays for there being few.
    """
    return MEDIAN_COST * spread / math.sqrt(pairs) * (1 + 2 / pairs)


def decide(pairs: Sequence[Pair], rule: StoppingRule) -> Decision:
    """Judge pairs in the order they ran; the first look that decides stands, whatever follows it.

    Pairs beyond what a decision needed change nothing, so that stored pairs give the same answer
    as the run that stopped on them. A flag is confirmed on the pairs that come after it.
    """
    rule = rule_for(pairs, rule)
    low, tail = _log_ratios(pairs, rule)
    first = _stage(low, tail, rule)
    if not (rule.confirm and isinstance(first, Regressed | Improved)):
        return first
    spent = first.evidence.pairs_used
    second = _stage(low[spent:], tail[spent:], rule)
    match second:
        case Undecided(evidence):
            return Undecided(_after(evidence or first.evidence, spent if evidence else 0))
        case Regressed(evidence) | Improved(evidence) if type(second) is type(first):
            return replace(second, evidence=_after(evidence, spent))
        case Regressed(evidence) | Improved(evidence) | Unchanged(evidence) | Unsettled(evidence):
            word = "slower" if isinstance(first, Regressed) else "faster"
            why = f"{word} in {spent} pairs, and not again in {evidence.pairs_used} fresh ones"
            return Unsettled(_after(evidence, spent), why, contradicted=True)


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
    low, tail = _log_ratios(pairs, rule)
    return Evidence(estimate_ratio(low, rule.floor), estimate_ratio(tail, rule.floor), len(low))


def _log_ratios(pairs: Sequence[Pair], rule: StoppingRule) -> tuple[list[float], list[float]]:
    usable = [(a[: rule.runs], b[: rule.runs]) for a, b in pairs if a and b]
    low = [math.log(p10(b) / p10(a)) for a, b in usable]
    return low, [math.log(tail_ratio(b) / tail_ratio(a)) for a, b in usable]


def _after(evidence: Evidence, spent: int) -> Evidence:
    return replace(evidence, pairs_used=evidence.pairs_used + spent)


def _stage(low: Sequence[float], tail: Sequence[float], rule: StoppingRule) -> Decision:
    """One pass of the sequential rule over the log ratios of both statistics."""
    limit, tail_limit = math.log1p(rule.threshold), math.log1p(rule.tail_threshold)
    evidence = None
    for k in range(rule.first, min(len(low), rule.cap) + 1, rule.step):
        a, b = estimate_ratio(low[:k], rule.floor), estimate_ratio(tail[:k], rule.floor)
        evidence = Evidence(a, b, k)
        here, there = sign_of_change(a, limit, rule.z), sign_of_change(b, tail_limit, rule.z)
        here = here if _signs_agree(low[:k], here, rule) else None
        there = there if _signs_agree(tail[:k], there, rule) else None
        if 1 in (here, there) and -1 not in (here, there):
            return Regressed(evidence, in_tail=here != 1)
        if -1 in (here, there) and 1 not in (here, there):
            return Improved(evidence, in_tail=here != -1)
        if here == 0 and there == 0:
            return Unchanged(evidence)
    if evidence is None or evidence.pairs_used + rule.step <= rule.cap:
        return Undecided(evidence)
    return Unsettled(evidence, f"still open after {evidence.pairs_used} pairs")


def sign_of_change(e: Estimate, limit: float, z: float) -> int | None:
    """1 or -1: above or below a log ratio's limit; 0: within it on both sides; None: cannot tell."""
    low, high = e.log_ratio - z * e.error, e.log_ratio + z * e.error
    if low > limit:
        return 1
    if high < -limit:
        return -1
    return 0 if -limit <= low and high <= limit else None


def _signs_agree(log_ratios: Sequence[float], to: int | None, rule: StoppingRule) -> bool:
    """The sign test (Dixon & Mood, JASA 41 (1946) 557-566): are so many pairs to one side improbable?"""
    if to not in (1, -1):
        return True
    n, alike = len(log_ratios), sum(x * to > 0 for x in log_ratios)
    ways = sum(math.comb(n, i) for i in range(alike, n + 1))
    return ways <= rule.sign * (1 << n)
