"""Stored test data become tensors of the model's inputs, by name, by position, of every type."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from perf.conversion import data_sets
from perf.conversion.errors import BadModel, CannotFeed
from perf.conversion.signature import read_signature
from tests import models
from tests.inprocess.asking import f32, put


def read(folder: Path) -> data_sets.Tensors:
    signature = read_signature(folder / "model.onnx")
    return data_sets.read_inputs(folder / "test_data_set_0", signature)


def adder(path: Path) -> Path:
    """c = a - b, without test data: the order of inputs shows in the result."""
    node = helper.make_node("Sub", ["a", "b"], ["c"])
    return models.write(path, [node], {"a": (2,), "b": (2,)}, {"c": (2,)}, [])


@pytest.mark.parametrize(
    ("files", "order"),
    [
        ({"input_0": "b", "input_1": "a"}, "ba"),  # by name before position
        ({"input_0": "exporter's own name", "input_1": ""}, "ab"),
        ({"input0": "", "input1": ""}, "ab"),
        ({"input_2": "", "input_10": ""}, "ab"),
        ({"input_1": "", "input_2": ""}, "ab"),
        ({"input_0": "b", "input_1": ""}, "ba"),  # what a name leaves is matched in order
    ],
)
def test_names_come_before_order(files: dict[str, str], order: str, tmp_path: Path) -> None:
    folder = adder(tmp_path / "m")
    for number, (stem, name) in enumerate(files.items()):
        put(folder, 0, stem, f32([number, number]), name)
    fed = read(folder)
    assert [(n, array[0]) for n, array in fed.items()] == [(n, order.index(n)) for n in "ab"]


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["a"], r"no data for input 'b' \(1 of 2 given\)"),
        (["a", "b", ""], r"input_2\.pb: the model has only 2 inputs"),
        (["a", "a"], r"two input\*\.pb files hold the same tensor name"),
    ],
)
def test_files_that_fit_no_input_are_named(names: list[str], says: str, tmp_path: Path) -> None:
    folder = adder(tmp_path / "m")
    for number, name in enumerate(names):
        put(folder, 0, f"input_{number}", f32([1, 1]), name)
    with pytest.raises(BadModel, match=says):
        read(folder)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((1, 8), np.int64), "float32 in the model, int64 in the test data"),
        (np.zeros((1, 7), np.float32), r"\[batch,8\] in the model, \[1,7\] in the test data"),
        (np.zeros(8, np.float32), r"\[batch,8\] in the model, \[8\] in the test data"),
        (None, r"test_data_set_0.input_0\.pb: truncated, or not a TensorProto"),
    ],
)
def test_data_of_another_kind_are_named(
    tmp_path: Path, array: np.ndarray | None, says: str
) -> None:
    folder = models.linear(tmp_path / "m")
    file = folder / "test_data_set_0" / "input_0.pb"
    file.write_bytes(file.read_bytes()[:-3])
    if array is not None:
        put(folder, 0, "input_0", array, "x")
    with pytest.raises(BadModel, match=says):
        read(folder)


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (f32(2.5), TensorProto.FLOAT),
        (np.zeros((0, 3), np.float32), TensorProto.FLOAT),
        (np.array(["añb", "", "c d"], object), TensorProto.STRING),
        (np.array([True, False]), TensorProto.BOOL),
        (np.array([1, -2], np.int8), TensorProto.INT8),
        (np.array([1.5, -2], np.float16), TensorProto.FLOAT16),
    ],
)
def test_every_kind_of_tensor_survives(tmp_path: Path, array: np.ndarray, kind: int) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    shapes, kinds = np.shape(array), {"x": kind, "y": kind}
    folder = models.write(tmp_path / "m", [node], {"x": shapes}, {"y": shapes}, [], kinds=kinds)
    data_sets.write_set(folder / "test_data_set_0", {"x": array}, {"y": array})
    outputs = data_sets.read_outputs(
        folder / "test_data_set_0", read_signature(folder / "model.onnx")
    )
    for found in (read(folder)["x"], outputs["y"]):
        assert found.shape == shapes
        assert found.tolist() == np.asarray(array).tolist()


def test_sequences_are_fed_as_elements_and_deeper_types_declined(tmp_path: Path) -> None:
    home = tmp_path / "test_data_set_0"
    home.mkdir()
    plain = helper.make_tensor_sequence_value_info("xs", TensorProto.FLOAT, None)
    elements = numpy_helper.from_list([f32([1]), f32([2, 3])], "xs")
    maybe = numpy_helper.from_optional([f32([4])], "xs", onnx.OptionalProto.SEQUENCE)
    tensor = helper.make_optional_type_proto(
        helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    )
    absent = numpy_helper.from_optional(None, "xs", onnx.OptionalProto.UNDEFINED)
    for kind, stored, fed in (
        (plain.type, elements, {"xs[0]": [1], "xs[1]": [2, 3]}),
        (helper.make_optional_type_proto(plain.type), maybe, {"xs[0]": [4]}),
        (tensor, numpy_helper.from_optional(f32([5]), "xs"), {"xs": [5]}),
        (tensor, absent, {}),
        (helper.make_sequence_type_proto(plain.type), elements, None),
    ):
        graph = onnx.GraphProto(name="g", input=[onnx.ValueInfoProto(name="xs", type=kind)])
        model = helper.make_model(graph, ir_version=8)
        (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
        (home / "input_0.pb").write_bytes(stored.SerializeToString())
        if fed is None:
            with pytest.raises(CannotFeed, match="a sequence of a sequence"):
                read(tmp_path)
        else:
            assert {name: array.tolist() for name, array in read(tmp_path).items()} == fed


def test_a_declared_output_shape_is_a_hint_and_an_input_shape_is_not(tmp_path: Path) -> None:
    folder = models.relu(tmp_path / "m", shape=(2, 8), sets=0)
    model = onnx.load(folder / "model.onnx")
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 7
    onnx.save(model, folder / "model.onnx")
    put(folder, 0, "input_0", np.ones((2, 8), np.float32), "x")
    put(folder, 0, "output_0", np.ones((2, 8), np.float32), "y")
    signature = read_signature(folder / "model.onnx")
    stored = folder / "test_data_set_0"
    assert data_sets.read_outputs(stored, signature)["y"].shape == (2, 8)
    put(folder, 0, "input_0", np.ones((3, 8), np.float32), "x")
    with pytest.raises(BadModel, match=r"is \[2,8\] in the model, \[3,8\] in the test data"):
        data_sets.read_inputs(stored, signature)


@pytest.mark.parametrize("ir_version", [3, 8])
def test_weights_stored_as_inputs_are_fed_only_where_an_engine_takes_them(
    ir_version: int, tmp_path: Path
) -> None:
    folder = models.with_weights_listed(models.linear(tmp_path / "m"), ir_version)
    put(folder, 0, "input_1", np.zeros((8, 4), np.float32), "weight")
    put(folder, 0, "input_2", np.zeros(4, np.float32), "bias")
    assert list(read(folder)) == (["x"] if ir_version == 3 else ["x", "weight", "bias"])


def test_sparse_weights_that_are_listed_as_inputs_are_no_inputs(tmp_path: Path) -> None:
    indices = numpy_helper.from_array(np.array([0, 3], np.int64), "indices")
    values = numpy_helper.from_array(f32([1, 2]), "w")
    shapes = {"x": (4,), "w": (4,)}
    node = helper.make_node("Add", ["x", "w"], ["y"])
    folder = models.write(tmp_path / "m", [node], shapes, {"y": (4,)}, [])
    model = onnx.load(folder / "model.onnx")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))
    onnx.save(model, folder / "model.onnx")
    put(folder, 0, "input_0", f32([1, 1, 1, 1]), "x")
    assert list(read(folder)) == ["x"]
    put(folder, 0, "input_1", f32([2, 2, 2, 2]), "w")
    assert list(read(folder)) == ["x", "w"]


def test_an_output_that_is_stored_alone_without_a_name_is_the_one_of_its_number(
    tmp_path: Path,
) -> None:
    node = helper.make_node("Split", ["x"], ["first", "second"], axis=0)
    folder = models.write(
        tmp_path / "m", [node], {"x": (2,)}, {"first": (1,), "second": (1,)}, [], opset=13
    )
    put(folder, 0, "output_1", f32([7]), "")
    signature = read_signature(folder / "model.onnx")
    assert list(data_sets.read_outputs(folder / "test_data_set_0", signature)) == ["second"]


def test_names_that_the_model_does_not_have_are_told(tmp_path: Path) -> None:
    folder = adder(tmp_path / "m")
    for number, name in enumerate(("old_a", "b")):
        put(folder, 0, f"input_{number}", f32([number, number]), name)
    put(folder, 0, "output_0", f32([1, 1]), "")
    signature, stored = read_signature(folder / "model.onnx"), folder / "test_data_set_0"
    assert data_sets.pair_inputs(stored, signature).notes == (
        "input 'a' is stored as 'old_a', paired by position",
    )
    assert data_sets.pair_outputs(stored, signature).notes == ()  # it has no name to differ


def test_sequences_maps_and_optionals_are_stored_and_read_alike(tmp_path: Path) -> None:
    def tensor(kind: int) -> onnx.TypeProto:
        return helper.make_tensor_type_proto(kind, None)

    floats = tensor(TensorProto.FLOAT)
    mapped = helper.make_map_type_proto(TensorProto.STRING, floats)
    counted = helper.make_map_type_proto(TensorProto.INT64, floats)
    types = {
        "plain": floats,
        "parts": helper.make_sequence_type_proto(floats),
        "maybe": helper.make_optional_type_proto(floats),
        "absent": helper.make_optional_type_proto(floats),
        "one": mapped,
        "many": helper.make_sequence_type_proto(counted),
    }
    outputs = [onnx.ValueInfoProto(name=name, type=kind) for name, kind in types.items()]
    graph = onnx.GraphProto(name="g", output=outputs)
    onnx.save(helper.make_model(graph, ir_version=8), tmp_path / "model.onnx")
    signature = read_signature(tmp_path / "model.onnx")
    told: dict[str, np.ndarray] = {
        "plain": f32([1, 2]),
        "parts[0]": f32([1]),
        "parts[1]": f32([[2, 3]]),
        "maybe": f32(4),
        "one{keys}": np.array(["a", "b"]),
        "one{values}": f32([5, 6]),
        "many{counts}": np.array([2, 0, 1]),
        "many{keys}": np.array([0, 1, 7]),
        "many{values}": f32([0.25, 0.75, 1]),
    }
    data_sets.write_set(tmp_path / "test_data_set_0", {}, told, signature)
    read_back = data_sets.read_outputs(tmp_path / "test_data_set_0", signature)
    assert list(read_back) == list(told)
    for name, array in told.items():
        np.testing.assert_array_equal(read_back[name], array)
        assert read_back[name].dtype == array.dtype
