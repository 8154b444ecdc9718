"""The same results whatever terminal a run is started from: ASCII, none, or none of Python's usual modes."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from perf.schema.record import Passed
from tests import models
from tests.asking import CURRENT, QUICK, ROOT, Said

ASCII = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "an ASCII locale": ASCII,
    "an ASCII terminal": {"PYTHONIOENCODING": "ascii"},
    "a safe path, no buffer, no bytecode": {
        "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1",
    },
}  # fmt: skip
CLOSED = {"stdout": (1,), "stderr": (2,), "all three": (0, 1, 2)}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder and a model whose names are no ASCII."""
    folder = tmp_path / "ümlaut"
    models.relu(folder / "models" / "größe")
    (folder / "environments.toml").write_text(CURRENT, encoding="utf-8")
    return folder


def run(home: Path, env: Mapping[str, str], closed: tuple[int, ...] = ()) -> Said:
    program = [sys.executable, str(ROOT / "benchmark_wrapper.py"), "-m", "models", "-e", "cpu"]
    shut = [
        "sh",
        "-c",
        'exec "$@" ' + " ".join(f"{'<' if n == 0 else f'{n}>'}&-" for n in closed),
        "sh",
    ]
    done = subprocess.run(
        [*(shut if closed else ()), *program, *QUICK], cwd=home, capture_output=True,
        env={"PATH": os.environ["PATH"], "EP_PERF_LEASES": os.environ["EP_PERF_LEASES"], "HOME": str(home), **env},
        timeout=100, check=False,
        stdin=subprocess.DEVNULL, text=True, encoding="utf-8",
    )  # fmt: skip
    return Said(done.returncode, done.stdout, done.stderr, home / "result")


def check_passed(said: Said) -> None:
    (record,) = said.records.values()
    assert (said.status, record.cell.model.name) == (0, "größe"), said
    assert isinstance(record.outcome, Passed)
    assert "Traceback" not in said.out + said.err
    (row,) = said.table("latency")
    assert row["Model"] == "größe"


@pytest.mark.parametrize("env", SETTINGS.values(), ids=SETTINGS)
def test_a_run_gives_the_same_results_under_other_settings_of_python(
    home: Path, env: Mapping[str, str]
) -> None:
    check_passed(run(home, env))


@pytest.mark.parametrize("closed", CLOSED.values(), ids=CLOSED)
def test_a_run_that_is_started_with_streams_closed_gives_its_results(
    home: Path, closed: tuple[int, ...]
) -> None:
    check_passed(run(home, {}, closed))
