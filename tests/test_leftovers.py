"""A test that leaves a process or a file is found, and named."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.asking import ROOT
from tests.leftovers import FolderWatch

LEAVERS = """
import os, subprocess, tempfile
from tests import leftovers

leftovers.GRACE_S = 0.5
kept = []

def test_leaves_nothing():
    subprocess.run(["true"])

def test_leaves_a_file():
    os.close(tempfile.mkstemp(prefix="left")[0])

def test_leaves_a_process():
    kept.append(subprocess.Popen(["sleep", "100"]))

def test_leaves_an_orphan():
    subprocess.run(["sh", "-c", "setsid sleep 200 &"])
"""


def run_pytest(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", *words],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_each_is_named(tmp_path: Path) -> None:
    (tmp_path / "test_leavers.py").write_text(LEAVERS)
    folders = ("--rootdir", str(tmp_path), "--basetemp", str(tmp_path / "pytest"))
    done = run_pytest("-p", "tests.conftest", *folders, str(tmp_path / "test_leavers.py"))
    assert done.returncode == 1, done.stdout
    assert "4 passed, 2 errors" in done.stdout
    assert "ERROR at teardown of test_leaves_a_file _" in done.stdout
    assert f"left behind: {tmp_path}/pytest/system0/left" in done.stdout
    assert "sleep 100 started by test_leavers.py::test_leaves_a_process (call)" in done.stdout
    assert "sleep 200 started by test_leavers.py::test_leaves_an_orphan (call)" in done.stdout


def test_what_lies_in_a_watched_folder_already_is_not_new(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "old").touch()
    watch = FolderWatch(tmp_path)
    assert watch.new_names() == []
    (tmp_path / "inner" / "__pycache__").mkdir()
    (tmp_path / "inner" / "new").touch()
    assert watch.new_names() == [str(tmp_path / "inner" / "new")]
    assert watch.new_names() == []


def test_tests_that_must_be_alone_are_not_run_beside_others() -> None:
    pytest.importorskip("xdist")
    done = run_pytest("-n", "2", "tests/measure")
    assert done.returncode == 4
    assert "-n 2: some tests must run alone; add -m 'not alone'" in done.stderr
