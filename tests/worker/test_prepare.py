"""What is fed: stored sets as they are, random ones from what is known, or the override to write."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from perf.backends import Unsupported
from perf.conversion.errors import BadModel, UserError
from perf.measure import tensor_io
from perf.schema.cell import InputOverride, ModelFile
from tests import models
from tests.backends import trial_cells
from tests.inprocess.asking import f32, model_file, prepared, put, stored_sets

RANDOM: dict[str, Any] = {"input_data": "random", "seed": 3, "sets": 2}


def bare(folder: Path, **more: Any) -> ModelFile:
    """The model without its test data."""
    return dataclasses.replace(model_file(folder, **more), test_data=None)


def drawn(model: ModelFile, out: Path, **more: Any) -> list[np.ndarray]:
    """The first input of every random set."""
    sets = prepared(model, out, **{**RANDOM, **more})
    return [next(iter(tensor_io.load_inputs(one).values())) for one in sets]


def test_stored_sets_come_back_whole_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = models.linear(tmp_path / "m")
    for number in (10, 9):
        put(folder, number, "input_0", models.noise(number, (1 + number, 8)), "x")
    before = sorted(p.relative_to(folder) for p in folder.rglob("*"))
    sets = stored_sets(folder, tmp_path / "out")
    assert [s.name for s in sets] == [f"test_data_set_{n}" for n in (0, 1, 9, 10)]
    for number, one in zip((0, 1, 9, 10), sets, strict=True):
        fed = tensor_io.load_inputs(one)["x"]
        np.testing.assert_array_equal(fed, models.noise(number, (1 + number, 8)))
    assert [(t.name, t.onnx_type, t.shape) for t in sets[1].outputs] == [("y", 1, (2, 4))]
    assert sets[2].outputs == ()  # none are stored, which is no error
    assert sorted(p.relative_to(folder) for p in folder.rglob("*")) == before


def test_a_folder_may_itself_be_the_set_and_must_be_there(tmp_path: Path) -> None:
    folder = models.linear(tmp_path / "m")
    own = dataclasses.replace(model_file(folder), test_data=str(folder / "test_data_set_0"))
    assert prepared(own, tmp_path / "o")[0].inputs
    for data, says in ((tmp_path / "nowhere", "no such folder"), (tmp_path, "use -i random")):
        with pytest.raises(BadModel, match=says):
            prepared(dataclasses.replace(own, test_data=str(data)), tmp_path / "o")


def test_fp16_data_are_cast_for_a_model_of_fp16_inputs(tmp_path: Path) -> None:
    folder = models.relu(tmp_path / "m")
    node, shape = helper.make_node("Relu", ["x"], ["y"]), (2, 8)
    kinds = {"x": TensorProto.FLOAT16, "y": TensorProto.FLOAT16}
    half = models.write(tmp_path / "half", [node], {"x": shape}, {"y": shape}, [], kinds=kinds)
    model = model_file(folder, path_fp16=str(half / "model.onnx"))
    one = prepared(model, tmp_path / "o", half=True)[0]
    assert {t.onnx_type for t in (*one.inputs, *one.outputs)} == {TensorProto.FLOAT16}


def test_stored_data_of_any_size_are_taken_where_an_exporter_wrote_zero(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    folder = models.write(tmp_path / "m", [node], {"x": (0, 8)}, {"y": (0, 8)}, [])
    put(folder, 0, "input_0", models.noise(0, (3, 8)), "x")
    assert stored_sets(folder, tmp_path / "o")[0].inputs[0].shape == (3, 8)
    assert drawn(model_file(folder), tmp_path / "p")[0].shape == (3, 8)
    assert drawn(bare(folder), tmp_path / "q")[0].shape == (0, 8)


def test_what_no_engine_can_be_fed_is_declined(tmp_path: Path) -> None:
    plain = helper.make_tensor_sequence_value_info("xs", TensorProto.FLOAT, None).type
    deeper = helper.make_sequence_type_proto(plain)
    for kind, how, says in (
        (plain, RANDOM, "need sizes: xs of any rank; for example --shape xs=1x"),
        (deeper, {}, "a sequence of a sequence"),
    ):
        graph = onnx.GraphProto(name="g", input=[onnx.ValueInfoProto(name="xs", type=kind)])
        onnx.save(helper.make_model(graph, ir_version=8), tmp_path / "model.onnx")
        with pytest.raises(Unsupported, match=says):
            prepared(bare(tmp_path), tmp_path / "o", **how)


def test_random_data_repeat_for_a_seed_and_differ_between_sets_and_seeds(tmp_path: Path) -> None:
    model = model_file(models.linear(tmp_path / "m"))
    first, again, other = (
        drawn(model, tmp_path / name, seed=seed) for seed, name in ((3, "a"), (3, "b"), (4, "c"))
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first, other)
    assert first[0].shape == (1, 8)
    # the values that every run of this seed has had
    np.testing.assert_array_equal(first[0][0, :2], f32([0.08564917, 0.2368105]))


def test_random_integers_stay_within_the_stored_ones_or_are_zero_and_one(tmp_path: Path) -> None:
    folder = models.lookup(tmp_path / "m")
    put(folder, 0, "input_0", np.full((50, 20), 3), "ids")
    assert set(np.unique(drawn(model_file(folder), tmp_path / "o")[0])) == {0, 1, 2, 3}
    shaped = InputOverride(shape=(40, 20))
    plain = bare(folder, inputs={"ids": shaped})
    assert set(np.unique(drawn(plain, tmp_path / "n")[0])) == {0, 1}
    ranged = bare(folder, inputs={"ids": InputOverride(shape=(40, 20), range=(2, 5))})
    assert set(np.unique(drawn(ranged, tmp_path / "p")[0])) == {2, 3, 4, 5}


def test_random_shapes_need_a_shape_where_nothing_tells(tmp_path: Path) -> None:
    model = model_file(models.linear(tmp_path / "m", sets=0))
    assert drawn(model, tmp_path / "n")[0].shape == (1, 8)  # a batch by its name
    wide = helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)
    folder = models.write(tmp_path / "wide", [wide], {"x": ("rows", "width")}, {"y": ()}, [])
    with pytest.raises(Unsupported, match="for example --shape x=1x16; or store"):
        prepared(model_file(folder), tmp_path / "o", **RANDOM)
    assert drawn(model, tmp_path / "o", shapes={"x": (5, 8)})[0].shape == (5, 8)
    with pytest.raises(UserError, match="no input is called 'z'; the model's inputs are 'x'"):
        drawn(model, tmp_path / "o", shapes={"z": (5, 8)})
    with pytest.raises(BadModel, match="5x7 is asked for"):
        drawn(model, tmp_path / "o", shapes={"x": (5, 7)})


def test_a_flags_shape_wins_and_is_refused_for_stored_data(tmp_path: Path) -> None:
    override = InputOverride(shape=(2, 8), value=0.5)
    model = model_file(models.linear(tmp_path / "m"), inputs={"x": override})
    shapes = {"x": (3, 8)}
    np.testing.assert_array_equal(
        drawn(model, tmp_path / "o", shapes=shapes)[0], np.full((3, 8), 0.5, np.float32)
    )
    with pytest.raises(Unsupported, match="needs random inputs"):
        prepared(model, tmp_path / "p", shapes={"x": (3, 8)})


@pytest.mark.parametrize("name", ["unk__749", "DynamicDimension.0", "rows"])
def test_a_bare_file_whose_first_dim_is_a_batch_by_any_name_is_fed_one_row(
    name: str, tmp_path: Path
) -> None:
    weight = models.noise(1, (8, 4))
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    folder = models.write(
        tmp_path / "m", [node], {"x": (name, 8)}, {"y": ("other", 4)}, [], parameters={"w": weight}
    )
    for data in ("random", "zoo"):
        one = prepared(bare(folder), tmp_path / data, data, seed=3)[0]
        assert one.inputs[0].shape == (1, 8)
        assert one.origin.startswith(
            "random, seed 3: x in [0, 1); first dim taken as 1, a batch: x"
        )


def test_a_first_dim_that_is_no_batch_is_asked_for(tmp_path: Path) -> None:
    """A sum over rows is one whatever their number; a softmax over them changes the first."""
    total = helper.make_node("ReduceSum", ["x"], ["y"])
    across = helper.make_node("Softmax", ["x"], ["y"], axis=0)
    for number, node in enumerate((total, across)):
        folder = models.write(
            tmp_path / f"{number}", [node], {"x": ("rows", 8)}, {"y": ("a", 8)}, []
        )
        with pytest.raises(Unsupported, match=r"sizes: x \[rows,8\]; for example --shape x=1x8"):
            prepared(bare(folder), tmp_path / f"o{number}", **RANDOM)


def test_stored_and_given_and_drawn_inputs_say_which_they_are(tmp_path: Path) -> None:
    folder = models.linear(tmp_path / "m")
    model, file = model_file(folder), tmp_path / "mine.npz"
    assert {s.origin for s in prepared(model, tmp_path / "a")} == {"stored"}
    np.savez(file, x=np.ones((3, 8)), y=np.zeros((3, 4), np.float32))
    (one,) = prepared(model, tmp_path / "b", given=str(file))
    assert one.origin == f"given: {file}; 'x' cast from float64 to float32"
    assert [t.shape for t in (*one.inputs, *one.outputs)] == [(3, 8), (3, 4)]
    (drawn_set,) = prepared(model, tmp_path / "c", "random", seed=7)
    assert drawn_set.origin == "random, seed 7: x in [0, 1)"


def test_a_users_folder_of_data_may_be_sets_npz_or_one_such_for_each_model(tmp_path: Path) -> None:
    model, data = model_file(models.linear(tmp_path / "m", sets=0)), tmp_path / "data"
    put(data, 0, "input_0", models.noise(0, (2, 8)), "x")
    (tmp_path / "npz").mkdir()
    np.savez(tmp_path / "npz" / "mine.npz", x=models.noise(0, (2, 8)))
    put(tmp_path / "each" / "m", 0, "input_0", models.noise(0, (2, 8)), "x")
    for given in (data, data / "test_data_set_0", tmp_path / "npz", tmp_path / "each"):
        (one,) = prepared(model, tmp_path / "o" / given.name, "random", given=str(given))
        assert one.inputs[0].shape == (2, 8)
    (tmp_path / "none").mkdir()
    with pytest.raises(BadModel, match=r"no test_data_set_N/input_M.pb and no .npz"):
        prepared(model, tmp_path / "p", given=str(tmp_path / "none"))


def test_a_batch_is_fed_where_the_model_leaves_it_open_and_other_inputs_keep_their_shape(
    tmp_path: Path,
) -> None:
    folder = trial_cells.small(tmp_path / "m")  # x ["batch", 8] and ids [2]
    (one,) = prepared(model_file(folder), tmp_path / "out", **{**RANDOM, "sets": 1, "batch": 7})
    assert {n: a.shape for n, a in tensor_io.load_inputs(one).items()} == {
        "x": (7, 8),
        "ids": (2,),
    }
    (alone,) = drawn(bare(models.linear(tmp_path / "open")), tmp_path / "b", sets=1, batch=5)
    assert alone.shape == (5, 8)


def test_a_batch_that_the_model_fixes_or_that_is_stored_is_declined(tmp_path: Path) -> None:
    fixed = model_file(models.relu(tmp_path / "fixed", shape=(2, 8)))
    with pytest.raises(Unsupported, match="its batch is fixed; to feed 4, export"):
        drawn(fixed, tmp_path / "a", batch=4)
    assert drawn(fixed, tmp_path / "same", batch=2)[0].shape == (2, 8)
    with pytest.raises(Unsupported, match="--batch_sizes needs random inputs"):
        prepared(fixed, tmp_path / "b", batch=4)


def test_an_input_may_be_named_by_its_place(tmp_path: Path) -> None:
    model = bare(models.linear(tmp_path / "m"), inputs={"@0": InputOverride(shape=(3, 8))})
    assert drawn(model, tmp_path / "a")[0].shape == (3, 8)
    wrong = dataclasses.replace(model, inputs={"@1": InputOverride(shape=(3, 8))})
    with pytest.raises(UserError, match="no input is called '@1'"):
        drawn(wrong, tmp_path / "b")
