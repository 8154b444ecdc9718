"""Trends, steps and first bad runs of histories: which run it was, what differed, and machines kept apart."""

import json
import random
from pathlib import Path

import pytest

from perf.cli import results_first_bad, results_trend
from tests.history.made_history import write_history

CELL = "squeezenet::CPUExecutionProvider"


def noisy(n: int, ms: float, seed: int = 0) -> list[float]:
    chance = random.Random(seed)
    return [ms * (1 + chance.gauss(0, 0.01)) for _ in range(n)]


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "result"


def test_a_step_names_its_run_and_what_differed(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_history(results, noisy(20, 5.0), kernel="6.1.0")
    write_history(results, noisy(20, 5.5, 1), first=20, kernel="6.12.0")
    assert results_trend.main([CELL]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith(f"{CELL}  ▂▁▂▂▁")
    assert lines[1].endswith("40 runs")
    assert len(lines) == 3
    assert lines[2].endswith("in run0020 (before: run0019): kernel 6.1.0 -> 6.12.0")
    assert abs(float(lines[2].split()[0]) - 10) < 1
    assert results_first_bad.main([CELL]) == 1
    assert "run0020" in capsys.readouterr().out


def test_what_got_faster_or_came_back_is_not_bad(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_history(results, noisy(15, 5.0) + noisy(15, 6.0, 1) + noisy(15, 4.0, 2))
    assert results_trend.main(["--json", "--steps"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["trends"]
    assert [s["run_id"] for s in told["steps"]] == ["run0015", "run0030"]
    assert [s["bad"] for s in told["steps"]] == [True, False]
    assert results_first_bad.main([]) == 0
    assert capsys.readouterr().out == "no cell got worse\n"


def test_machines_are_never_put_together(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_history(results, noisy(20, 5.0))
    write_history(results, noisy(20, 9.0), first=20, machine="another")
    assert results_trend.main([]) == 0
    out = capsys.readouterr().out
    assert out.count(CELL) == 2
    assert " % in " not in out
    assert "(2 machines: figures of two are never put together)" in out


def test_a_cell_that_fails_since_a_run_is_told_by_its_outcome(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_history(results, noisy(6, 5.0))
    for i in (4, 5):
        table = results / f"run000{i}" / "cells.jsonl"
        row = json.loads(table.read_text())
        row |= {"status": "Fail", "outcome": "Crashed", "p50_ms": None}
        table.write_text(json.dumps(row) + "\n")
    assert results_first_bad.main([CELL]) == 1
    assert "Passed -> Crashed in run0004 (before: run0003)" in capsys.readouterr().out
    assert results_first_bad.main(["no::such"]) == 2
