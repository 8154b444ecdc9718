"""Shapes of a model's inputs resolved, and their values drawn as the model or an override says."""

from collections.abc import Mapping
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
PAGE_ROW = Value("x", FLOAT, ("unk__749", 16))
PAGE = Value("x", FLOAT, ("unk__749", "unk__750", "unk__751", 3))
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
        (
            [IMAGE, MASK],
            {},
            r"image \[batch,3,height,width\], mask \[len\]; for example --shape image=1x3x224x224 mask=128$",
        ),
        ([BLIND], {}, "x of any rank; for example --shape x=1x3x224x224$"),
        ([PAGE], {}, r"\[unk__749,unk__750,unk__751,3\]; for example --shape x=1x224x224x3$"),
        ([Value("a b", FLOAT, ("rows", "cols"))], {}, "--shape 'a b=1x16'$"),
        ([IMAGE], {"image": (1, 3, 32)}, r"is \[batch,3,height,width\] in the model, and 1x3x32"),
        ([IMAGE], {"image": (1, 4, 32, 32)}, "and 1x4x32x32 is asked for"),
        ([IMAGE], {"imgae": (1, 3, 8, 8)}, r"no input is called 'imgae'; .*'image'"),
        (
            [Value("xs", FLOAT, None, "sequence")],
            {},
            "need sizes: xs of any rank; for example --shape xs=1x",
        ),
        ([Value("x", TensorProto.FLOAT6E2M3, (1,))], {}, "is a float6e2m3: random data cannot"),
    ],
)
def test_open_shapes_are_named_with_flags_to_paste(
    values: list[Value], shapes: dict[str, Any], says: str
) -> None:
    overrides = Overrides({name: Override(shape) for name, shape in shapes.items()})
    with pytest.raises(UserError, match=says):
        model_inputs.resolve_shapes(values, overrides)


@given(st.integers(0, 2**31), st.floats(-1e3, 1e3), st.floats(0, 1e3), st.sampled_from("fdeiqbB?"))
def test_values_are_typed_and_in_range(seed: int, low: float, size: float, code: str) -> None:
    dtype = np.dtype(code)
    bounds = (
        (low, low + size) if dtype.kind == "f" else (0.0, min(size, 1.0 if code == "?" else 100.0))
    )
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


T = TensorProto


@pytest.mark.parametrize(
    ("onnx_type", "given", "values"),
    [
        (T.INT64, 2**53 + 1, [2**53 + 1]),
        (T.INT64, "-9223372036854775808", [-(2**63)]),
        (T.UINT64, 2**64 - 1, [2**64 - 1]),
        (T.INT32, 2.0, [2]),  # as a list's 2 is read
        (T.BOOL, "true", [True]),
        (T.BOOL, 0, [False]),
        (T.STRING, "012", ["012"]),
        (T.STRING, "true", ["true"]),
        (T.FLOAT, "1e-3", [1e-3]),
        (T.FLOAT16, 65504, [65504]),
        (T.BFLOAT16, 2.0, [2.0]),
        (T.FLOAT8E4M3FN, 448, [448]),
        (T.FLOAT8E5M2, -0.5, [-0.5]),
        (T.FLOAT4E2M1, 6, [6]),
        (T.FLOAT8E8M0, 4, [4]),
        (T.INT4, -8, [-8]),
        (T.UINT4, 15, [15]),
        (T.INT2, 1, [1]),
        (T.COMPLEX64, 2, [2]),
    ],
)
def test_a_value_that_is_given_is_the_value_that_is_fed(
    onnx_type: int, given: int | float | str, values: list[object]
) -> None:
    found = filled(Value("x", onnx_type, (3,)), (3,), Override(value=given))
    assert tensor_io.onnx_type_of(found) == onnx_type
    assert tensor_io.decode(found).astype(
        np.float32 if onnx_type == T.FLOAT else object
    ).tolist() == (
        [float(np.float32(v)) for v in values * 3] if onnx_type == T.FLOAT else values * 3  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("onnx_type", "bounds", "values"),
    [
        (T.INT4, (1, 1), {1}),
        (T.INT4, (-8, -7), {-8, -7}),
        (T.UINT4, (14, 15), {14, 15}),
        (T.INT2, (-2, -2), {-2}),
        (T.BOOL, (1, 1), {True}),
        (T.BFLOAT16, (1, 1), {1.0}),
        (T.FLOAT8E4M3FN, (2, 2), {2.0}),
        (T.INT64, (2**53 + 1, 2**53 + 2), {2**53 + 1, 2**53 + 2}),
        (T.INT32, (0.5, 2.5), {1, 2}),
    ],
)
def test_a_range_that_is_given_is_the_range_that_is_drawn(
    onnx_type: int, bounds: tuple[float, float], values: set[object]
) -> None:
    found = filled(Value("x", onnx_type, (64,)), (64,), Override(range=bounds))
    assert tensor_io.onnx_type_of(found) == onnx_type
    assert set(tensor_io.decode(found).tolist()) == values


@pytest.mark.parametrize(
    ("onnx_type", "override", "says"),
    [
        (T.UINT8, Override(range=(-1, 3)), "range -1…3 does not fit uint8"),
        (T.UINT8, Override(value=300), "value 300 does not fit uint8"),
        (T.INT64, Override(value=2.5), "value 2.5 does not fit int64"),
        (T.INT64, Override(value="9223372036854775808"), "does not fit int64"),
        (T.INT4, Override(value=8), "value 8 does not fit int4"),
        (T.UINT4, Override(range=(0, 16)), "range 0…16 does not fit uint4"),
        (T.INT32, Override(range=(0.2, 0.8)), "range 0.2…0.8 holds no int32"),
        (T.BOOL, Override(value=2), "value 2 does not fit bool"),
        (T.FLOAT16, Override(value=70000), "value 70000 does not fit float16"),
        (T.FLOAT16, Override(value=1e-9), "value 1e-09 would be 0 as float16"),
        (T.FLOAT, Override(range=(0, 1e39)), "does not fit float32"),
        (T.DOUBLE, Override(range=(-1e308, 1e308)), "too many"),
        (T.FLOAT8E4M3FN, Override(value=449), "does not fit float8e4m3fn"),
        (T.FLOAT4E2M1, Override(value=7), "does not fit float4e2m1"),
        (T.FLOAT8E8M0, Override(value=-1), "does not fit float8e8m0"),
        (FLOAT, Override(value="hi"), "is float32: could not convert string"),
        (FLOAT, Override(value="nan"), "is float32: nan is not finite"),
        (T.STRING, Override(value=12), "holds strings: write its value in quotes"),
        (T.STRING, Override(range=(0, 1)), "they have no range: give a value"),
        (T.STRING, Override(), "--value x=TEXT"),
    ],
)
def test_what_is_no_value_of_an_inputs_type_is_refused_by_name(
    onnx_type: int, override: Override, says: str
) -> None:
    with pytest.raises((BadModel, CannotFeed), match=f"input 'x'.*{says}"):
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


def test_a_first_dim_is_taken_as_one_where_it_is_proved_to_be_a_batch() -> None:
    values = [Value("x", FLOAT, ("unk__749", 4)), Value("y", FLOAT, ("rows", 2)), RATE]
    seen: list[tuple[dict[str, Any], dict[str, int]]] = []

    def prove(shapes: Mapping[str, tuple[int, ...]], axes: Mapping[str, int]) -> bool:
        seen.append((dict(shapes), dict(axes)))
        return True

    one = {"x": (1, 4), "y": (1, 2), "sr": ()}
    assert model_inputs.resolve_shapes(values, Overrides(), {}, prove) == one
    assert seen == [(one, {"x": 0, "y": 0})]
    model_inputs.resolve_shapes([PAGE_ROW, STATE], Overrides(), {}, prove)
    assert seen[1][1] == {"x": 0, "state": 1}
    said = model_inputs.assumed_batches(values, Overrides())
    assert said.startswith("first dim taken as 1, a batch: x [unk__749,4], y [rows,2] (run with 1")
    with pytest.raises(model_inputs.OpenDims, match=r"--shape x=1x4 y=1x2$"):
        model_inputs.resolve_shapes(values, Overrides(), {}, lambda _shapes, _axes: False)
    given = Overrides({"x": Override((3, 4))}, {"rows": 3})
    assert model_inputs.resolve_shapes(values, given)["y"] == (3, 2)
    assert model_inputs.assumed_batches(values, given) == ""


def test_what_is_drawn_is_told() -> None:
    flag, text = Value("flag", TensorProto.BOOL, ()), Value("text", TensorProto.STRING, ())
    for value, override, like, said in (
        (MASK, Override(), None, "mask in [0, 1)"),
        (MASK, Override(range=(-1, 2)), None, "mask in [-1, 2]"),
        (RATE, Override(), None, "sr in [0, 1]"),
        (RATE, Override(), np.array([7]), "sr as stored"),
        (RATE, Override(value=16000), None, "sr = 16000"),
        (flag, Override(), None, "flag of any value"),
        (text, Override(value="hi"), None, "text = hi"),
    ):
        assert model_inputs.describe_values(value, override, like) == said
