"""Which cells a run holds: by model, by expression, by what failed before, by one id; from any source."""

import shutil
from pathlib import Path

import pytest

from tests import models
from tests.asking import Said, ask, one_line
from tests.conftest import made_home

QUICK = ("-i", "zoo", "-t", "3", "--launches", "1", "-r", "both")
CPU = "CPUExecutionProvider"


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Said:
    """A run in which one cell of six fails, in both its io modes."""
    home = made_home(tmp_path_factory.mktemp("selection") / "home")
    models.linear(home / "models" / "wrong", error=1.0)
    return ask(home, *QUICK, "-b", "both", "--run_id", "first")


def cells(said: Said) -> list[str]:
    assert said.status == 0, said.err
    return list(said.cells)


def test_what_failed_in_the_latest_run_is_run_again_and_nothing_else(first: Said) -> None:
    home = first.results.parent
    failed = [f"wrong::{CPU}", f"wrong::{CPU}[io=device]"]
    assert [i for i, c in first.cells.items() if c["status"] == "Fail"] == failed
    again = ask(home, "--rerun", "failed")  # in its mode, with its inputs and counts
    assert cells(again) == failed
    digests = {i: first.records[i].cell.digest for i in failed}
    assert {i: r.cell.digest for i, r in again.records.items()} == digests
    scripts = [line for line in again.out.splitlines() if " --rerun " in line]  # a cell each
    assert ["--running_mode both" in script for script in scripts] == [True, True]
    better = ask(home, "--rerun", "failed", "--atol", "2")  # what is given stands above it
    assert cells(better) == failed
    assert {c["status"] for c in better.cells.values()} == {"Pass"}
    none = ask(home, "--rerun", "failed")
    assert none.status == 2
    assert f"--rerun failed: no cell failed in run {better.run.run_id}" in one_line(none)


def test_a_bare_file_is_a_model_with_the_data_beside_it(home: Path) -> None:
    said = ask(home, "-m", "models/relu/model.onnx", *QUICK)
    assert cells(said) == [f"relu::{CPU}"]
    alone = shutil.copy(home / "models" / "relu" / "model.onnx", home / "alone.onnx")
    random = ask(home, "-m", Path(alone).name, "-i", "random", "-t", "3", "--launches", "1")
    assert cells(random) == [f"alone::{CPU}"]
    assert random.cells[f"alone::{CPU}"]["status"] == "Pass"


def test_one_input_given_two_shapes_is_a_cell_each_with_its_own_data(home: Path) -> None:
    said = ask(
        home, *QUICK[2:], "-i", "random", "--models", "linear", "--shape", "x=8x8", "x=16x8"
    )
    assert cells(said) == [f"linear::{CPU}[x=8x8]", f"linear::{CPU}[x=16x8]"]
    assert [r["status"] for r in said.cells.values()] == ["Pass", "Pass"]
    assert [r["input_shapes"] for r in said.cells.values()] == [{"x": "8x8"}, {"x": "16x8"}]
    records = (said.records[i] for i in said.cells)
    fed = [{s.inputs[0].shape for s in r.cell.sets} for r in records]
    assert fed == [{(8, 8)}, {(16, 8)}]


def test_the_words_of_the_predecessor_are_understood(home: Path) -> None:
    for path in (home / "models").rglob("input_0.pb"):
        path.rename(path.with_name("input0.pb"))
    said = ask(
        home, "-r", "both", "-i", "fix", "-t", "3", "--launches", "1", "-w", "./", "--fp16",
        "--track_memory", "--ep_list", "CPUExecutionProvider  AzureExecutionProvider", "--models", "relu",
    )  # fmt: skip
    assert cells(said) == [f"relu::{CPU}", "relu::AzureExecutionProvider"]
    one = ask(home, *QUICK, "--ep", "CPUExecutionProvider", "--models", "relu")
    assert cells(one) == [f"relu::{CPU}"]


def test_a_list_is_found_below_the_workspace(home: Path) -> None:
    (home / "below").mkdir()
    (home / "models").rename(home / "below" / "models")
    said = ask(home, *QUICK, "-w", "below", "--models", "relu")
    assert cells(said) == [f"relu::{CPU}"]


def test_integers_without_a_range_are_zero_and_one_and_that_is_told(home: Path) -> None:
    models.lookup(home / "models" / "lookup")
    for path in (home / "models" / "lookup").glob("test_data_set_*"):
        shutil.rmtree(path)
    said = ask(
        home, "-m", "models/lookup/model.onnx", "-i", "random", "-r", "both", "-t", "3",
        "--shape", "ids=2x3",
    )  # fmt: skip
    (row,) = said.cells.values()
    assert (row["status"], row["check"]) == ("Pass", "checked")
    assert row["inputs_from"] == ["random, seed 0: ids in [0, 1]"]


def test_batch_sizes_are_a_cell_each_and_what_cannot_be_fed_is_skipped(home: Path) -> None:
    models.linear(home / "models" / "open")
    words = (
        "--models",
        "open",
        "relu",
        "-i",
        "random",
        "-t",
        "3",
        "--launches",
        "1",
        "--batch_sizes",
        "1,6",
    )
    said = ask(home, *words, "-r", "both")
    assert said.status == 0, said.err
    shapes = {c: row["input_shapes"] for c, row in said.cells.items() if row["status"] == "Pass"}
    assert shapes == {
        f"open::{CPU}[batch=1]": {"x": "1x8"}, f"open::{CPU}[batch=6]": {"x": "6x8"},
    }  # fmt: skip
    skipped = [row["detail"] for row in said.cells.values() if row["status"] == "Skipped"]
    assert len(skipped) == 2
    assert all("its batch is fixed" in str(d) for d in skipped)
