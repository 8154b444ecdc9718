"""Models that take maps, sequences or optionals: fed what is drawn, stored or given, and compared."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from perf.schema.record import Passed, Record
from setup_models import add
from setup_models.reference import SetOptions
from tests.asking import CURRENT, QUICK, ask
from tests.setup_models.tiny import save

CPU = "CPUExecutionProvider"
FLOATS = helper.make_tensor_type_proto(TensorProto.FLOAT, [2, 3])
SCALAR = helper.make_tensor_type_proto(TensorProto.FLOAT, None)


def model(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, onnx.TypeProto],
    weights: tuple[onnx.TensorProto, ...] = (),
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes, "g", [onnx.ValueInfoProto(name=n, type=t) for n, t in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], list(weights),
    )  # fmt: skip
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def words() -> onnx.ModelProto:
    node = helper.make_node(
        "DictVectorizer", ["m"], ["y"], domain="ai.onnx.ml", string_vocabulary=["b", "a", "c"]
    )
    return model([node], {"m": helper.make_map_type_proto(TensorProto.STRING, SCALAR)})


def numbers() -> onnx.ModelProto:
    node = helper.make_node(
        "CastMap", ["m"], ["y"], domain="ai.onnx.ml", cast_to="TO_FLOAT", map_form="DENSE"
    )
    return model([node], {"m": helper.make_map_type_proto(TensorProto.INT64, SCALAR)})


def sequence() -> onnx.ModelProto:
    node = helper.make_node("ConcatFromSequence", ["s"], ["y"], axis=0)
    return model([node], {"s": helper.make_sequence_type_proto(FLOATS)})


def optional() -> onnx.ModelProto:
    kind = helper.make_optional_type_proto(FLOATS)
    return model([helper.make_node("OptionalGetElement", ["o"], ["y"])], {"o": kind})


def optional_sequence() -> onnx.ModelProto:
    kind = helper.make_optional_type_proto(helper.make_sequence_type_proto(FLOATS))
    nodes = [
        helper.make_node("OptionalGetElement", ["o"], ["s"]),
        helper.make_node("ConcatFromSequence", ["s"], ["y"], axis=0),
    ]
    return model(nodes, {"o": kind})


def passed(home: Path, *words: str, out: str) -> Record:
    said = ask(home, *QUICK, "-e", CPU, *words, out=out)
    (record,) = said.records.values()
    assert isinstance(record.outcome, Passed), record.outcome
    (row,) = said.cells.values()
    assert row["compared_outputs"] > 0
    return record


MODELS = {
    "words": (words(), {"m{keys}", "m{values}"}),
    "numbers": (numbers(), {"m{keys}", "m{values}"}),
    "sequence": (sequence(), {"s[0]", "s[1]"}),
    "optional": (optional(), {"o"}),
    "optional_sequence": (optional_sequence(), {"o[0]", "o[1]"}),
}


@pytest.mark.parametrize("name", MODELS)
def test_inputs_that_are_no_tensors_are_drawn_stored_fed_and_their_outputs_compared(
    name: str, tmp_path: Path
) -> None:
    made, told = MODELS[name]
    (tmp_path / "environments.toml").write_text(CURRENT, encoding="utf-8")
    source = save(made, tmp_path / "net.onnx")
    record = passed(tmp_path, "-m", "net.onnx", "-i", "random", out="bare")
    assert {t.name for t in record.cell.sets[0].inputs} == told
    report = add.add_model(source, tmp_path / "models", "net", SetOptions())
    assert set(report.input_shapes) == told
    assert not any("same for different inputs" in note for note in report.notes)
    for data in ("fix", "random"):  # what is stored, and what is drawn like it
        record = passed(tmp_path, "-m", "models/model_list.json", "-i", data, out=data)
        assert {t.name for t in record.cell.sets[0].inputs} == told


def test_a_map_of_words_that_no_vocabulary_tells_is_given_as_arrays(tmp_path: Path) -> None:
    (tmp_path / "environments.toml").write_text(CURRENT, encoding="utf-8")
    save(words(), tmp_path / "net.onnx")
    given: dict[str, Any] = {
        "m{keys}": np.array(["a", "z"]),
        "m{values}": np.array([1, 2], np.float32),
    }
    np.savez(tmp_path / "mine.npz", **given)
    record = passed(tmp_path, "-m", "net.onnx", "--inputs", "mine.npz", out="given")
    (keys, _) = record.cell.sets[0].inputs
    assert np.load(keys.path).tolist() == ["a", "z"]
