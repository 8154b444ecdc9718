"""Which outputs of a cell were checked, with what: no output goes by unseen, and none is right for having been so."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from perf.schema.record import Mismatched
from tests import models
from tests.asking import ROOT, Said, ask

SPOILED = f"""
drop = ["*"]
[current]
python = "current"
[spoiled]
python = "current"
backend = "{ROOT / "tests" / "fakes" / "spoiled.py"}"
targets = ["Spoiled"]
default = false
"""
QUICK = ("-i", "zoo", "-r", "both", "-t", "4", "--launches", "2", "--warmup", "0")
MADE = "CPUExecutionProvider unoptimised"


def beside_the_cpu(home: Path, *words: str, **spoiled: str) -> Said:
    """Run the models of `home` on the CPU EP, and on one whose outputs are spoiled as asked."""
    (home / "environments.toml").write_text(SPOILED, encoding="utf-8")
    env = {f"SPOILED_{name.upper()}": how for name, how in spoiled.items()}
    return ask(home, *QUICK, "-e", "cpu", "spoiled", *words, env=env)


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    """A home with a model of two outputs, of which the second has no file in the second set."""
    folder = models.two_outputs(tmp_path / "models" / "heads")
    (folder / "test_data_set_1" / "output_1.pb").unlink()
    return tmp_path


def test_an_output_without_a_stored_reference_is_held_against_the_cpu_ep(heads: Path) -> None:
    (heads / "models" / "heads" / "test_data_set_0" / "output_1.pb").unlink()
    said = beside_the_cpu(heads, output="difference")
    outcome = said.records["heads::Spoiled"].outcome
    assert isinstance(outcome, Mismatched)
    assert outcome.output == "test_data_set_0/difference"
    assert "15 of 15 elements differ, max abs 1," in outcome.detail
    good = said.cells["heads::CPUExecutionProvider"]
    assert (good["check"], good["compared_outputs"], good["unreferenced_outputs"]) == (
        "checked",
        4,
        0,
    )
    assert good["references"] == {"stored": 2, MADE: 2}


def test_a_set_that_lacks_an_output_keeps_those_that_it_has(heads: Path) -> None:
    first = heads / "models" / "heads" / "test_data_set_1" / "output_0.pb"
    array = np.zeros((3, 5), np.float32)
    tensor = numpy_helper.from_array(array, "total")
    first.write_bytes(
        tensor.SerializeToString()
    )  # wrong, and the CPU EP's word does not replace it
    said = beside_the_cpu(heads)
    for target in ("CPUExecutionProvider", "Spoiled"):
        outcome = said.records[f"heads::{target}"].outcome
        assert isinstance(outcome, Mismatched)
        assert outcome.output == "test_data_set_1/total"


@pytest.mark.parametrize(
    ("run", "wrong", "io"), [("first", 0, ()), ("last", 1, ()), ("last", 1, ("-b",))]
)
def test_an_engine_that_is_right_when_checked_and_wrong_when_timed_is_mismatched(
    home: Path, run: str, wrong: int, io: tuple[str, ...]
) -> None:
    """Four runs over two sets: sets 0, 1, 0, 1."""
    said = beside_the_cpu(home, "--models", "relu", *io, run=run)
    variant = "[io=device]" if io else ""
    row = said.cells[f"relu::Spoiled{variant}"]
    assert row["exact_outcome"] == f"Mismatched(test_data_set_{wrong}/y)"
    assert f"in the {run} timed run; it was right when checked" in row["detail"]
    assert row["p50_ms"] is None
    good = said.cells[f"relu::CPUExecutionProvider{variant}"]
    assert (good["outcome"], good["compared_outputs"]) == ("Passed", 2)
    assert good["timed_outputs_compared"] == 4  # of two launches


def test_an_engine_that_hands_out_no_outputs_of_timed_runs_passes_and_says_so(home: Path) -> None:
    said = beside_the_cpu(home, "--models", "relu", run="none")
    row = said.cells["relu::Spoiled"]
    assert (row["outcome"], row["timed_outputs_compared"]) == ("Passed", 0)
    assert row["notes"] == ["outputs of timed runs are not checked: they stay on the device"]


def nonzero(folder: Path, *sets: object) -> Path:
    """places = NonZero(x), and with it twice = x + x: of zeros, places is empty."""
    nodes = [helper.make_node("NonZero", ["x"], ["places"])]
    fed = [np.array(x, np.float32) for x in sets]
    return models.write(
        folder, nodes, {"x": (4,)}, {"places": (1, "n")},
        [({"x": x}, {"places": np.array(np.nonzero(x), np.int64)}) for x in fed],
        kinds={"places": TensorProto.INT64},
    )  # fmt: skip


def test_a_sequence_that_should_be_empty_and_is_not_is_mismatched(tmp_path: Path) -> None:
    """Its reference has no element, and so nothing of it is stored."""
    folder = tmp_path / "models" / "none"
    kind = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(
        [helper.make_node("SequenceEmpty", [], ["y"])], "none",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])], [kind],
    )  # fmt: skip
    models.write(folder, [], {"x": (1,)}, {"x": (1,)}, [({"x": np.ones(1, np.float32)}, {})])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "model.onnx").write_bytes(made.SerializeToString())
    said = beside_the_cpu(tmp_path, more="y")
    row = said.cells["none::Spoiled"]
    assert row["exact_outcome"] == "Mismatched(test_data_set_0/y)"
    good = said.cells["none::CPUExecutionProvider"]
    assert (good["outcome"], good["check"], good["marks"]) == (
        "Passed",
        "unchecked",
        ["unchecked"],
    )
    assert good["p50_ms"] is None


def test_a_cell_whose_outputs_are_all_empty_is_unchecked_and_has_no_latency(home: Path) -> None:
    nonzero(home / "models" / "empty", [0, 0, 0, 0])
    nonzero(home / "models" / "filled", [0, 0, 0, 0], [0, 1, 0, 2])
    said = ask(home, *QUICK, "--models", "empty", "filled")
    row = said.cells["empty::CPUExecutionProvider"]
    assert (row["outcome"], row["check"], row["compared_outputs"]) == ("Passed", "unchecked", 0)
    assert (row["p50_ms"], row["samples"]) == (None, None)
    assert "unchecked" in row["marks"]
    assert "unchecked" in said.out
    row = said.cells["filled::CPUExecutionProvider"]
    assert (row["check"], row["compared_outputs"]) == ("checked", 1)
    assert row["p50_ms"] > 0
