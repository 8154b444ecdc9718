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


def cell(launches: list[float], first_order: int = 0) -> CellSummary:
    made = tuple(
        LaunchSummary(i, first_order + 2 * i, 0.0, "boot", (), {Metric.P50: x})
        for i, x in enumerate(launches)
    )
    return CellSummary("m::X", "m", "X", launches=made)


positive = st.lists(st.floats(0.5, 50), min_size=3, max_size=12)


@given(positive, st.integers(0, 99))
def test_paired_is_the_t_test_of_scipy(before: list[float], seed: int) -> None:
    chance = random.Random(seed)
    after = [x * math.exp(chance.gauss(0.02, 0.05)) for x in before]
    logs = [math.log(b / a) for a, b in zip(before, after, strict=True)]
    found = change.paired(list(zip(before, after, strict=True)))
    theirs = stats.ttest_1samp(logs, 0.0)
    low, high = theirs.confidence_interval(0.95)
    assert found.p == pytest.approx(theirs.pvalue / 2, rel=1e-6, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)), rel=1e-6)


@given(positive, positive)
def test_swapping_sides_inverts_the_ratio_and_its_interval(a: list[float], b: list[float]) -> None:
    known = Noise(0.02, 0.03)
    ahead = change.stored_change(cell(a), cell(b), Metric.P50, known, 0.005)
    back = change.stored_change(cell(b), cell(a), Metric.P50, known, 0.005)
    assert ahead
    assert back
    assert ahead[0].ratio * back[0].ratio == pytest.approx(1)
    assert ahead[0].low is not None
    assert back[0].high is not None
    assert ahead[0].low * back[0].high == pytest.approx(1)
    assert ahead[0].p == pytest.approx(back[0].p)


def test_stored_judges_by_the_least_of_the_launches_and_by_the_noise_expected() -> None:
    known = Noise(0.02, 0.03, 8)
    found = change.stored_change(cell([5, 7, 5.1]), cell([6, 6.01, 9]), Metric.P50, known, 0.005)
    assert found
    told, used = found
    assert told.ratio == pytest.approx(6 / 5)
    error = math.sqrt(2 * 0.03**2 + used.launch**2 * 2 / 3)
    assert told.p == pytest.approx(stats.t.sf(math.log(1.2) / error, 8), rel=1e-6)
    assert used.launch > known.launch  # these launches scatter more than expected


def test_the_canary_takes_out_a_drift_that_it_shares() -> None:
    slow = [5 * 1.4] * 5
    before, after = cell([1.0] * 5, 1).launches, cell([1.4] * 5, 1).launches
    known = Noise(0.01, 0.01)
    found = change.canary_change(
        cell([5.0] * 5), cell(slow), before, after, Metric.P50, known, 0.005
    )
    assert found
    assert found[0].ratio == pytest.approx(1)
    assert change.canary_change(cell([5.0]), cell(slow), (), (), Metric.P50, known, 0.005) is None


def test_a_launch_is_divided_by_the_canary_nearest_to_it() -> None:
    drifting = [5.0, 6.0, 7.0]
    beside = cell([1.0, 1.2, 1.4], 1).launches
    known = Noise(0.01, 0.01)
    found = change.canary_change(
        cell(drifting), cell(drifting), beside, beside[::-1], Metric.P50, known, 0.005
    )
    assert found
    assert found[0].ratio == pytest.approx(1)


def test_what_is_missing_gives_nothing() -> None:
    known = Noise(0.01, 0.01)
    assert change.stored_change(cell([]), cell([1.0]), Metric.P50, known, 0.005) is None
    assert change.stored_change(cell([1.0]), cell([1.0]), Metric.P99, known, 0.005) is None


@given(st.floats(0.005, 0.2), st.floats(0.0, 0.05), st.floats(0.02, 1.0))
def test_so_many_launches_would_tell_and_fewer_would_not(
    launch: float, drift: float, d: float
) -> None:
    known, z = Noise(launch, drift), 4.0
    needed = noise.launches_needed(known, d, z)
    if needed is None:
        assert noise.spread(known, (1000, 1000)) * z >= d * 0.999
    else:
        assert noise.spread(known, (needed, needed)) * z <= d * 1.000001
        if needed > 1:
            assert noise.spread(known, (needed - 1, needed - 1)) * z >= d * 0.999999
