"""A failing cell's command can be pasted where the run was: with the Python that ran it."""

import os
import sys
from pathlib import Path

import pytest

from perf.report import screen
from perf.request.locations import CODE
from tests.results import hand_made as made

COMMAND = ("benchmark_wrapper.py", "-t", "7", "--rerun", "failed")
RECORD = made.two_models()[6]


def test_the_python_is_named_as_it_can_be_typed_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / ".venv" / "bin" / "python"
    there.parent.mkdir(parents=True)
    there.touch(0o755)
    monkeypatch.setattr(sys, "executable", str(there))
    monkeypatch.setenv("PATH", os.defpath)
    given = f"--test_times 7 -e {RECORD.cell.target.label} --rerun {RECORD.cell.id}"
    rest = f" {CODE / 'benchmark_wrapper.py'} {given}"
    monkeypatch.chdir(tmp_path.parent)
    assert f"{tmp_path.name}/.venv/bin/python{rest}" in screen.format_rerun_command(
        RECORD, COMMAND
    )
    monkeypatch.chdir(CODE)
    monkeypatch.setenv("PATH", f"{there.parent}:{os.defpath}")
    rest = f" benchmark_wrapper.py {given}"
    assert screen.format_rerun_command(RECORD, COMMAND).endswith(f"python{rest}")
    assert str(there) not in screen.format_rerun_command(RECORD, COMMAND)
