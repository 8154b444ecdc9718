"""What a user feeds: an own .npz, a bare file without data, and rows that say where inputs came from."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from perf.schema.record import Mismatched, Passed
from tests import models
from tests.asking import CURRENT, QUICK, ask, one_line
from tests.inprocess.asking import f32

CPU = "CPUExecutionProvider"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    models.relu(tmp_path / "models" / "relu")
    shutil.copyfile(tmp_path / "models" / "relu" / "model.onnx", tmp_path / "net.onnx")
    (tmp_path / "environments.toml").write_text(CURRENT, encoding="utf-8")
    return tmp_path


def test_a_user_feeds_an_own_npz_and_its_outputs_are_the_reference(home: Path) -> None:
    x = np.linspace(-1, 1, 16).reshape(2, 8)  # float64, as numpy makes it
    np.savez(home / "mine.npz", x=x)
    said = ask(home, *QUICK, "-m", "net.onnx", "-e", CPU, "--inputs", "mine.npz")
    assert said.status == 0, said.err
    (row,) = said.cells.values()
    assert row["inputs_from"] == [f"given: {home}/mine.npz; 'x' cast from float64 to float32"]
    assert (row["outcome"], row["compared_outputs"], row["sets"]) == ("Passed", 1, 1)
    np.savez(home / "mine.npz", x=x, y=f32(np.maximum(x, 0) + 1))
    said = ask(home, *QUICK, "-m", "net.onnx", "-e", CPU, "--inputs", "mine.npz", out="wrong")
    (record,) = said.records.values()
    assert isinstance(record.outcome, Mismatched)


def test_a_bare_file_without_data_falls_to_random_inputs_and_that_is_said(home: Path) -> None:
    said = ask(home, *QUICK, "-m", "net.onnx", "-e", CPU)
    assert said.status == 0, said.err
    assert "net: no test data beside" in said.err
    assert "random inputs are fed, of seed 0; --inputs FILE.npz feeds your own" in said.err
    (record,) = said.records.values()
    assert isinstance(record.outcome, Passed)
    (row,) = said.cells.values()
    assert row["inputs_from"] == ["random, seed 0: x in [0, 1)"]
    other = ask(home, *QUICK, "-m", "net.onnx", "-e", CPU, "--seed", "5", out="other")
    assert other.cells[record.cell.id]["inputs_digest"] != row["inputs_digest"]


def test_stored_inputs_say_that_they_are(home: Path) -> None:
    said = ask(home, *QUICK, "-e", CPU)
    assert "no test data" not in said.err
    assert [row["inputs_from"] for row in said.cells.values()] == [["stored"]]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("nowhere.npz", "no such folder or .npz file"),
        ("net.onnx", "neither a folder nor an .npz file"),
    ],
)
def test_own_data_that_are_not_there_end_in_one_line(home: Path, given: str, says: str) -> None:
    said = ask(home, *QUICK, "-e", CPU, "--inputs", given)
    assert said.status == 2
    assert f"--inputs {given}: {says}; numpy.savez(FILE, x=x) writes one" in one_line(said)


def test_fewer_timed_runs_than_sets_are_told_with_the_sets_that_have_no_latency(
    home: Path,
) -> None:
    (home / "mine").mkdir()
    for number in range(3):
        np.savez(home / "mine" / f"{number}.npz", x=f32(np.full((2, 8), number)))
    given = ("-m", "net.onnx", "-e", CPU, "--inputs", "mine", "--launches", "1")
    said = ask(home, *given, "-t", "2")
    assert said.status == 0, said.err
    line = f"fewer timed runs than test sets: net::{CPU} has up to 3 sets, and what no run was left for has"
    assert f"\n{line} no latency; -t 3 or more times each\n" in said.out
    assert "fewer timed runs" not in ask(home, *given, "-t", "3", out="enough").out
