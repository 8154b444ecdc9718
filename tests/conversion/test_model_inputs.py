from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perf.conversion import model_inputs
from perf.conversion.errors import UserError
from perf.conversion.model_inputs import Input, Override, Overrides
from tests.setup_models.tiny import mlp

F32 = np.dtype(np.float32)
I64 = np.dtype(np.int64)
IMAGE = Input("image", F32, ("batch", 3, "height", "width"))
STATE = Input("state", F32, (2, "batch", 128))
RATE = Input("sr", I64, ())


def test_what_a_model_is_fed_leaves_initializers_out() -> None:
    model = mlp()
    weight = model.graph.input.add()
    weight.name = "W"
    weight.type.tensor_type.elem_type = 1
    assert model_inputs.declared_inputs(model) == [Input("x", F32, ("batch", 8))]


def test_batches_are_one_and_every_other_open_dim_is_asked_for() -> None:
    assert model_inputs.resolve_shapes([STATE, RATE], Overrides()) == {
        "state": (2, 1, 128),
        "sr": (),
    }
    with pytest.raises(UserError) as refusal:
        model_inputs.resolve_shapes([IMAGE, Input("mask", F32, ("len",))], Overrides())
    assert "--shape image=<batch>x3x<height>x<width>" in str(refusal.value)
    assert "--shape mask=<len>" in str(refusal.value)


def test_a_symbol_given_once_holds_everywhere() -> None:
    shapes = model_inputs.resolve_shapes(
        [IMAGE, STATE], Overrides(symbols={"batch": 4, "height": 32, "width": 64})
    )
    assert shapes == {"image": (4, 3, 32, 64), "state": (2, 4, 128)}


@pytest.mark.parametrize("shape", [(1, 3, 32), (1, 4, 32, 32)])
def test_a_shape_that_cannot_be_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"does not fit the declared \[batch, 3, height, width\]"):
        model_inputs.resolve_shapes([IMAGE], Overrides({"image": Override(shape=shape)}))


def test_an_unknown_rank_needs_a_shape() -> None:
    blind = Input("x", F32, None)
    with pytest.raises(UserError, match="rank unknown"):
        model_inputs.resolve_shapes([blind], Overrides())
    assert model_inputs.resolve_shapes([blind], Overrides({"x": Override(shape=(2,))})) == {
        "x": (2,)
    }


def test_an_override_of_no_input_names_those_there_are() -> None:
    with pytest.raises(UserError, match=r"no input is called 'imgae'; .*'image'"):
        model_inputs.resolve_shapes([IMAGE], Overrides({"imgae": Override(shape=(1, 3, 8, 8))}))


@given(st.integers(0, 2**31), st.floats(-1e3, 1e3), st.floats(0, 1e3), st.sampled_from("fdeiqbB?"))
def test_values_are_seeded_typed_and_in_their_range(
    seed: int, low: float, size: float, code: str
) -> None:
    dtype = np.dtype(code)
    bounds = (low, low + size) if dtype.kind == "f" else (0.0, min(size, 100.0))
    each = Input("x", dtype, (3, 5))
    overrides = Overrides({"x": Override(range=bounds)})
    filled = model_inputs.fill_inputs([each], {"x": (3, 5)}, overrides, seed)["x"]
    again = model_inputs.fill_inputs([each], {"x": (3, 5)}, overrides, seed)["x"]
    assert filled.dtype == dtype
    assert filled.shape == (3, 5)
    assert np.array_equal(filled, again)
    if dtype.kind == "f":
        tolerance = 1e-2 * max(1.0, abs(bounds[0]), abs(bounds[1]))  # fp16 rounds outwards
        assert filled.min() >= bounds[0] - tolerance
        assert filled.max() <= bounds[1] + tolerance
    elif dtype.kind != "b":
        assert 0 <= filled.min() <= filled.max() <= bounds[1]


def test_each_input_and_each_seed_gets_other_values() -> None:
    each = [Input("a", F32, (50,)), Input("b", F32, (50,))]
    shapes = {"a": (50,), "b": (50,)}
    first = model_inputs.fill_inputs(each, shapes, Overrides(), 1)
    second = model_inputs.fill_inputs(each, shapes, Overrides(), 2)
    assert not np.array_equal(first["a"], first["b"])
    assert not np.array_equal(first["a"], second["a"])


def test_a_fixed_value_fills_a_scalar() -> None:
    filled = model_inputs.fill_inputs(
        [RATE], {"sr": ()}, Overrides({"sr": Override(value=16000)}), 0
    )["sr"]
    assert filled.shape == ()
    assert filled.dtype == I64
    assert int(filled) == 16000


def test_a_range_that_the_type_cannot_hold_is_refused() -> None:
    each = Input("x", np.dtype(np.uint8), (2,))
    with pytest.raises(UserError, match="does not fit uint8"):
        model_inputs.fill_inputs([each], {"x": (2,)}, Overrides({"x": Override(range=(-1, 3))}), 0)


def test_strings_must_be_given() -> None:
    each = Input("text", np.dtype(object), (1,))
    with pytest.raises(UserError, match="--value text=TEXT"):
        model_inputs.fill_inputs([each], {"text": (1,)}, Overrides(), 0)


def test_text_lines_are_dark_strokes_on_a_light_page() -> None:
    each = Input("x", F32, (1, 3, 160, 160))
    page = model_inputs.fill_inputs(
        [each],
        {"x": (1, 3, 160, 160)},
        Overrides({"x": Override(range=(-1, 1), pattern="text_lines")}),
        3,
    )["x"]
    assert set(np.unique(page)) == {-1.0, 1.0}
    assert 0.02 < (page == -1).mean() < 0.5
    assert np.array_equal(page[0, 0], page[0, 2])


def test_what_was_fed_goes_into_the_row_and_comes_back(tmp_path: Path) -> None:
    overrides = Overrides({"sr": Override(value=16000), "image": Override(range=(-1.0, 1.0))})
    shapes = {"image": (1, 3, 8, 8), "sr": (), "fixed": (4,)}
    fixed = Input("fixed", F32, (4,))
    entry = model_inputs.to_json([IMAGE, RATE, fixed], shapes, overrides)
    assert entry == {
        "image": {"shape": [1, 3, 8, 8], "range": [-1.0, 1.0]},
        "sr": {"value": 16000},
    }
    read = model_inputs.from_json(entry, tmp_path)
    assert read["image"] == Override((1, 3, 8, 8), (-1.0, 1.0))


@pytest.mark.parametrize("entry", [[], {"x": 3}, {"x": {"shape": "a"}}, {"x": {"range": [1]}}])
def test_overrides_that_make_no_sense_are_refused(entry: object, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="inputs"):
        model_inputs.from_json(entry, tmp_path / "table.toml")
