"""ONNX's cases as folders, what bare ONNX Runtime makes of them, and outcomes by class."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks import bare_cases, node_tests, onnx_cases
from perf.schema.journal import Stage
from perf.schema.record import Crashed, Mismatched, Passed, Raised, Skipped
from tests import models

VALUES = np.arange(4, dtype=np.float32)


def test_a_case_becomes_a_folder_of_protos_by_their_kind(tmp_path: Path) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])
    many = helper.make_tensor_sequence_value_info("many", TensorProto.FLOAT, None)
    maybe = helper.make_value_info("maybe", helper.make_optional_type_proto(x.type))
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g",
                              [x, many, maybe],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])])  # fmt: skip
    case = SimpleNamespace(
        name="test_x",
        model=helper.make_model(graph),
        data_sets=[([VALUES, [VALUES, VALUES], None], [numpy_helper.from_array(VALUES, "y")])],
    )
    onnx_cases._write_case(tmp_path / "test_x", case)
    data = tmp_path / "test_x" / "test_data_set_0"
    held = onnx.SequenceProto.FromString((data / "input_1.pb").read_bytes())
    assert len(held.tensor_values) == 2
    assert not onnx.OptionalProto.FromString((data / "input_2.pb").read_bytes()).HasField(
        "tensor_value"
    )
    out = onnx.TensorProto.FromString((data / "output_0.pb").read_bytes())
    assert numpy_helper.to_array(out).tolist() == VALUES.tolist()


def test_cases_that_are_there_are_not_written_again(tmp_path: Path) -> None:
    (tmp_path / "complete").write_text("1884", encoding="ascii")
    assert onnx_cases.write(tmp_path) == 1884
    assert [p.name for p in tmp_path.iterdir()] == ["complete"]


def test_bare_onnx_runtime_tells_right_from_wrong_and_from_refused(tmp_path: Path) -> None:
    right = models.relu(tmp_path / "right", sets=1)
    assert bare_cases._forked(right) == bare_cases.PASSES
    output = right / "test_data_set_0" / "output_0.pb"
    wrong = numpy_helper.to_array(onnx.TensorProto.FromString(output.read_bytes())) + 0.5
    output.write_bytes(numpy_helper.from_array(wrong, "y").SerializeToString())
    assert bare_cases._forked(right) == bare_cases.DIFFERS
    model = onnx.load(str(right / "model.onnx"))
    model.graph.node[0].op_type = "NoSuchOperator"
    (right / "model.onnx").write_bytes(model.SerializeToString())
    assert bare_cases._forked(right) == bare_cases.REFUSED


def test_numpy_compares_as_the_onnx_package_does() -> None:
    assert bare_cases._same(VALUES, VALUES * (1 + 5e-4))
    assert not bare_cases._same(VALUES, VALUES * (1 + 5e-3))
    assert not bare_cases._same(VALUES, VALUES.astype(np.float64))
    assert bare_cases._same([VALUES, None], [VALUES, None])
    assert not bare_cases._same([VALUES], [VALUES, VALUES])
    assert bare_cases._same(np.array(["a"], object), np.array(["a"]))


def test_outcomes_fall_into_classes_that_say_where_and_what() -> None:
    assert node_tests._class(Passed()) == "Passed"
    assert node_tests._class(Mismatched("s/o", "1 of 2")) == "Mismatched"
    assert node_tests._class(Raised(Stage.CREATE, "Fail", "why")) == "Raised at create: Fail"
    assert node_tests._class(Crashed(Stage.RUN, "SIGSEGV")) == "Crashed"
    assert node_tests._class(Skipped("'x' holds a map in a tensor")).startswith("Skipped: ")
