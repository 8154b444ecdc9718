"""Stored test data become tensors of the model's inputs, by name, by position, of every type."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from perf.backends import Unsupported
from perf.measure import tensor_io
from perf.worker.model_signature import BadModel
from perf.worker.prepare import PrepareRequest, prepare_sets, set_folders
from tests import models
from tests.inprocess.asking import f32, model_file, put, stored_sets


def adder(path: Path) -> Path:
    """c = a - b, without test data: the order of inputs shows in the result."""
    node = helper.make_node("Sub", ["a", "b"], ["c"])
    return models.write(path, [node], {"a": (2,), "b": (2,)}, {"c": (2,)}, [])


def values(folder: Path, out: Path) -> dict[str, list[float]]:
    fed = tensor_io.load_inputs(stored_sets(folder, out)[0])
    return {name: array.tolist() for name, array in fed.items()}


def test_stored_sets_come_back_whole(tmp_path: Path) -> None:
    sets = stored_sets(models.linear(tmp_path / "m"), tmp_path / "out")
    assert [s.name for s in sets] == ["test_data_set_0", "test_data_set_1"]
    for number, one in enumerate(sets):
        np.testing.assert_array_equal(
            tensor_io.load_inputs(one)["x"], models.noise(number, (1 + number, 8))
        )
        assert [(t.name, t.onnx_type, t.shape) for t in one.outputs] == [("y", 1, (1 + number, 4))]


def test_sets_sort_by_number(tmp_path: Path) -> None:
    for n in (10, 9, 2, 0):
        (tmp_path / f"test_data_set_{n}").mkdir()
    assert [p.name.rsplit("_", 1)[1] for p in set_folders(tmp_path)] == ["0", "2", "9", "10"]


def test_inputs_match_by_name_before_position(tmp_path: Path) -> None:
    folder = adder(tmp_path / "m")
    put(folder, 0, "input_0", f32([1, 1]), "b")
    put(folder, 0, "input_1", f32([2, 2]), "a")
    assert values(folder, tmp_path / "o") == {"a": [2, 2], "b": [1, 1]}


@pytest.mark.parametrize(
    "stems", [("input_0", "input_1"), ("input0", "input1"), ("input_2", "input_10")]
)
def test_inputs_without_a_known_name_match_by_position(
    tmp_path: Path, stems: tuple[str, str]
) -> None:
    folder = adder(tmp_path / "m")
    put(folder, 0, stems[0], f32([1, 1]), "exporter's own name")
    put(folder, 0, stems[1], f32([2, 2]), "")
    assert values(folder, tmp_path / "o") == {"a": [1, 1], "b": [2, 2]}


def test_what_a_name_leaves_is_matched_in_order(tmp_path: Path) -> None:
    folder = adder(tmp_path / "m")
    put(folder, 0, "input_0", f32([1, 1]), "b")
    put(folder, 0, "input_1", f32([2, 2]), "")
    assert values(folder, tmp_path / "o") == {"a": [2, 2], "b": [1, 1]}


def test_an_initializer_is_not_an_input_even_where_ir_3_lists_it(tmp_path: Path) -> None:
    folder = models.linear(tmp_path / "m")
    model = onnx.load(folder / "model.onnx")
    model.ir_version = 3
    for t in model.graph.initializer:
        model.graph.input.insert(0, helper.make_tensor_value_info(t.name, t.data_type, t.dims))
    onnx.save(model, folder / "model.onnx")
    assert list(tensor_io.load_inputs(stored_sets(folder, tmp_path / "o")[0])) == ["x"]


def test_a_missing_output_is_no_error(tmp_path: Path) -> None:
    folder = models.two_outputs(tmp_path / "m")
    for p in folder.glob("test_data_set_*/output_1.pb"):
        p.unlink()
    assert [t.name for t in stored_sets(folder, tmp_path / "o")[0].outputs] == ["total"]


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
    shape = np.shape(array)
    node = helper.make_node("Identity", ["x"], ["y"])
    pair = ({"x": array}, {"y": array})
    folder = models.write(
        tmp_path / "m", [node], {"x": shape}, {"y": shape}, [pair], kinds={"x": kind, "y": kind}
    )
    one = stored_sets(folder, tmp_path / "o")[0]
    fed = tensor_io.load_inputs(one)["x"]
    assert (fed.shape, one.inputs[0].onnx_type) == (shape, kind)
    assert fed.tolist() == np.asarray(array).tolist()


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((1, 8), np.int64), "float32 in the model, int64 in the test data"),
        (np.zeros((1, 7), np.float32), r"\[batch,8\] in the model, \[1,7\] in the test data"),
        (np.zeros(8, np.float32), r"\[batch,8\] in the model, \[8\] in the test data"),
    ],
)
def test_data_that_do_not_fit_are_named(tmp_path: Path, array: np.ndarray, says: str) -> None:
    folder = models.linear(tmp_path / "m")
    put(folder, 0, "input_0", array, "x")
    with pytest.raises(BadModel, match=says):
        stored_sets(folder, tmp_path / "o")


def test_data_for_no_input_and_inputs_without_data_are_named(tmp_path: Path) -> None:
    folder = adder(tmp_path / "m")
    put(folder, 0, "input_0", f32([1, 1]), "a")
    with pytest.raises(BadModel, match="no data for input 'b'"):
        stored_sets(folder, tmp_path / "o")
    put(folder, 0, "input_1", f32([1, 1]), "b")
    put(folder, 0, "input_2", f32([1, 1]), "")
    with pytest.raises(BadModel, match=r"input_2\.pb: the model has only 2 inputs"):
        stored_sets(folder, tmp_path / "o")


def test_a_torn_pb_is_named(tmp_path: Path) -> None:
    folder = models.linear(tmp_path / "m")
    file = folder / "test_data_set_1" / "input_0.pb"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(BadModel, match=r"test_data_set_1.input_0\.pb: truncated"):
        stored_sets(folder, tmp_path / "o")


def test_fp16_data_are_cast_for_a_model_of_fp16_inputs(tmp_path: Path) -> None:
    folder = models.relu(tmp_path / "m")
    half = models.write(
        tmp_path / "half",
        [helper.make_node("Relu", ["x"], ["y"])],
        {"x": (2, 8)},
        {"y": (2, 8)},
        [],
        kinds={"x": TensorProto.FLOAT16, "y": TensorProto.FLOAT16},
    )
    model = model_file(folder, path_fp16=str(half / "model.onnx"))
    one = prepare_sets(model, PrepareRequest("zoo", use_fp16_data=True), tmp_path / "o")[0]
    assert {t.onnx_type for t in (*one.inputs, *one.outputs)} == {TensorProto.FLOAT16}


def test_the_models_folder_is_left_alone(tmp_path: Path) -> None:
    folder = models.linear(tmp_path / "m")
    before = sorted(p.relative_to(folder) for p in folder.rglob("*"))
    stored_sets(folder, tmp_path / "o")
    assert sorted(p.relative_to(folder) for p in folder.rglob("*")) == before


def test_sequences_are_fed_as_elements_and_nested_types_declined(tmp_path: Path) -> None:
    sequence = helper.make_tensor_sequence_value_info("xs", TensorProto.FLOAT, None)
    count = helper.make_tensor_value_info("n", TensorProto.INT64, [])
    graph = helper.make_graph(
        [helper.make_node("SequenceLength", ["xs"], ["n"])], "g", [sequence], [count]
    )
    folder = tmp_path / "m"
    home = folder / "test_data_set_0"
    home.mkdir(parents=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
              folder / "model.onnx")  # fmt: skip
    held = numpy_helper.from_list([f32([1]), f32([2, 3])], "xs")
    (home / "input_0.pb").write_bytes(held.SerializeToString())
    fed = tensor_io.load_inputs(stored_sets(folder, tmp_path / "o")[0])
    assert {k: v.tolist() for k, v in fed.items()} == {"xs[0]": [1], "xs[1]": [2, 3]}
    plain = onnx.TypeProto.FromString(sequence.type.SerializeToString())
    graph.input[0].type.CopyFrom(helper.make_optional_type_proto(plain))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
              folder / "model.onnx")  # fmt: skip
    maybe = numpy_helper.from_optional([f32([4])], "xs", onnx.OptionalProto.SEQUENCE)
    (home / "input_0.pb").write_bytes(maybe.SerializeToString())
    fed = tensor_io.load_inputs(stored_sets(folder, tmp_path / "o")[0])
    assert {k: v.tolist() for k, v in fed.items()} == {"xs[0]": [4]}
    graph.input[0].type.CopyFrom(helper.make_sequence_type_proto(plain))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
              folder / "model.onnx")  # fmt: skip
    with pytest.raises(Unsupported, match="a sequence in a sequence"):
        stored_sets(folder, tmp_path / "o")
