"""Numbers drawn from stored samples: quantiles that n supports, spread between launches, intervals."""

import math
import statistics as stdlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

Figures = TypeVar("Figures", "Summary", "Spread")
MAD_TO_SIGMA = 1.4826  # 1 / Phi^-1(3/4): a MAD of normal data, as a standard deviation
CONFIDENCE = 0.95
POWER_Z = 0.8416  # normal quantile of 80 % power
LAUNCHES_CONFIDENCE = 0.90  # five launches, the default, reach 93.75 % and never 95 %


@dataclass(frozen=True)
class Interval:
    """An estimate's bounds and the confidence they really have."""

    low: float
    high: float
    level: float

    def holds(self, value: float) -> bool:
        """Whether the value lies within, bounds included."""
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Summary:
    """One set of samples in the samples' own unit; a percentile that n cannot support is None."""

    n: int
    mean: float
    stdev: float | None  # n - 1; None for a single sample
    minimum: float
    p50: float
    p90: float | None
    p95: float | None
    p99: float | None
    maximum: float


@dataclass(frozen=True)
class Spread:
    """How the medians of a cell's launches differ: launches, not samples, are the unit of evidence."""

    launches: int
    median: float
    mad: float | None  # times 1.4826; None for a single launch
    half_range: float | None  # (largest - smallest) / 2; None for a single launch
    interval: Interval | None  # of the median; None for fewer launches than it takes


def quantile(ordered: Sequence[float], p: float) -> float:
    """Quantile of ascending samples, linear between order statistics.

    Type 7 of Hyndman & Fan, "Sample Quantiles in Statistical Packages", The American Statistician 50
    (1996) 361-365: numpy's default. Raises ValueError for no samples or p outside [0, 1].
    """
    if not ordered or not 0.0 <= p <= 1.0:
        raise ValueError(f"a quantile needs samples and p in [0, 1], got {len(ordered)} and {p}")
    place = (len(ordered) - 1) * p
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    low, high = float(ordered[below]), float(ordered[above])
    return min(max(low + (high - low) * (place - below), low), high)


def samples_needed(p: float, confidence: float = CONFIDENCE) -> int:
    """Fewest samples whose largest is an upper bound of the p-quantile: p^n <= 1 - confidence.

    Wilks, "Determination of Sample Sizes for Setting Tolerance Limits", Annals of Mathematical
    Statistics 12 (1941) 91-96: 29 for p90, 59 for p95, 299 for p99 at 95 %.
    """
    return math.ceil(math.log(1.0 - confidence) / math.log(p))


def supported_quantile(ordered: Sequence[float], p: float) -> float | None:
    """The p-quantile where n can support it (`samples_needed`), else None."""
    return quantile(ordered, p) if len(ordered) >= samples_needed(p) else None


def summarise(samples: Sequence[float]) -> Summary | None:
    """Summarise samples of any unit; None where there are none."""
    if not samples:
        return None
    ordered = sorted(samples)
    return Summary(
        n=len(ordered),
        mean=(mean := stdlib.fmean(ordered)),
        stdev=_deviation(ordered, mean) if len(ordered) > 1 else None,
        minimum=float(ordered[0]),
        p50=quantile(ordered, 0.50),
        p90=supported_quantile(ordered, 0.90),
        p95=supported_quantile(ordered, 0.95),
        p99=supported_quantile(ordered, 0.99),
        maximum=float(ordered[-1]),
    )


def _deviation(samples: Sequence[float], mean: float) -> float:
    """The standard deviation of a sample (n - 1): statistics.stdev, in fractions, takes ten times as long."""
    return math.sqrt(math.fsum((x - mean) ** 2 for x in samples) / (len(samples) - 1))


def mad(values: Sequence[float]) -> float:
    """Median absolute deviation from the median, times 1.4826; raises ValueError for no values."""
    if not values:
        raise ValueError("no values")
    centre = stdlib.median(values)
    return MAD_TO_SIGMA * stdlib.median(abs(v - centre) for v in values)


def spread(medians: Sequence[float]) -> Spread | None:
    """Spread of the launches' medians; None where no launch was measured."""
    if not medians:
        return None
    alone = len(medians) == 1
    return Spread(
        launches=len(medians),
        median=float(stdlib.median(medians)),
        mad=None if alone else mad(medians),
        half_range=None if alone else (max(medians) - min(medians)) / 2,
        interval=median_interval(medians),
    )


def median_interval(
    values: Sequence[float], confidence: float = LAUNCHES_CONFIDENCE
) -> Interval | None:
    """Distribution-free interval for the median: the innermost pair of order statistics that reaches it.

    The k-th smallest and k-th largest of n hold the median with probability 1 - 2 P(Binomial(n, 1/2)
    < k): David & Nagaraja, Order Statistics (3rd ed. 2003), section 7.1. None where even the two
    extremes do not reach `confidence` (n < 5 for 90 %); the level is the one attained.
    """
    n, ordered = len(values), sorted(values)
    best: Interval | None = None
    for k in range(1, n // 2 + 1):
        level = 1.0 - 2.0 * sum(math.comb(n, i) for i in range(k)) / 2**n
        if level < confidence:
            break
        best = Interval(float(ordered[k - 1]), float(ordered[n - k]), level)
    return best


def t_cdf(t: float, df: int) -> float:
    """Student's t distribution function for whole degrees of freedom.

    Abramowitz & Stegun, Handbook of Mathematical Functions (1964), 26.7.3 and 26.7.4. Raises
    ValueError for df < 1.
    """
    if df < 1:
        raise ValueError(f"t needs at least 1 degree of freedom, got {df}")
    angle = math.atan2(abs(t), math.sqrt(df))
    cos2, within = math.cos(angle) ** 2, 0.0
    if df % 2 == 0:
        term = total = 1.0
        for k in range(1, df // 2):
            term *= cos2 * (2 * k - 1) / (2 * k)
            total += term
        within = math.sin(angle) * total
    else:
        term = total = math.cos(angle) if df > 1 else 0.0
        for k in range(1, (df - 1) // 2):
            term *= cos2 * (2 * k) / (2 * k + 1)
            total += term
        within = 2.0 / math.pi * (angle + math.sin(angle) * total)
    return 0.5 + math.copysign(within / 2.0, t)


def t_quantile(p: float, df: int) -> float:
    """The t that `t_cdf` maps to p, by bisection; raises ValueError for p outside (0, 1)."""
    if not 0.0 < p < 1.0:
        raise ValueError(f"p must lie in (0, 1), got {p}")
    if p < 0.5:
        return -t_quantile(1.0 - p, df)
    low, high = 0.0, 1.0
    while t_cdf(high, df) < p:
        high *= 2.0
    for _ in range(200):
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        low, high = (middle, high) if t_cdf(middle, df) < p else (low, middle)
    return (low + high) / 2.0


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """Student's interval for a mean, mean ± t s / sqrt(n); None for fewer than two values.

    Student, "The Probable Error of a Mean", Biometrika 6 (1908) 1-25.
    """
    n = len(values)
    if n < 2:
        return None
    centre = stdlib.fmean(values)
    reach = t_quantile((1.0 + confidence) / 2.0, n - 1) * stdlib.stdev(values) / math.sqrt(n)
    return Interval(centre - reach, centre + reach, confidence)


@dataclass(frozen=True)
class PairedGain:
    """How much less time a subject takes than a base, in % of the base, from pairs of launches."""

    percent: float
    interval: Interval | None  # None: one pair tells nothing of its own error
    pairs: int
    of_medians: float | None = (
        None  # the base's median over the subject's, where they are shown beside it
    )
    is_visible: bool = True  # not less than what such pairs would show in four of five cases
    held_back: str = ""  # why nothing is claimed whatever the pairs say

    @property
    def speedup(self) -> float:
        """How many times as fast as the base; by the medians shown beside it, where there are any."""
        return self.of_medians or factor_of(self.percent)

    @property
    def claimed(self) -> bool:
        """Whether the interval is there and does not hold 0, the gain is one that such pairs could show, and
        the medians shown beside it say the same."""
        if self.interval is None or self.interval.holds(0.0) or self.held_back:
            return False
        if not self.is_visible:
            return False
        return (self.percent > 0) == (self.speedup > 1)


def paired_gain(
    pairs: Sequence[tuple[float, float]], medians: tuple[float, float] | None = None
) -> PairedGain | None:
    """Gain of the subject from (base, subject) times of launches that ran as neighbours; None for no pairs.

    (base - subject) * 100 / base as in the predecessor, on the geometric mean of the pairs' ratios,
    so that drift which both sides of a pair share cancels; the interval is Student's on the log
    ratios, mapped back. `medians` are those shown of either side, where that is not this mean. Raises
    ValueError where a time is not positive.
    """
    if not pairs:
        return None
    if any(base <= 0 or subject <= 0 for base, subject in pairs):
        raise ValueError("a gain needs positive times")
    logs = [math.log(subject / base) for base, subject in pairs]
    found = mean_interval(logs)
    interval = None
    centre, is_visible = stdlib.fmean(logs), True
    if found is not None:
        interval = Interval(_gain(found.high), _gain(found.low), found.level)
        t = t_quantile((1.0 + found.level) / 2.0, len(pairs) - 1)
        is_visible = abs(centre) >= (found.high - centre) * (1.0 + POWER_Z / t)
    ratio = medians[0] / medians[1] if medians else None
    return PairedGain(_gain(centre), interval, len(pairs), ratio, is_visible)


def factor_of(percent: float) -> float:
    """How many times as fast a gain in % of the base's time makes: 50 % is 2."""
    left = 1.0 - percent / 100.0
    return 1.0 / left if left > 0 else math.inf


def _gain(log_ratio: float) -> float:
    try:
        return -100.0 * math.expm1(log_ratio)
    except OverflowError:  # an interval of two wildly different pairs reaches beyond any float
        return -math.inf


def ratio(part: float | None, whole: float | None) -> float | None:
    """part / whole to 6 decimals; None where either is unknown or the whole is 0."""
    return rounded(part / whole) if part is not None and whole else None


def rounded(value: float | None, digits: int = 6) -> float | None:
    """Round what is known: 6 decimals of a ms are the clock's own nanoseconds."""
    return None if value is None else round(value, digits)


def round_fields(figures: Figures, digits: int = 6) -> Figures:
    """A dataclass with its floats rounded."""
    out: dict[str, Any] = {}
    for f in fields(figures):
        value = getattr(figures, f.name)
        out[f.name] = round(value, digits) if isinstance(value, float) else value
    return type(figures)(**out)
