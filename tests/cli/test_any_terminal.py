"""The same results whatever terminal a run is started from: ASCII, none, or none of Python's usual modes."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
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


@pytest.mark.parametrize(("number", "times"), [(signal.SIGTERM, 1), (signal.SIGINT, 2)])
@pytest.mark.parametrize("streams", [("stdout",), ("stdout", "stderr")])
def test_a_reader_that_reads_nothing_keeps_no_run_from_ending(
    home: Path, streams: tuple[str, ...], number: signal.Signals, times: int
) -> None:
    deaf, full = full_pipe()
    out, err = (full if x in streams else subprocess.DEVNULL for x in ("stdout", "stderr"))
    wrapper = str(ROOT / "benchmark_wrapper.py")
    words = [sys.executable, wrapper, "-m", "models", "-e", "cpu", *QUICK]
    with subprocess.Popen(
        words, cwd=home, stdin=subprocess.DEVNULL, start_new_session=True, stdout=out, stderr=err,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as run:  # fmt: skip
        try:
            wait_until_it_writes(run.pid)
            for _ in range(times):
                run.send_signal(number)
                time.sleep(0.3)
            assert run.wait(timeout=30) in (
                0,
                128 + number,
            )  # all but its last words was done, or not
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)
            os.close(deaf)
            os.close(full)


def full_pipe() -> tuple[int, int]:
    """A pipe's two ends, with no room left in it."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write_end, b"x" * select.PIPE_BUF)
    os.set_blocking(write_end, True)
    return read_end, write_end


def wait_until_it_writes(guardian: int) -> None:
    """Until the process that a guardian guards waits in a write to a pipe."""
    for _ in range(600):
        children = Path(f"/proc/{guardian}/task/{guardian}/children").read_text("ascii").split()
        if any("pipe_write" in Path(f"/proc/{c}/wchan").read_text("ascii") for c in children):
            return
        time.sleep(0.1)
    raise AssertionError("it never wrote")
