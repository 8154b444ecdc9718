"""A worker that waits goes through a launch without an engine: whole, and with nothing changed by it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from perf.schema import cell as cells
from perf.worker import rehearsal
from tests.asking import ROOT, ask


def told(journal: Path) -> Iterator[str]:
    """What was told, in order, after the engine was loaded."""
    events = [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]
    begun = next(i for i, e in enumerate(events) if e["is"] == "Versions")
    return (f"{e['is']} {e.get('stage', '')} {e.get('output', '')}" for e in events[begun:])


def test_a_rehearsal_tells_all_that_a_measure_launch_tells(home: Path) -> None:
    """What it left out, a launch would do for the first time while it is timed by those who wait for it."""
    said = ask(
        home, "-r", "both", "-i", "zoo", "-t", "3", "--launches", "1", "--models", "relu", "-e", "cpu"
    )  # fmt: skip
    assert said.status == 0, said.err
    (launch,) = (home / "result" / "latest" / "cells").glob("*/*/*/measure_0")
    cell = cells.read_cell(launch.parent / "cell.json")
    assert cell.sets
    rehearsal.go_through(cell, home / "rehearsed.jsonl")
    assert list(told(home / "rehearsed.jsonl")) == list(told(launch / "journal.jsonl"))


def test_a_rehearsal_gives_up_no_right_to_write(tmp_path: Path) -> None:
    """The launch's own folder is known when it begins: until then nothing is fenced in."""
    code = (
        "import pathlib, sys; from perf.worker.rehearsal import rehearse\n"
        "rehearse(pathlib.Path('/nowhere')); pathlib.Path(sys.argv[1]).write_text('written')"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "after")], check=True, cwd=ROOT)
    assert (tmp_path / "after").read_text(encoding="utf-8") == "written"
