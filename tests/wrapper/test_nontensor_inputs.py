"""Models that take maps, sequences or optionals: fed what is drawn, stored or given, and compared."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
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


def passed(home: Path, *words: str, out: str) -> dict[str, Record]:
    """The records of a run, by model; each passed, and something of it was compared."""
    said = ask(home, *QUICK, "-e", CPU, *words, out=out)
    assert all(isinstance(r.outcome, Passed) for r in said.records.values()), said.out
    assert all(row["compared_outputs"] for row in said.cells.values())
    return {r.cell.model.name: r for r in said.records.values()}


def fed(records: dict[str, Record]) -> dict[str, set[str]]:
    return {name: {t.name for t in r.cell.sets[0].inputs} for name, r in records.items()}


MODELS = {
    "words": (words(), {"m{keys}", "m{values}"}),
    "numbers": (numbers(), {"m{keys}", "m{values}"}),
    "sequence": (sequence(), {"s[0]", "s[1]"}),
    "optional": (optional(), {"o"}),
    "optional_sequence": (optional_sequence(), {"o[0]", "o[1]"}),
}


def test_inputs_that_are_no_tensors_are_drawn_stored_fed_and_their_outputs_compared(
    tmp_path: Path,
) -> None:
    (tmp_path / "environments.toml").write_text(CURRENT, encoding="utf-8")
    told = {name: inputs for name, (_, inputs) in MODELS.items()}
    for name, (made, inputs) in MODELS.items():
        source = save(made, tmp_path / "bare" / f"{name}.onnx")
        report = add.add_model(source, tmp_path / "models", name, SetOptions())
        assert set(report.input_shapes) == inputs
        assert not any("same for different inputs" in note for note in report.notes)
    files = [f"bare/{name}.onnx" for name in MODELS]
    assert fed(passed(tmp_path, "-m", *files, "-i", "random", out="bare_run")) == told
    for data in ("fix", "random"):  # what is stored, and what is drawn like it
        records = passed(tmp_path, "-m", "models/model_list.json", "-i", data, out=data)
        assert fed(records) == told


def test_a_map_of_words_that_no_vocabulary_tells_is_given_as_arrays(tmp_path: Path) -> None:
    (tmp_path / "environments.toml").write_text(CURRENT, encoding="utf-8")
    save(words(), tmp_path / "net.onnx")
    given: dict[str, Any] = {
        "m{keys}": np.array(["a", "z"]),
        "m{values}": np.array([1, 2], np.float32),
    }
    np.savez(tmp_path / "mine.npz", **given)
    records = passed(tmp_path, "-m", "net.onnx", "--inputs", "mine.npz", out="given")
    (keys, _) = records["net"].cell.sets[0].inputs
    assert np.load(keys.path).tolist() == ["a", "z"]
