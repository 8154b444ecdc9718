"""ep-perf results list, show, prune: old runs found, read and thinned out."""

import json
from pathlib import Path

import pytest
from onnx import helper

from perf.cli import results_list, results_prune, results_show
from perf.results import run_names
from perf.results.run_folder import RunFolder, own_run
from perf.schema import atomic_file
from tests import models
from tests.asking import QUICK, ask, snapshot
from tests.history.made_history import write_history

LIST, SHOW, PRUNE = results_list.main, results_show.main, results_prune.main


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_history(tmp_path / "result", [5.0] * 5)
    return tmp_path / "result"


def fill(run: Path) -> None:
    """What a run leaves behind, each kind with a file."""
    for name in ("cache/k/engine", "inputs/m/k/x.npy", "references/m/k/y.npy"):
        atomic_file.write_bytes(run / name, b"x" * 100_000)
    record = run / "cells" / "m" / "t" / "d" / "record.json"
    atomic_file.write_bytes(record, b"{}")
    atomic_file.write_bytes(run.parent / f"benchmark_status_{run.name}.csv", b"")


def test_the_list_is_newest_first_with_names(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_names.save_baseline(RunFolder(results, "run0003"), "good")
    assert LIST(["-n", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [x.split()[0] for x in lines[3:6]] == ["run0004", "run0003", "run0002"]
    assert lines[4].endswith("good")
    assert lines[-1] == "(2 older runs: --all)"
    assert LIST(["--all", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["runs"]
    assert [r["saved_as"] for r in told] == [[], ["good"], [], [], []]


def test_a_cell_of_several_shapes_counts_once_in_the_list(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = models.noise(5, (4, 3))
    feeds = [{"x": models.noise(n, (n, 4))} for n in (1, 2)]
    models.write(
        home / "models" / "shapes", [helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": ["n", 4]},
        {"y": ["n", 3]}, [(f, {"y": f["x"] @ weight}) for f in feeds], parameters={"w": weight},
    )  # fmt: skip
    said = ask(home, *QUICK, "--models", "shapes")
    assert len(said.table("status")) == 1
    monkeypatch.chdir(home)
    assert LIST(["--json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert (run["planned"], run["passed"], run["failed"], run["other"]) == (1, 1, 0, 0)
    assert LIST([]) == 0
    assert capsys.readouterr().out.startswith("== 1 run in result ==")


def test_a_run_is_shown_as_it_ended_and_a_cell_with_its_launches(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    models.linear(home / "models" / "wrong", error=1.0)
    said = ask(home, *QUICK)
    monkeypatch.chdir(home)
    assert SHOW([]) == 0
    shown = capsys.readouterr().out
    assert "Models/EPs latency (ms)" in shown
    assert shown.splitlines()[-1] == said.out.splitlines()[-1]
    wrong = said.records["wrong::CPUExecutionProvider"]
    path = said.run.cell(wrong.cell) / "record.json"
    assert SHOW(["latest", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "wrong::CPUExecutionProvider  Mismatched" in shown
    assert "--rerun wrong::CPUExecutionProvider" in shown
    launches = [line.split()[:2] for line in shown.splitlines() if line.startswith("    check")]
    assert launches[-1] == ["check_again", "Mismatched(test_data_set_0/y)"]  # as chance was tried
    assert SHOW(["latest", "no::such"]) == 2


def test_prune_is_dry_takes_what_can_be_made_again_and_keeps_what_is_named_new_or_unfinished(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(5):
        fill(results / f"run000{i}")
    run_names.save_baseline(RunFolder(results, "run0000"), "good")
    (results / "run0001" / "cells" / "m" / "t" / "d" / "record.json").unlink()
    before = snapshot(results)
    assert PRUNE(["--keep", "2"]) == 0
    assert "0.3 MiB in 1 run would go; --yes removes it" in capsys.readouterr().out
    assert snapshot(results) == before
    assert PRUNE(["--keep", "2", "--yes"]) == 0
    gone = before.keys() - snapshot(results).keys()
    assert {g.split("/")[1] for g in gone if g.startswith("run0002/")} == {
        "cache",
        "inputs",
        "references",
    }
    assert [g for g in gone if not g.startswith("run0002/")] == ["benchmark_status_run0002.csv"]
    assert (results / "run0002" / "benchmark_status_run0002.csv").is_file()  # it moved


def test_whole_runs_go_with_their_tables_but_not_one_that_is_going(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(5):
        fill(results / f"run000{i}")
    with own_run(RunFolder(results, "run0002"), fresh=False):
        (results / "latest").unlink()
        assert PRUNE(["--keep", "1", "--whole", "--yes"]) == 0
    assert "run0002: the run" in capsys.readouterr().out
    left = {p.name for p in results.iterdir()}
    assert left == {
        "run0002", "run0004", "benchmark_status_run0002.csv", "benchmark_status_run0004.csv",
    }  # fmt: skip
    assert PRUNE(["--older", "30"]) == 2
    assert PRUNE(["--keep", "0"]) == 2
