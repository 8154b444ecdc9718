"""setup_onnx_zoo run in this process, and the archives it is given."""

import contextlib
import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from perf.conversion.errors import run_command
from perf.request import model_list as model_lists
from setup_models import setup_onnx_zoo


def packed(folder: Path, suffix: str = ".tar.gz") -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:xz" if suffix == ".tar.xz" else "w:gz") as tar:
        tar.add(folder, folder.name)
    return body.getvalue()


def run(
    folder: Path, *arguments: str | Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The command in this process, in `folder`, with a cache of its own."""
    out, err = io.StringIO(), io.StringIO()
    words = list(map(str, arguments))
    known = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")} | environment
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in known.items():
            patch.setenv(name, value)
        status = run_command(setup_onnx_zoo.main, words)
    return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())


def names(folder: Path) -> list[str]:
    return sorted(
        model.name for model in model_lists.load_models(folder / "models" / "model_list.json")
    )


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr
