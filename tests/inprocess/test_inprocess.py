"""What ends benchmark.py's one process early, and what is left then."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from perf.schema import journal
from perf.schema.journal import Began, Stage
from perf.schema.record import Passed
from tests.alone import CELLS, faking, run
from tests.asking import ROOT, Said, one_line


def test_a_crash_keeps_the_cells_that_had_finished(home: Path) -> None:
    said = run(
        faking(home), "-r", "both", *CELLS, "fake", "--no_check",
        "-k", "linear and CPU or relu and Fake",
        "--ep_options", "fake:how=segfault,where=run",
    )  # fmt: skip
    assert said.status == -signal.SIGSEGV
    assert "engine.py" in said.err  # Python's stack, where it crashed
    (record,) = said.records.values()
    assert record.cell.model.name == "linear"
    assert isinstance(record.outcome, Passed)


def test_an_interrupt_ends_the_run_with_its_tables(home: Path) -> None:
    words = ("-m", "models", "-r", "both", *CELLS, "fake", "--no_check")
    only = ("-k", "linear and CPU or relu and Fake", "--run_id", "stopped")
    how = ("--ep_options", "fake:how=hang,where=run")
    with subprocess.Popen(
        [sys.executable, str(ROOT / "benchmark.py"), *words, *only, *how], cwd=faking(home),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        deadline = time.monotonic() + 60
        while not _is_running(home / "result" / "stopped"):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    said = Said(130, out, "", home / "result")
    outcomes = {k: row["exact_outcome"] for k, row in said.cells.items()}
    assert outcomes == {
        "linear::CPUExecutionProvider": "Passed",
        "relu::FakeExecutionProvider[how=hang,where=run]": "NotRun",
    }


def _is_running(run_root: Path) -> bool:
    found = list(run_root.glob("cells/relu/*/*/check/journal.jsonl"))
    return bool(found) and Stage.RUN in {
        e.stage for e in journal.read_journal(found[0]) if isinstance(e, Began)
    }


def test_what_the_engine_raises_fails_its_cell_alone(home: Path) -> None:
    said = run(
        faking(home), "-r", "validate", *CELLS, "fake", "--no_check", "--models", "relu",
        "--ep_options", "fake:how=raise",
    )  # fmt: skip
    assert said.status == 0, said
    outcomes = {k: row["exact_outcome"] for k, row in said.cells.items()}
    assert outcomes["relu::CPUExecutionProvider"] == "Passed"
    assert outcomes["relu::FakeExecutionProvider[how=raise]"] == "Raised(create, RuntimeError)"
    assert "the engine" in said.err  # its traceback, on the terminal


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4500, 4500))
from perf.cli.benchmark import main
raise SystemExit(main(sys.argv[1:]))
"""


def test_a_full_disk_ends_the_run_with_one_line(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, "-m", "models", *CELLS], cwd=home, capture_output=True,
        text=True, timeout=60, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2
    line = one_line(Said(2, done.stdout, done.stderr, home / "result"))
    assert "File too large" in line
    assert "run it again" in line  # --resume is the wrapper's
