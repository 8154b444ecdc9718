"""The crash zoo: real children that misbehave, and the one outcome each must come to."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from perf.machine import process_tree
from perf.request.flag_types import Timeouts
from perf.schema import fold, journal
from perf.schema.fold import Expectation
from perf.schema.journal import Stage
from perf.schema.record import (
    Crashed,
    Ending,
    FellBack,
    LaunchKind,
    Outcome,
    OutOfMemory,
    Passed,
    Raised,
    Skipped,
    TimedOut,
)
from perf.wrapper.spawn import WorkerSpec
from perf.wrapper.supervisor import Supervisor
from tests.fakes.cells import HERE, PRELOAD, fake_cell, written

MINUTE = Timeouts(60.0)
EXPECTED = Expectation(provider="FakeExecutionProvider")


@pytest.fixture(scope="module", params=["host", "spawn"])
def isolation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def supervisor() -> Iterator[Supervisor]:
    with Supervisor() as s:
        yield s


def launch(
    s: Supervisor,
    folder: Path,
    isolation: str,
    how: str,
    where: str = "create",
    kind: LaunchKind = LaunchKind.CHECK,
    limits: Timeouts = MINUTE,
    memory_limit_mib: float = 0.0,
) -> tuple[Outcome, Ending]:
    job = written(fake_cell(folder / "data", how, where), folder)
    request = WorkerSpec(
        kind, job, folder / "launch", HERE, PRELOAD, limits, memory_limit_mib, isolation
    )  # fmt: skip
    ending = s.run(request)
    return fold.fold(
        journal.read_journal(folder / "launch" / "journal.jsonl"), ending, EXPECTED
    ), ending


ZOO: list[tuple[str, str, Outcome]] = [
    ("segfault", "create", Crashed(Stage.CREATE, "SIGSEGV")),
    ("segfault", "run", Crashed(Stage.RUN, "SIGSEGV")),
    ("segfault", "place", Crashed(Stage.PLACE, "SIGSEGV")),
    ("segfault", "time", Crashed(Stage.TIME, "SIGSEGV")),
    ("segfault", "close", Crashed(Stage.CLOSE, "SIGSEGV")),
    ("abort", "create", Crashed(Stage.CREATE, "SIGABRT")),
    ("sigkill", "run", Crashed(Stage.RUN, "SIGKILL")),
    ("stack_overflow", "run", Crashed(Stage.RUN, "SIGSEGV")),
    ("torn_journal", "run", Crashed(Stage.RUN, "SIGKILL")),
    ("decline", "create", Skipped("not today")),
    ("raise", "create", Raised(Stage.CREATE, "RuntimeError", "the engine refuses")),
    ("raise", "close", Raised(Stage.CLOSE, "RuntimeError", "the engine refuses")),
    ("device_oom", "run", OutOfMemory("device: CUDA out of memory", Stage.RUN)),
    ("memory_error", "create", OutOfMemory("host: no more", Stage.CREATE)),
    ("", "create", Passed()),
]


@pytest.mark.parametrize(("how", "where", "expected"), ZOO)
def test_each_way_to_die_has_its_outcome(
    supervisor: Supervisor, tmp_path: Path, isolation: str, how: str, where: str, expected: Outcome
) -> None:
    kind = LaunchKind.MEASURE if where == "time" else LaunchKind.CHECK
    outcome, _ = launch(supervisor, tmp_path, isolation, how, where, kind)
    assert outcome == expected
    log = (tmp_path / "launch" / "output.log").read_text(errors="replace")
    if how in ("segfault", "abort"):
        assert "engine.py" in log  # the Python stack of the crash is there for people


@pytest.mark.parametrize("where", ["create", "run", "place"])
def test_exit_0_without_an_account_is_no_pass(
    supervisor: Supervisor, tmp_path: Path, isolation: str, where: str
) -> None:
    outcome, ending = launch(supervisor, tmp_path, isolation, "exit0", where)
    assert ending.status == 0
    assert isinstance(outcome, Raised)
    assert (outcome.stage.value, outcome.kind) == (where, "NoAccount")


def test_an_exit_status_without_an_exception_is_told(
    supervisor: Supervisor, tmp_path: Path, isolation: str
) -> None:
    outcome, _ = launch(supervisor, tmp_path, isolation, "exit3", "run")
    assert isinstance(outcome, Raised)
    assert "exit status 3" in outcome.message


def test_garbage_in_the_journal_ends_the_story(
    supervisor: Supervisor, tmp_path: Path, isolation: str
) -> None:
    outcome, _ = launch(supervisor, tmp_path, isolation, "garbage_journal", "run")
    assert isinstance(outcome, Raised)
    assert outcome.kind == "NoAccount"


@pytest.mark.parametrize(
    "how", ["hang", "ignore_sigterm", "hang_with_gil", "hang_with_grandchildren"]
)
def test_a_hang_ends_at_its_deadline_with_its_stacks_and_no_survivor(
    supervisor: Supervisor, tmp_path: Path, isolation: str, how: str
) -> None:
    limits = Timeouts(60.0, {"run": 1.0})  # of the launch as a whole, a busy machine may take all
    outcome, ending = launch(supervisor, tmp_path, isolation, how, "run", limits=limits)
    assert outcome == TimedOut(Stage.RUN, 1.0)
    assert ending.signal == signal.SIGKILL
    if how != "ignore_sigterm":
        log = (tmp_path / "launch" / "output.log").read_text(errors="replace")
        assert "engine.py" in log  # faulthandler's dump at SIGTERM, even with the GIL held
    if how == "hang_with_grandchildren":
        _assert_gone(int((tmp_path / "launch" / "escaped").read_text()))


def test_a_grandchild_left_behind_does_not_outlive_its_launch(
    supervisor: Supervisor, tmp_path: Path, isolation: str
) -> None:
    outcome, _ = launch(supervisor, tmp_path, isolation, "leave_grandchild", "run")
    assert outcome == Passed()
    _assert_gone(int((tmp_path / "launch" / "escaped").read_text()))


@pytest.mark.alone
def test_a_memory_hog_is_stopped_at_its_limit(
    supervisor: Supervisor, tmp_path: Path, isolation: str
) -> None:
    outcome, ending = launch(supervisor, tmp_path, isolation, "hog", "run", memory_limit_mib=400)
    assert outcome == OutOfMemory("host: --memory_limit 400 MiB", Stage.RUN)
    assert ending.peak_rss_mib is not None
    assert 400 < ending.peak_rss_mib < 1200


def test_a_flood_of_output_neither_stops_the_worker_nor_fills_the_disk(
    supervisor: Supervisor, tmp_path: Path, isolation: str
) -> None:
    outcome, _ = launch(supervisor, tmp_path, isolation, "flood", "run")
    assert outcome == Passed()
    log = (tmp_path / "launch" / "output.log").read_bytes()
    assert len(log) <= 64 << 20
    assert log.endswith(b"the end of the flood\n")


def test_a_stage_has_a_deadline_of_its_own(supervisor: Supervisor, tmp_path: Path) -> None:
    job = written(fake_cell(tmp_path / "data", "hang", "run"), tmp_path)
    limits = Timeouts(60.0, {"build": 50.0, "run": 1.0})
    ending = supervisor.run(
        WorkerSpec(LaunchKind.CHECK, job, tmp_path / "launch", HERE, PRELOAD, limits)
    )
    events = journal.read_journal(tmp_path / "launch" / "journal.jsonl")
    assert fold.fold(events, ending, EXPECTED) == TimedOut(Stage.RUN, 1.0)


def test_a_crash_in_close_keeps_its_samples(
    supervisor: Supervisor, tmp_path: Path, isolation: str
) -> None:
    outcome, ending = launch(
        supervisor, tmp_path, isolation, "segfault", "close", LaunchKind.MEASURE
    )
    assert outcome == Crashed(Stage.CLOSE, "SIGSEGV")
    events = journal.read_journal(tmp_path / "launch" / "journal.jsonl")
    told = fold.fold_launch("measure_0", LaunchKind.MEASURE, events, ending, EXPECTED)
    assert told.timed is not None
    assert len(told.timed.samples_ns) == 20


def test_no_node_on_the_provider_is_a_fallback(supervisor: Supervisor, tmp_path: Path) -> None:
    job = written(fake_cell(tmp_path / "data", mine="0"), tmp_path)
    ending = supervisor.run(WorkerSpec(LaunchKind.CHECK, job, tmp_path / "launch", HERE, PRELOAD))
    events = journal.read_journal(tmp_path / "launch" / "journal.jsonl")
    assert isinstance(fold.fold(events, ending, EXPECTED), FellBack)


def _assert_gone(pid: int) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if not Path(f"/proc/{pid}").exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} survives: {process_tree.process_tree(pid)}")
