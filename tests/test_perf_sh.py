"""perf.sh sets itself up, or says in one line why it cannot and what to do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What setting up needs of a fresh clone."""
    shutil.copy(ROOT / "perf.sh", tmp_path)
    shutil.copytree(ROOT / "locks", tmp_path / "locks")
    return tmp_path


def set_up(checkout: Path, python: str, find_links: str = "") -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
    env |= {"PYTHON": python, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": find_links}
    return subprocess.run(
        [checkout / "perf.sh", "--setup"], env=env, capture_output=True, text=True, check=False
    )


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.strip().splitlines()[-1]


def test_packages_that_cannot_be_had_are_status_3_every_time(checkout: Path) -> None:
    nothing = checkout / "nothing"
    nothing.mkdir()
    for _ in range(2):  # a failed attempt is not taken for a finished one
        done = set_up(checkout, sys.executable, str(nothing))
        assert done.returncode == 3, done.stderr
        assert last_line(done).startswith("error: pip could not install into .venv; ")
        assert "PIP_FIND_LINKS" in last_line(done)


def test_a_python_without_venv_is_named_and_its_half_made_venv_is_made_anew(
    checkout: Path,
) -> None:
    bare = checkout / "python3-without-ensurepip"
    bare.write_text(
        f'#!/bin/sh\n[ "$2" = venv ] || exec {sys.executable} "$@"\n'
        f'shift 2; {sys.executable} -m venv --without-pip "$@"; echo no ensurepip; exit 1\n'
    )
    bare.chmod(0o755)
    done = set_up(checkout, str(bare))
    assert (done.returncode, "python3-venv" in last_line(done)) == (3, True), done.stderr
    done = set_up(checkout, sys.executable)
    assert "pip could not install" in last_line(done)  # it got as far as that


def test_a_python_that_is_not_there_is_status_2(checkout: Path) -> None:
    done = set_up(checkout, "/nonexistent/python3")
    assert done.returncode == 2
    assert "install Python 3.11" in last_line(done)
