"""Commands typed with a Python that lacks what a run needs go on in the clone's own."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.asking import ROOT


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("perf_run.py", "--config=gone.yml"), "error: gone.yml: No such file or directory"),
        (("-m", "scripts.benchmark_gpu", "compile_run_path=gone"), "gone: no export.json there"),
    ],
)
def test_a_python_without_packages_hands_over_to_the_clones(
    words: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    python = tmp_path / "bare" / "bin" / "python"
    bare = [str(python), "-c", "import sys; sys.path.insert(0, '.'); import yaml"]
    assert subprocess.run(bare, cwd=ROOT, capture_output=True, check=False).returncode
    done = subprocess.run(
        [str(python), *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert says in done.stderr
    assert "./perf.sh" not in done.stderr
    assert sys.prefix not in done.stderr
