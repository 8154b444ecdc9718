"""A stored cell run again by hand: the same verdict, beside what was stored, or one line on why not."""

import json
from pathlib import Path

import pytest

from tests import models
from tests.alone import CELLS, command, run
from tests.asking import Said, one_line


@pytest.fixture(scope="module")
def both(shared_home: Path) -> Said:
    """A right cell and a wrong one."""
    models.linear(shared_home / "models" / "wrong", error=0.5)
    return run(shared_home, "-r", "both", *CELLS, "--models", "wrong", "relu")


def stored(said: Said, cell: str) -> Path:
    return said.run.cell(said.records[cell].cell) / "cell.json"


def test_a_stored_cell_is_run_again_by_hand(both: Said, tmp_path: Path) -> None:
    path = stored(both, "wrong::CPUExecutionProvider")
    kept = path.parent / "check" / "journal.jsonl"
    before = kept.read_bytes()
    said = command(tmp_path, str(path))
    assert said.status == 1
    assert "wrong::CPUExecutionProvider  Mismatched" in said.out
    path = stored(both, "relu::CPUExecutionProvider")
    said = command(tmp_path, str(path), "measure")
    assert said.status == 0, said
    assert "1 x 5 runs" in said.out
    assert (path.parent / "again_measure" / "journal.jsonl").is_file()
    assert kept.read_bytes() == before
    assert not list(tmp_path.iterdir())


def test_a_cell_of_another_interpreter_says_how_to_start_it(both: Said, tmp_path: Path) -> None:
    told = json.loads(stored(both, "relu::CPUExecutionProvider").read_text(encoding="utf-8"))
    told["environment"] |= {"python": "/opt/other/python", "variables": {"LD_LIBRARY_PATH": "/x"}}
    path = tmp_path / "cell.json"
    path.write_text(json.dumps(told), encoding="utf-8")
    said = command(tmp_path, str(path))
    assert said.status == 0, said
    assert f"LD_LIBRARY_PATH=/x /opt/other/python benchmark.py {path}" in said.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nowhere.json",), "No such file"),
        (("environments.toml",), "not a cell"),
        (("cell.json", "prepare"), "check, measure, reference"),
    ],
)
def test_what_is_no_cell_costs_one_line(home: Path, words: tuple[str, ...], says: str) -> None:
    said = command(home, *words)
    assert said.status == 2
    assert says in one_line(said)
