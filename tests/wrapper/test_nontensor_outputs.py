"""Models that answer with maps, sequences or optionals: added, compared and timed as any other."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from perf.conversion import data_sets
from perf.conversion.signature import read_signature
from perf.schema.record import Mismatched, Passed
from setup_models import add
from setup_models.reference import SetOptions
from tests.asking import CURRENT, QUICK, ask
from tests.setup_models.tiny import save

CPU = "CPUExecutionProvider"
FLOATS = helper.make_tensor_type_proto(TensorProto.FLOAT, None)


def classifier() -> onnx.ModelProto:
    """As scikit-learn's converter writes it: probabilities end in a ZipMap, a sequence of maps."""
    raw = [helper.make_node("Softmax", ["x"], ["raw"], axis=1)]
    zipped = helper.make_node(
        "ZipMap",
        ["raw"],
        ["probabilities"],
        domain="ai.onnx.ml",
        classlabels_strings=["b", "a", "c"],
    )
    maps = helper.make_map_type_proto(TensorProto.STRING, FLOATS)
    return model([*raw, zipped], helper.make_sequence_type_proto(maps), "probabilities")


def splitter() -> onnx.ModelProto:
    node = helper.make_node("SplitToSequence", ["x"], ["parts"], axis=0)
    return model([node], helper.make_sequence_type_proto(FLOATS), "parts")


def optional() -> onnx.ModelProto:
    node = helper.make_node("Optional", ["x"], ["maybe"])
    return model([node], helper.make_optional_type_proto(FLOATS), "maybe")


def model(nodes: list[onnx.NodeProto], kind: onnx.TypeProto, output: str) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [onnx.ValueInfoProto(name=output, type=kind)],
    )  # fmt: skip
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (classifier(), {"probabilities{counts}", "probabilities{keys}", "probabilities{values}"}),
        (splitter(), {"parts[0]", "parts[1]"}),
        (optional(), {"maybe"}),
    ],
    ids=["map", "sequence", "optional"],
)
def test_outputs_that_are_no_tensors_are_added_compared_and_found_wrong(
    made: onnx.ModelProto, told: set[str], tmp_path: Path
) -> None:
    source = save(made, tmp_path / "net.onnx")
    (tmp_path / "environments.toml").write_text(CURRENT, encoding="utf-8")
    shape = add.parse_overrides(["x=2x3"], [], [], [])
    report = add.add_model(
        source, tmp_path / "models", "net", SetOptions(shape, cross_check=False)
    )
    assert set(report.output_shapes) == told
    said = ask(tmp_path, *QUICK, "-m", "models/model_list.json", "-e", CPU)
    (record,) = said.records.values()
    assert isinstance(record.outcome, Passed), record.outcome
    (row,) = said.cells.values()
    assert row["compared_outputs"] == 2 * len(told)  # of two sets

    signature, stored = read_signature(source), tmp_path / "models" / "net" / "test_data_set_0"
    outputs = dict(data_sets.read_outputs(stored, signature))
    name = max(told)  # the values of a map, the last element of a sequence
    outputs[name] = np.flip(outputs[name])
    data_sets.write_set(stored, data_sets.read_inputs(stored, signature), outputs, signature)
    said = ask(tmp_path, *QUICK, "-m", "models/model_list.json", "-e", CPU, out="wrong")
    (record,) = said.records.values()
    assert isinstance(record.outcome, Mismatched)
