import copy
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from perf.schema.cell import Comparison, Tolerance
from perf.schema.fold import Expectation, is_wrong
from perf.worker import row_matching, validate
from tests.inprocess.asking import cell, f32, model_file

Outputs = dict[str, np.ndarray]
RNG = np.random.default_rng(1)
ASKED = cell(
    model_file(Path("/nowhere/m"), comparison=Comparison.UNORDERED), tolerance=Tolerance(0.0, 1e-3)
)


def passes(got: Outputs, expected: Outputs) -> bool:
    facts = validate.compare_set("s", got, expected, ASKED)
    return not any(is_wrong(f, Expectation()) for f in facts)


def detections(count: int, *, batch: bool = False) -> Outputs:
    out: Outputs = {
        "boxes": RNG.uniform(0, 300, (count, 4)).astype(np.float32),
        "scores": RNG.uniform(0, 1, count).astype(np.float32),
        "labels": RNG.integers(0, 5, count),
    }
    return {n: a[None] for n, a in out.items()} if batch else out


def reordered(outputs: Outputs, order: np.ndarray, axis: int) -> Outputs:
    return {n: np.take(a, order, axis) for n, a in outputs.items()}


@pytest.mark.parametrize("batch", [False, True])
def test_rows_may_come_in_any_order_if_they_stay_whole(batch: bool) -> None:
    expected = detections(30, batch=batch)
    got = reordered(expected, RNG.permutation(30), int(batch))
    assert passes(got, expected)
    got["scores"] = np.roll(got["scores"], 1, int(batch))  # each score now beside another box
    assert not passes(got, expected)


def test_faults_of_a_detector_fail() -> None:
    expected = detections(12)
    right = reordered(expected, RNG.permutation(12), 0)
    moved, relabelled = (copy.deepcopy(right) for _ in range(2))
    moved["boxes"][3, 2] += 0.01
    relabelled["labels"][5] += 1
    dropped = {n: a[1:] for n, a in right.items()}
    doubled = {n: np.concatenate([a[:1], a[:1], a[2:]]) for n, a in right.items()}
    assert passes(right, expected)
    assert not [got for got in (moved, relabelled, dropped, doubled) if passes(got, expected)]


def test_what_does_not_match_is_reported_where_it_is() -> None:
    expected = detections(20)
    got = reordered(expected, RNG.permutation(20), 0)
    place = int(np.flatnonzero((got["boxes"] == expected["boxes"][7]).all(axis=1))[0])
    got["scores"][place] += f32(0.5)
    facts = {f.output: f for f in validate.compare_set("s", got, expected, ASKED)}
    assert facts["scores"].mismatched == 1
    assert facts["scores"].worst_index == (7,)
    assert facts["scores"].max_abs == pytest.approx(0.5)
    assert facts["boxes"].mismatched == 0


def test_one_box_is_not_taken_apart() -> None:
    expected = {"boxes": f32([[1, 2, 3, 4]]), "scores": f32([0.5])}
    got = {"boxes": f32([[4, 3, 2, 1]]), "scores": f32([0.5])}
    assert not passes(got, expected)


def test_outputs_of_other_lengths_are_matched_apart() -> None:
    expected = detections(6) | {"indices": RNG.integers(0, 900, (10, 3))}
    got = reordered({n: expected[n] for n in ("boxes", "scores", "labels")}, RNG.permutation(6), 0)
    assert passes(got | {"indices": expected["indices"][::-1]}, expected)
    assert not passes(got | {"indices": expected["indices"][:, ::-1]}, expected)


small = hnp.arrays(np.float64, (4, 2), elements=st.integers(0, 3).map(float))


@settings(max_examples=200)
@given(small, small)
def test_the_matching_passes_iff_some_order_passes(got: np.ndarray, reference: np.ndarray) -> None:
    limit = np.full((4, 2), 1.0)
    order = row_matching.match_rows([row_matching.OutputColumn(got, reference, limit)])
    assert sorted(order) == [0, 1, 2, 3]
    found = bool((np.abs(got[order] - reference) <= limit).all())
    assert found == any(
        (np.abs(got[list(p)] - reference) <= limit).all() for p in permutations(range(4))
    )


def test_rows_of_nan_and_of_strings_match_their_like() -> None:
    expected = {
        "boxes": f32([[np.nan, 1], [2, np.nan], [np.inf, 3]]),
        "names": np.array(["cat", "dog", "emu"], object),
    }
    assert passes(reordered(expected, np.array([2, 0, 1]), 0), expected)


def test_ten_thousand_rows_are_matched_in_seconds() -> None:
    expected = detections(10_000)
    assert passes(reordered(expected, RNG.permutation(10_000), 0), expected)
