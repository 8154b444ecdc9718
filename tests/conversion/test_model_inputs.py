"""Shapes of a model's inputs resolved, and their values drawn as the model or an override says."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from perf.conversion import model_inputs
from perf.conversion.errors import BadModel, CannotFeed, UserError
from perf.conversion.model_inputs import Override, Overrides
from perf.conversion.signature import Value
from perf.measure import tensor_io

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
IMAGE = Value("image", FLOAT, ("batch", 3, "height", "width"))
STATE = Value("state", FLOAT, (2, "batch", 128))
RATE = Value("sr", INT64, ())
BLIND, ZERO = Value("x", FLOAT, None), Value("x", FLOAT, (0, 3))
MASK = Value("mask", FLOAT, ("len",))
SIZES = Overrides(symbols={"batch": 4, "height": 32, "width": 64})  # a symbol holds everywhere


def filled(value: Value, shape: tuple[int, ...], override: Override, seed: int = 0) -> np.ndarray:
    overrides = Overrides({value.name: override})
    return model_inputs.fill_inputs([value], {value.name: shape}, overrides, seed)[value.name]


@pytest.mark.parametrize(
    ("values", "overrides", "shapes"),
    [
        ([STATE, RATE], Overrides(), {"state": (2, 1, 128), "sr": ()}),  # a batch by name is 1
        ([Value("x", FLOAT, (None, 3))], Overrides(), {"x": (1, 3)}),  # or first and unnamed
        ([ZERO], Overrides(), {"x": (0, 3)}),
        ([ZERO], Overrides({"x": Override((2, 3))}), {"x": (2, 3)}),
        ([BLIND], Overrides({"x": Override((2,))}), {"x": (2,)}),
        ([IMAGE, STATE], SIZES, {"image": (4, 3, 32, 64), "state": (2, 4, 128)}),
    ],
)
def test_shapes_are_what_is_declared_and_given(
    values: list[Value], overrides: Overrides, shapes: dict[str, tuple[int, ...]]
) -> None:
    assert model_inputs.resolve_shapes(values, overrides) == shapes


@pytest.mark.parametrize(
    ("values", "shapes", "says"),
    [
        ([IMAGE, MASK], {}, "image=<batch>x3x<height>x<width>; .*--shape mask=<len>"),
        ([BLIND], {}, "rank unknown"),
        ([IMAGE], {"image": (1, 3, 32)}, r"is \[batch,3,height,width\] in the model, and 1x3x32"),
        ([IMAGE], {"image": (1, 4, 32, 32)}, "and 1x4x32x32 is asked for"),
        ([IMAGE], {"imgae": (1, 3, 8, 8)}, r"no input is called 'imgae'; .*'image'"),
        ([Value("xs", FLOAT, None, "sequence")], {}, "is a sequence: random data cannot be drawn"),
        ([Value("x", TensorProto.FLOAT6E2M3, (1,))], {}, "is a float6e2m3: random data cannot"),
    ],
)
def test_open_shapes_are_named(values: list[Value], shapes: dict[str, Any], says: str) -> None:
    overrides = Overrides({name: Override(shape) for name, shape in shapes.items()})
    with pytest.raises(UserError, match=says):
        model_inputs.resolve_shapes(values, overrides)


@given(st.integers(0, 2**31), st.floats(-1e3, 1e3), st.floats(0, 1e3), st.sampled_from("fdeiqbB?"))
def test_values_are_typed_and_in_range(seed: int, low: float, size: float, code: str) -> None:
    dtype = np.dtype(code)
    bounds = (low, low + size) if dtype.kind == "f" else (0.0, min(size, 100.0))
    value = Value("x", helper.np_dtype_to_tensor_dtype(dtype), (3, 5))
    drawn = filled(value, (3, 5), Override(range=bounds), seed)
    assert (drawn.dtype, drawn.shape) == (dtype, (3, 5))
    assert np.array_equal(drawn, filled(value, (3, 5), Override(range=bounds), seed))
    if dtype.kind == "f":
        tolerance = 1e-2 * max(1.0, abs(bounds[0]), abs(bounds[1]))  # fp16 rounds outwards
        assert bounds[0] - tolerance <= drawn.min() <= drawn.max() <= bounds[1] + tolerance
    elif dtype.kind != "b":
        assert 0 <= drawn.min() <= drawn.max() <= bounds[1]


def test_each_input_and_each_seed_gets_other_values_and_integers_are_bits() -> None:
    values = [Value("a", FLOAT, (50,)), Value("b", FLOAT, (50,)), Value("ids", INT64, (50,))]
    shapes = {"a": (50,), "b": (50,), "ids": (50,)}
    first = model_inputs.fill_inputs(values, shapes, Overrides(), 1)
    second = model_inputs.fill_inputs(values, shapes, Overrides(), 2)
    assert not np.array_equal(first["a"], first["b"])
    assert not np.array_equal(first["a"], second["a"])
    assert set(first["ids"]) == {0, 1}


@pytest.mark.parametrize(
    ("value", "override", "drawn"),
    [
        (RATE, 16000, np.array(16000, np.int64)),
        (Value("text", TensorProto.STRING, ()), "hi", np.array("hi", object)),
        (Value("x", TensorProto.BFLOAT16, ()), 1.0, np.array(0x3F80, np.uint16)),
    ],
)
def test_a_value_fills_any_type(value: Value, override: float | str, drawn: np.ndarray) -> None:
    found = filled(value, (), Override(value=override))
    assert (found.shape, found.dtype, found.item()) == ((), drawn.dtype, drawn.item())
    assert tensor_io.onnx_type_of(found) == value.onnx_type


def test_misfits_are_refused() -> None:
    for onnx_type, override, says in (
        (TensorProto.UINT8, Override(range=(-1, 3)), "range -1…3 does not fit uint8"),
        (FLOAT, Override(value="hi"), "is float32: could not convert string"),
        (TensorProto.STRING, Override(), "--value x=TEXT"),
    ):
        with pytest.raises((BadModel, CannotFeed), match=says):
            filled(Value("x", onnx_type, (2,)), (2,), override)


def test_text_lines_are_dark_strokes_on_a_light_page() -> None:
    lines = Override(range=(-1, 1), pattern="text_lines")
    page = filled(Value("x", FLOAT, (1, 3, 160, 160)), (1, 3, 160, 160), lines, 3)
    assert set(np.unique(page)) == {-1.0, 1.0}
    assert 0.02 < (page == -1).mean() < 0.5
    assert np.array_equal(page[0, 0], page[0, 2])


def test_what_was_fed_goes_into_the_row() -> None:
    lines = Override(range=(-1.0, 1.0), pattern="text_lines")
    overrides = Overrides({"sr": Override(value=16000), "image": lines})
    shapes = {"image": (1, 3, 8, 8), "sr": (), "fixed": (4,)}
    fixed = Value("fixed", FLOAT, (4,))
    assert model_inputs.list_entries([IMAGE, RATE, fixed], shapes, overrides) == {
        "image": {"shape": (1, 3, 8, 8), "range": (-1.0, 1.0)},
        "sr": {"value": 16000},
    }
