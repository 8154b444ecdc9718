"""Facts of outputs alone: what is one value throughout, and what another input gave too."""

import numpy as np
import pytest

from perf.worker.output_facts import SeenOutputs, describe_uniform


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([np.nan, np.nan], "nan"), ([np.nan, 1.0], ""), ([0.5, 0.5, 0.5], "0.5"), ([0.5, 0.25], ""), ([7.0], ""),
        ([], ""), ([3, 3], "3"), ([True, True], "1"), (["a", "a"], "a"),
    ],
)  # fmt: skip
def test_one_value_throughout_is_told(values: list[object], told: str) -> None:
    assert describe_uniform(np.array(values)) == told


def test_an_output_that_another_input_gave_is_told_by_that_set() -> None:
    seen, one, two = SeenOutputs(), np.arange(3.0), np.arange(3.0) + 1
    assert seen.find_repeats("a", {"x": one}, {"y": one, "z": one}) == {}
    assert seen.find_repeats("b", {"x": two}, {"y": one, "z": two}) == {"y": "a"}


def test_the_same_input_again_may_give_the_same_output() -> None:
    seen, one = SeenOutputs(), np.arange(3.0)
    seen.find_repeats("a", {"x": one}, {"y": one})
    assert seen.find_repeats("b", {"x": one.copy()}, {"y": one}) == {}
