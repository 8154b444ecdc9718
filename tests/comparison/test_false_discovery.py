"""False discovery rate control, against scipy's adjusted p-values."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from comparison.false_discovery import find_discoveries, two_sided


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.sampled_from([0.01, 0.05, 0.2]))
def test_rejects_what_scipy_rejects(p_values: list[float], rate: float) -> None:
    adjusted = false_discovery_control(p_values, method="bh")
    for mine, theirs in zip(find_discoveries(p_values, rate), adjusted, strict=True):
        if theirs != pytest.approx(rate, rel=1e-9):  # at the very limit rounding decides
            assert mine == (theirs <= rate)


@given(st.lists(st.integers(0, 1024), min_size=1, max_size=30))
def test_swapping_sides_rejects_the_same(parts: list[int]) -> None:
    p_up = [n / 1024 for n in parts]  # 1 - p is exact
    assert two_sided(p_up, 0.02) == two_sided([1 - p for p in p_up], 0.02)


def test_keeps_the_rate_when_nothing_changed() -> None:
    chance = random.Random(3)
    tables = [[chance.random() for _ in range(40)] for _ in range(2000)]
    alarmed = sum(any(two_sided(t, 0.01)) for t in tables)
    assert alarmed / len(tables) < 0.017  # 1 % is expected; 1.7 % lies 3 standard errors above


def test_of_nothing_nothing_is_discovered() -> None:
    assert two_sided([], 0.01) == ()
