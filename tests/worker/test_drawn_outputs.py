"""Draws of a right target pass, whatever it draws from; those that are shifted, scaled, zeroed or flat do not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perf.schema.cell import TestSet
from perf.worker import drawn_outputs
from perf.worker.drawn_outputs import Draws, find_fault

SIZE = 64
MEANS = np.random.default_rng(5).normal(size=SIZE) * 2
PADDED = np.random.default_rng(6).random(SIZE) < 0.5
Draw = Callable[[np.random.Generator], np.ndarray]
DRAWN_FROM: dict[str, Draw] = {
    "normal": lambda r: r.normal(size=SIZE),
    "around means": lambda r: MEANS + r.normal(size=SIZE),
    "uniform": lambda r: r.random(SIZE) * 3 + 1,
    "bernoulli": lambda r: (r.random(SIZE) < 0.5) * 1.0,
    "rare bernoulli": lambda r: (r.random(SIZE) < 0.02) * 1.0,
    "dropout": lambda r: (r.random(SIZE) < 0.5) * 2 * MEANS,
    "light dropout": lambda r: (r.random(SIZE) < 0.9) * MEANS,
    "lognormal": lambda r: np.exp(r.normal(size=SIZE)),
    "exponential": lambda r: r.exponential(size=SIZE),
    "classes": lambda r: r.choice(5, size=SIZE, p=[0.5, 0.3, 0.15, 0.049, 0.001]) * 1.0,
    "one scale for all": lambda r: MEANS * r.normal(),
    "padded": lambda r: np.where(PADDED, 1.5, r.normal(size=SIZE)),
    "all or nothing": lambda r: MEANS * (r.random() < 0.5),
    "one hot": lambda r: np.eye(SIZE)[r.integers(SIZE)],
    "unlike scales": lambda r: r.normal(size=SIZE) * np.exp(MEANS),
}
FAULTS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "shifted by the width": lambda y, width: y + width,
    "shifted by one": lambda y, _: y + 1,
    "scaled": lambda y, _: y * 1.5,
    "halved": lambda y, _: y * 0.5,
    "zeroed": lambda y, _: np.zeros_like(y),
    "flat": lambda y, _: np.full_like(y, y.mean()),
    "not a number": lambda y, _: np.where(np.arange(y.size) == 3, np.nan, y),
}
# What so few draws do not tell: one factor scales all of a draw
UNSEEN = {("one scale for all", fault) for fault in ("scaled", "halved", "flat")}
SEEN = [(n, f) for n in DRAWN_FROM for f in FAULTS if (n, f) not in UNSEEN]


def allowed(values: np.ndarray) -> np.ndarray:
    values = np.abs(values)
    out: np.ndarray = 1e-5 * values + 1e-5 * values.max(initial=0.0)
    return out


def draw(name: str, seed: tuple[int, ...], count: int) -> Draws:
    rng = np.random.default_rng(seed)
    return [DRAWN_FROM[name](rng) for _ in range(count)]


@pytest.mark.parametrize("name", DRAWN_FROM)
def test_other_draws_of_a_right_target_pass(name: str) -> None:
    for seed in range(100):
        got = draw(name, (seed, 1), 1 if seed % 10 else 64)
        assert find_fault(draw(name, (seed, 0), 128), got, allowed) is None, seed


@pytest.mark.parametrize(("name", "fault"), SEEN)
def test_draws_with_a_fault_do_not_pass(name: str, fault: str) -> None:
    drawn = draw(name, (1, 0), 128)
    width = max(d.max() for d in drawn) - min(d.min() for d in drawn)
    for seed in range(5):
        got = [FAULTS[fault](y, width) for y in draw(name, (seed, 1), 64)]
        assert find_fault(drawn, got, allowed) is not None, seed


def test_what_takes_two_values_may_take_no_other() -> None:
    got = draw("bernoulli", (0, 1), 32)
    got[3][7] = 0.5
    fault = find_fault(draw("bernoulli", (0, 0), 64), got, allowed)
    assert fault is not None
    assert fault.problem == "1 of 2048 elements are none of 0, 1, the values that it takes"


def test_elements_that_never_vary_may_not_be_others() -> None:
    drawn, got = draw("padded", (0, 0), 128), draw("padded", (0, 1), 64)
    for y in got:
        y[np.flatnonzero(PADDED)[:8]] = 1.6
    assert find_fault(drawn, got, allowed) is not None


def test_words_that_are_drawn_are_of_those_that_the_reference_draws() -> None:
    rng = np.random.default_rng(0)
    drawn = [rng.choice(["yes", "no"], 20) for _ in range(64)]
    assert find_fault(drawn, [rng.choice(["yes", "no"], 20)], allowed) is None
    fault = find_fault(drawn, [rng.choice(["yes", "nay"], 20)], allowed)
    assert fault is not None
    assert "are none of no, yes" in fault.problem


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 8), st.integers(2, 70))
@settings(max_examples=200, deadline=None)
def test_however_many_draws_of_whatever_size_there_are_a_right_one_passes(
    seed: int, size: int, runs: int, known: int
) -> None:
    rng = np.random.default_rng(seed)
    sizes = [size, size + int(rng.integers(0, 3))]
    drawn = [rng.normal(size=rng.choice(sizes)) for _ in range(known)]
    got = [rng.normal(size=rng.choice(sizes)) for _ in range(runs)]
    assert find_fault(drawn, got, allowed) is None


def test_draws_are_read_as_they_were_written(tmp_path: Path) -> None:
    drawn = {"y": [np.array([1.0, 2.0]), np.array([3.0])], "w": [np.array(["a"])], "none": []}
    again = drawn_outputs.load_draws(
        TestSet("s", (), drawn=drawn_outputs.save_draws(drawn, tmp_path))
    )
    assert {n: [x.tolist() for x in d] for n, d in again.items()} == {
        "y": [[1.0, 2.0], [3.0]],
        "w": [["a"]],
    }
