"""Fixtures for the scripts: recorded programs first on PATH, and a way to run a script among them."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.docker.recorded import HOME, Programs, Run


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    folder = tmp_path / "programs"
    folder.mkdir()
    return Programs(folder, tmp_path / "calls.jsonl")


@pytest.fixture
def script(programs: Programs) -> Run:
    """Run one of our scripts with the recorded programs first on PATH."""

    def run(
        path: Path, *arguments: str, path_only: Sequence[Path] = (), env: Mapping[str, str] = {}
    ) -> subprocess.CompletedProcess[str]:
        rest = os.pathsep.join(map(str, path_only)) or os.environ["PATH"]
        whole = {k: v for k, v in os.environ.items() if k != "CONTAINER_ENGINE"}
        whole |= {"PATH": f"{programs.folder}{os.pathsep}{rest}", **env}
        return subprocess.run(
            [str(path), *arguments],
            env=whole,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )

    return run


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of the harness whose path holds a space, with the real scripts in it."""
    copy = tmp_path / "my checkout"
    shutil.copytree(HOME / "docker", copy / "docker", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "benchmark_wrapper.py").touch()  # what marks a checkout; nothing here runs it
    return copy
