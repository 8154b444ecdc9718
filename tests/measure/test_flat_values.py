"""Sequences, maps and optionals told as tensors by name, in ONNX Runtime's words for their types."""

from typing import Any

import numpy as np
import pytest

from perf.measure import flat_values
from tests.inprocess.asking import f32


def told(kind: str, value: Any) -> dict[str, Any]:
    found = flat_values.name_outputs({"o": kind}, [value], np.asarray)
    return {name: array.tolist() for name, array in found.items()}


@pytest.mark.parametrize(
    ("kind", "value", "tensors"),
    [
        ("tensor(float)", f32([1, 2]), {"o": [1, 2]}),
        ("seq(tensor(float))", [f32([1]), f32([2, 3])], {"o[0]": [1], "o[1]": [2, 3]}),
        ("seq(tensor(float))", [], {}),
        ("optional(tensor(float))", f32(1), {"o": 1}),
        ("optional(tensor(float))", None, {}),
        ("optional(seq(tensor(float)))", [f32([1])], {"o[0]": [1]}),
        ("map(int64,tensor(float))", {2: 0.5, 1: 0.25}, {"o{keys}": [1, 2], "o{values}": [0.25, 0.5]}),
        ("seq(map(string,tensor(float)))", [{"b": 1.0, "a": 2.0}, {}, {"c": 3.0}],
         {"o{counts}": [2, 0, 1], "o{keys}": ["a", "b", "c"], "o{values}": [2, 1, 3]}),
    ],
)  # fmt: skip
def test_every_kind_of_output_is_told_as_tensors(
    kind: str, value: Any, tensors: dict[str, Any]
) -> None:
    assert told(kind, value) == tensors


def test_maps_have_their_declared_types_even_where_they_are_empty() -> None:
    found = flat_values.name_outputs({"m": "map(int64,tensor(double))"}, [{}], np.asarray)
    assert {n: a.dtype.name for n, a in found.items()} == {
        "m{keys}": "int64",
        "m{values}": "float64",
    }


@pytest.mark.parametrize(
    "kind", ["sparse_tensor(float)", "seq(seq(tensor(float)))", "opaque(a,b)"]
)
def test_an_output_of_another_kind_is_named(kind: str) -> None:
    with pytest.raises(
        flat_values.NotFlatError, match=r"output 'o' is .*, which cannot be compared"
    ):
        told(kind, object())


def test_sequences_are_put_together_and_absent_optionals_are_none() -> None:
    types = {"s": "seq(tensor(float))", "o": "optional(tensor(float))", "x": "tensor(float)"}
    a, b, x = f32([1]), f32([2]), f32([3])
    assert flat_values.group_inputs(types, {"s[0]": a, "s[1]": b, "x": x}) == {
        "s": [a, b], "o": None, "x": x,
    }  # fmt: skip
    assert flat_values.group_inputs(types, {"x": x})["s"] == []
    assert flat_values.count_elements(["s[0]", "s[1]", "x", "t[0]"]) == {"s": 2, "t": 1}
