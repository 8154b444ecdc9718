"""Programs whose reader leaves early, as in `--list | true`, or whose output goes to a full disk."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.asking import ROOT, complaints

WRAPPER = str(ROOT / "benchmark_wrapper.py")
COMPARE = str(ROOT / "comparison/comparison_script.py")
STORED = ROOT / "tests/stored_runs/cb0f346/result"
LIST = (WRAPPER, "--list")
PROGRAMS = (
    LIST,
    (WRAPPER, "--dry_run", "-m", "models"),
    (WRAPPER, "--help"),
    (str(ROOT / "benchmark.py"), "--list"),
    ("-m", "setup_models.check", "models"),
    (COMPARE, "-p", str(STORED / "outcomes"), "-c", str(STORED / "again")),
    (COMPARE, "--help"),
)
UNBUFFERED = ("", "1")


def run(home: Path, words: tuple[str, ...], out: int, unbuffered: str) -> tuple[int, str]:
    """The exit status of a program that prints into `out`, and its words on stderr."""
    done = subprocess.run(
        [sys.executable, *words], cwd=home, stdout=out, stderr=subprocess.PIPE, text=True,
        timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": unbuffered},
    )  # fmt: skip
    return done.returncode, complaints(done.stderr)


@pytest.fixture
def closed_pipe() -> Iterator[int]:
    """The writing end of a pipe that nobody reads."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    yield write_end
    os.close(write_end)


@pytest.mark.parametrize("unbuffered", UNBUFFERED)
@pytest.mark.parametrize("words", PROGRAMS, ids=lambda words: "_".join(words)[-20:])
def test_the_exit_status_is_the_one_that_a_patient_reader_gets(
    home: Path, closed_pipe: int, words: tuple[str, ...], unbuffered: str
) -> None:
    assert run(home, words, closed_pipe, unbuffered) == run(
        home, words, subprocess.DEVNULL, unbuffered
    )


def test_who_reads_the_list_may_stop_early(home: Path, closed_pipe: int) -> None:
    assert run(home, LIST, closed_pipe, "") == (0, "")


@pytest.mark.parametrize("unbuffered", UNBUFFERED)
@pytest.mark.parametrize("words", PROGRAMS, ids=lambda words: "_".join(words)[-20:])
def test_output_to_a_full_disk_is_one_line(
    home: Path, words: tuple[str, ...], unbuffered: str
) -> None:
    with Path("/dev/full").open("w") as full:
        status, said = run(home, words, full.fileno(), unbuffered)
    assert status == 2, said
    assert said.endswith("No space left on device\n")
    assert said.count("\n") == 1
