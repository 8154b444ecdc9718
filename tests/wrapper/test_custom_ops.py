"""A user's custom-op library, built here, in every session that a run or an addition opens."""

import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from perf.schema.record import Passed, Raised
from tests.asking import CURRENT, QUICK, ROOT, ask, one_line

CPU = "CPUExecutionProvider"


def build(library: Path, shift: float) -> Path:
    """acme.ops::Shift, which adds `shift`."""
    source = ROOT / "tests" / "fakes" / "custom_op.c"
    words = ["gcc", "-shared", "-fPIC", f"-DSHIFT={shift}f", "-o", str(library), str(source)]
    subprocess.run(words, check=True)
    return library


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "environments.toml").write_text(CURRENT, encoding="utf-8")
    shape, kind = ["rows", 8], TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Shift", ["x"], ["y"], domain="acme.ops")], "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, shape)],
    )  # fmt: skip
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("acme.ops", 1)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), tmp_path / "net.onnx")
    build(tmp_path / "shift.so", 1.0)
    return tmp_path


def added(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, "-m", "setup_models.add", str(home / "net.onnx"), *words]
    return subprocess.run(
        [*whole, "--models", str(home / "models"), "--shape", "x=2x8"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip


def test_a_model_of_custom_ops_runs_and_is_checked_with_their_library(home: Path) -> None:
    words = (*QUICK, "-m", "net.onnx", "-i", "random", "--shape", "x=2x8", "-e", CPU)
    said = ask(home, *words)
    (record,) = said.records.values()
    assert not isinstance(record.outcome, Passed)
    assert (
        "acme.ops:Shift is not a registered function/op: give the library that registers it"
        in (str(record.outcome))
    )
    said = ask(home, *words, "--custom_ops", "shift.so", out="with")
    (record,) = said.records.values()
    assert isinstance(record.outcome, Passed), record.outcome
    assert list(record.cell.model.custom_ops) == [str(home / "shift.so")]
    build(home / "shift.so", 2.0)
    said = ask(home, *words, "--custom_ops", "shift.so", out="other")
    (other,) = said.records.values()
    assert isinstance(other.outcome, Passed)
    assert (other.cell.id, other.cell.inputs_digest) == (record.cell.id, record.cell.inputs_digest)
    assert other.cell.digest != record.cell.digest


def test_a_model_of_custom_ops_is_added_with_their_library_in_its_row(home: Path) -> None:
    done = added(home)
    assert done.returncode == 1
    assert "acme.ops:Shift is not a registered function/op: give the library" in done.stderr
    done = added(home, "--custom_ops", str(home / "shift.so"))
    assert done.returncode == 0, done.stderr
    said = ask(home, *QUICK, "-m", "models/model_list.json", "-e", CPU)
    (record,) = said.records.values()
    assert isinstance(record.outcome, Passed), record.outcome
    build(home / "shift.so", 2.0)  # the stored outputs are those of the library that made them
    said = ask(home, *QUICK, "-m", "models/model_list.json", "-e", CPU, out="other")
    assert not any(isinstance(r.outcome, Passed) for r in said.records.values())


def test_a_library_that_is_not_there_or_none_is_said(home: Path) -> None:
    words = (*QUICK, "-m", "net.onnx", "-i", "random", "--shape", "x=2x8", "-e", CPU)
    said = ask(home, *words, "--custom_ops", "nowhere.so")
    assert said.status == 2
    assert one_line(said) == "error: --custom_ops nowhere.so: No such file or directory"
    done = added(home, "--custom_ops", str(home / "shift.so"))
    assert done.returncode == 0, done.stderr
    (home / "shift.so").write_text("no library")
    said = ask(home, *QUICK, "-m", "models/model_list.json", "-e", CPU)
    (record,) = said.records.values()
    assert isinstance(record.outcome, Raised), record.outcome
    assert "shift.so" in record.outcome.message
    (home / "shift.so").unlink()
    said = ask(home, *QUICK, "-m", "models/model_list.json", "-e", CPU, out="gone")
    (record,) = said.records.values()
    assert f"no file {home}/shift.so" in str(record.outcome)
