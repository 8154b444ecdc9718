"""Statistics against numpy and scipy, which the harness itself does without."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st

from perf.stats import summary as own

times = st.floats(min_value=1e-3, max_value=1e5)  # ms: a µs to minutes
samples = st.lists(times, min_size=1, max_size=60)


@given(samples, st.floats(min_value=0, max_value=1))
def test_quantile_is_numpys(values: list[float], p: float) -> None:
    assert own.quantile(sorted(values), p) == pytest.approx(np.quantile(values, p), rel=1e-9)


@given(samples)
def test_quantiles_are_ordered_and_within_the_samples(values: list[float]) -> None:
    ordered = sorted(values)
    found = [own.quantile(ordered, p) for p in (0, 0.25, 0.5, 0.9, 0.99, 1)]
    assert found == sorted(found)
    assert found[0] == ordered[0]
    assert found[-1] == ordered[-1]


def test_no_samples_is_an_error_and_no_summary() -> None:
    with pytest.raises(ValueError, match="needs samples"):
        own.quantile([], 0.5)
    assert own.summarise([]) is None
    assert own.spread([]) is None


@pytest.mark.parametrize(("p", "n"), [(0.90, 29), (0.95, 59), (0.99, 299)])
def test_a_percentile_is_claimed_from_wilks_n_on(p: float, n: int) -> None:
    assert own.samples_needed(p) == n
    assert p**n <= 0.05 < p ** (n - 1)
    name = f"p{round(p * 100)}"
    enough, short = own.summarise(range(1, n + 1)), own.summarise(range(1, n))
    assert enough
    assert short
    assert getattr(enough, name) == pytest.approx(np.quantile(np.arange(1, n + 1), p))
    assert getattr(short, name) is None


@given(st.lists(times, min_size=2, max_size=400))
def test_summary_is_numpys(values: list[float]) -> None:
    found = own.summarise(values)
    assert found
    assert (found.n, found.minimum) == (len(values), min(values))
    assert found.mean == pytest.approx(np.mean(values))
    assert found.stdev == pytest.approx(np.std(values, ddof=1), rel=1e-6, abs=1e-9)
    assert found.p50 == pytest.approx(np.median(values))


@given(st.lists(times, min_size=1, max_size=40))
def test_mad_is_scipys(values: list[float]) -> None:
    expected = scipy.stats.median_abs_deviation(values, scale=1 / own.MAD_TO_SIGMA)
    assert own.mad(values) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_five_launches_span_their_range_at_94_percent_and_one_has_no_spread() -> None:
    found, alone, single = (
        own.spread([8.0, 8.1, 7.9, 8.2, 8.0]),
        own.spread([3.0]),
        own.summarise([3.0]),
    )
    assert found
    assert (found.launches, found.median) == (5, 8.0)
    assert found.half_range == pytest.approx(0.15)
    assert found.interval == own.Interval(7.9, 8.2, 0.9375)
    assert alone == own.Spread(1, 3.0, mad=None, half_range=None, interval=None)
    assert single
    assert single.stdev is None


@pytest.mark.parametrize("n", [*range(1, 7), 9, 10, 20, 51])
def test_median_interval_is_the_innermost_that_scipys_binomial_allows(n: int) -> None:
    found = own.median_interval(range(n))
    assert (found is None) is (n < 5)
    if found:
        k = round(found.low) + 1
        assert found.high == n - k
        assert found.level == pytest.approx(1 - 2 * scipy.stats.binom.cdf(k - 1, n, 0.5))
        assert found.level >= own.LAUNCHES_CONFIDENCE
        assert 1 - 2 * scipy.stats.binom.cdf(k, n, 0.5) < own.LAUNCHES_CONFIDENCE


@given(st.floats(min_value=-50, max_value=50), st.integers(1, 200))
def test_t_distribution_is_scipys(t: float, df: int) -> None:
    # scipy itself is off by 4e-10 for df = 1 near 0, where the function is 1/2 + atan(t)/pi
    assert own.t_cdf(t, df) == pytest.approx(scipy.stats.t.cdf(t, df), abs=1e-8)


@given(st.floats(min_value=0.001, max_value=0.999), st.integers(1, 60))
def test_t_quantile_is_scipys(p: float, df: int) -> None:
    assert own.t_quantile(p, df) == pytest.approx(scipy.stats.t.ppf(p, df), rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("p", [0.0, 1.0, -1.0])
def test_t_quantile_declines_what_is_no_probability(p: float) -> None:
    with pytest.raises(ValueError, match="must lie in"):
        own.t_quantile(p, 3)


@given(st.lists(times, min_size=2, max_size=30))
def test_mean_interval_is_scipys(values: list[float]) -> None:
    assume(np.std(values) > 1e-9 * np.mean(values))
    expected = scipy.stats.t.interval(
        0.95, len(values) - 1, np.mean(values), scipy.stats.sem(values)
    )
    found = own.mean_interval(values)
    assert found
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-6, abs=1e-9)


pairs = st.lists(st.tuples(times, times), min_size=1, max_size=20)


@given(st.lists(times, min_size=2, max_size=20), st.floats(min_value=0.01, max_value=100))
def test_a_constant_ratio_is_its_own_gain_whatever_drifts(
    drift: list[float], ratio: float
) -> None:
    found = own.paired_gain([(d, d * ratio) for d in drift])
    assert found
    assert found.interval
    assert found.percent == pytest.approx((1 - ratio) * 100, abs=1e-6)
    assert found.interval.low == pytest.approx(found.percent, abs=1e-6)


@given(pairs)
def test_swapping_sides_inverts_the_ratio(values: list[tuple[float, float]]) -> None:
    found, swapped = own.paired_gain(values), own.paired_gain([(b, a) for a, b in values])
    assert found
    assert swapped
    product = (1 - found.percent / 100) * (1 - swapped.percent / 100)
    assert product == pytest.approx(1, rel=1e-5)
    assert found.claimed == swapped.claimed or math.isclose(found.percent, 0, abs_tol=1e-6)


@given(pairs)
def test_the_interval_holds_the_gain(values: list[tuple[float, float]]) -> None:
    found = own.paired_gain(values)
    assert found
    assert found.pairs == len(values)
    if found.interval is None:
        assert found.pairs == 1
        assert not found.claimed
    else:
        slack = 1e-6 * max(1, abs(found.percent))
        assert found.interval.low - slack <= found.percent <= found.interval.high + slack


def test_no_pairs_is_no_gain_and_no_time_is_an_error() -> None:
    assert own.paired_gain([]) is None
    with pytest.raises(ValueError, match="positive"):
        own.paired_gain([(1.0, 0.0)])


def test_an_a_a_comparison_claims_a_gain_less_than_one_time_in_twenty() -> None:
    random = np.random.default_rng(1)
    drift = random.uniform(1, 2, (2000, 5))
    a, b = (drift * np.exp(random.normal(0, 0.03, drift.shape)) for _ in range(2))
    found = [own.paired_gain(list(zip(x, y, strict=True))) for x, y in zip(a, b, strict=True)]
    assert 0.01 <= sum(bool(gain and gain.claimed) for gain in found) / 2000 <= 0.05


@given(st.one_of(st.none(), times), st.one_of(st.none(), st.just(0.0), times))
def test_a_ratio_of_the_unknown_is_unknown(part: float | None, whole: float | None) -> None:
    found = own.ratio(part, whole)
    if part is None or not whole:
        assert found is None
    else:
        assert found == pytest.approx(part / whole, abs=1e-6)
