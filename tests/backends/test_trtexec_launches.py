"""Launches of a fake trtexec, a program we do not own, that computes, fails, crashes or will not die."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from perf.request.flag_types import Timeouts
from perf.schema import cell as cells
from perf.schema import fold, journal
from perf.schema.cell import Cell, Environment
from perf.schema.fold import Expectation
from perf.schema.journal import Created, Stage, Timed
from perf.schema.record import Crashed, LaunchKind, Outcome, OutOfMemory, Passed, Raised, TimedOut
from perf.wrapper.spawn import WorkerSpec
from perf.wrapper.supervisor import Supervisor
from tests.asking import ROOT
from tests.fakes.trt_cells import cell

HERE = Environment("tests", sys.executable)
LONE = """
import sys
from pathlib import Path
from perf.backends import trtexec
trtexec.run_program([sys.argv[1], "--loadEngine=none"], Path(sys.argv[2]))
"""


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    with Supervisor() as s:
        yield s


def launched(
    s: Supervisor, c: Cell, folder: Path, kind: LaunchKind, **stages_s: float
) -> tuple[Outcome, tuple[journal.Event, ...]]:
    """One launch of a real worker under the real supervisor."""
    job = folder / "cell.json"
    cells.write_cell(c, job)
    request = WorkerSpec(
        kind, job, folder / "launch", HERE, (), Timeouts(60.0, stages_s), 0.0, "spawn"
    )
    ending = s.run(request)
    events = journal.read_journal(folder / "launch" / "journal.jsonl")
    return fold.fold(events, ending, Expectation(precision="fp32")), events


def test_a_check_and_a_measure_launch_pass(tmp_path: Path, supervisor: Supervisor) -> None:
    c = cell(tmp_path, profile=False)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    outcome, events = launched(supervisor, c, tmp_path / "a", LaunchKind.CHECK)
    assert outcome == Passed()
    assert next(e for e in events if isinstance(e, Created)).cached is False
    outcome, events = launched(supervisor, c, tmp_path / "b", LaunchKind.MEASURE)
    assert outcome == Passed()
    assert len(next(e for e in events if isinstance(e, Timed)).samples_ns) == 20
    assert "Starting inference" in (tmp_path / "b/launch/output.log").read_text()


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("segfault", Crashed(Stage.CREATE, "SIGSEGV")),
        ("failed_memory", OutOfMemory),
        ("failed_parse", Raised),
    ],
)
def test_every_way_of_dying_comes_to_one_outcome(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    supervisor: Supervisor,
    how: str,
    expected: object,
) -> None:
    monkeypatch.setenv("FAKE_TRTEXEC", how)
    outcome, _ = launched(supervisor, cell(tmp_path), tmp_path, LaunchKind.CHECK)
    assert outcome == expected if not isinstance(expected, type) else isinstance(outcome, expected)


def test_one_that_hangs_and_ignores_sigterm_dies_with_its_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, supervisor: Supervisor
) -> None:
    monkeypatch.setenv("FAKE_TRTEXEC", "ignore_term")
    outcome, _ = launched(supervisor, cell(tmp_path), tmp_path, LaunchKind.CHECK, build=2.0)
    assert outcome == TimedOut(Stage.CREATE, 2.0)
    pid = int((tmp_path / "launch" / "fake_pid").read_text())
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("hang_timed", TimedOut(Stage.TIME, 2.0)),
        ("segfault_timed", Crashed(Stage.TIME, "SIGSEGV")),
    ],
)
def test_in_the_timed_stage_too(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    supervisor: Supervisor,
    how: str,
    expected: Outcome,
) -> None:
    """The engine was built and has answered; then it hangs, or crashes, while it is timed."""
    monkeypatch.setenv("FAKE_TRTEXEC", how)
    c = cell(tmp_path, profile=False)
    outcome, events = launched(supervisor, c, tmp_path, LaunchKind.MEASURE, run=2.0)
    assert outcome == expected
    assert not any(isinstance(e, Timed) for e in events)


def test_it_dies_with_a_worker_that_is_killed_where_no_wrapper_is_left_to_kill_its_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TRTEXEC", "ignore_term")
    words = [sys.executable, "-c", LONE, cell(tmp_path).trtexec, str(tmp_path)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL) as worker:
        told = tmp_path / "fake_pid"
        assert soon(lambda: told.exists() and told.read_text() != "")
        program = Path(f"/proc/{told.read_text()}")
        assert program.exists()
        worker.kill()
    assert soon(lambda: not program.exists() or "State:\tZ" in (program / "status").read_text())


def soon(holds: Callable[[], bool]) -> bool:
    """Whether it comes to hold within 20 s."""
    end_s = time.monotonic() + 20
    while not holds() and time.monotonic() < end_s:
        time.sleep(0.05)
    return holds()
