"""Weighing a ratio: Student's t against scipy, the noise formula, and what launches buy."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from comparison import change, noise
from comparison.cell_summary import CellSummary, LaunchSummary, Metric
from comparison.noise import Noise

P50, KNOWN = Metric.P50, Noise(0.02, 0.03, 8)


def cell(launches: list[float]) -> CellSummary:
    made = tuple(LaunchSummary(i, i, 0.0, "boot", (), {P50: x}) for i, x in enumerate(launches))
    return CellSummary("m::X", "m", "X", launches=made)


positive = st.lists(st.floats(0.5, 50), min_size=3, max_size=12)


@given(positive, st.integers(0, 99))
def test_paired_is_the_t_test_of_scipy(before: list[float], seed: int) -> None:
    chance = random.Random(seed)
    after = [x * math.exp(chance.gauss(0.02, 0.05)) for x in before]
    logs = [math.log(b / a) for a, b in zip(before, after, strict=True)]
    found = change.weigh_pairs(list(zip(before, after, strict=True)))
    theirs = stats.ttest_1samp(logs, 0.0)
    low, high = theirs.confidence_interval(0.95)
    assert found.p == pytest.approx(theirs.pvalue / 2, rel=1e-6, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)), rel=1e-6)


@given(positive, positive)
def test_swapping_sides_inverts_the_ratio_and_its_interval(a: list[float], b: list[float]) -> None:
    ahead = change.weigh_stored(cell(a), cell(b), P50, KNOWN, 0.005)
    back = change.weigh_stored(cell(b), cell(a), P50, KNOWN, 0.005)
    assert ahead
    assert back
    assert ahead[0].ratio * back[0].ratio == pytest.approx(1)
    assert ahead[0].low * back[0].high == pytest.approx(1)
    assert ahead[0].p == pytest.approx(back[0].p)


def test_stored_judges_by_the_least_of_the_launches_and_by_the_noise_expected() -> None:
    found = change.weigh_stored(cell([5, 7, 5.1]), cell([6, 6.01, 9]), P50, KNOWN, 0.005)
    assert found
    told, used = found
    assert told.ratio == pytest.approx(6 / 5)
    error = math.sqrt(2 * KNOWN.drift**2 + used.launch**2 * 2 / 3)
    assert told.p == pytest.approx(stats.t.sf(math.log(1.2) / error, 8), rel=1e-6)
    assert used.launch > KNOWN.launch  # these launches scatter more than expected


@pytest.mark.parametrize(
    ("before", "after", "canary_before", "canary_after"),
    [
        ([5.0] * 5, [7.0] * 5, [1.0] * 5, [1.4] * 5),  # a drift that the canary shares
        ([5.0, 6.0, 7.0], [7.0, 6.0, 5.0], [1.0, 1.2, 1.4], [1.4, 1.2, 1.0]),
    ],
)
def test_the_canary_nearest_to_each_launch_takes_out_what_it_shares(
    before: list[float], after: list[float], canary_before: list[float], canary_after: list[float]
) -> None:
    beside = (cell(canary_before).launches, cell(canary_after).launches[::-1])
    found = change.weigh_by_canary(cell(before), cell(after), *beside, P50, KNOWN, 0.005)
    assert found
    assert found[0].ratio == pytest.approx(1)
    assert found[0].low == pytest.approx(1 / found[0].high)


def test_what_is_missing_gives_nothing() -> None:
    one = cell([1.0])
    assert change.weigh_by_canary(one, one, (), (), P50, KNOWN, 0.005) is None
    assert change.weigh_stored(cell([]), one, P50, KNOWN, 0.005) is None
    assert change.weigh_stored(one, one, Metric.P99, KNOWN, 0.005) is None


@given(st.floats(0.005, 0.2), st.floats(0.0, 0.05), st.floats(0.02, 1.0))
def test_so_many_launches_would_tell_and_fewer_would_not(
    launch: float, drift: float, d: float
) -> None:
    known, z = Noise(launch, drift), 4.0
    needed = noise.count_needed_launches(known, d, z)
    if needed is None:
        assert noise.ratio_deviation(known, (1000, 1000)) * z >= d * 0.999
    else:
        assert noise.ratio_deviation(known, (needed, needed)) * z <= d * 1.000001
        if needed > 1:
            assert noise.ratio_deviation(known, (needed - 1, needed - 1)) * z >= d * 0.999999
