"""A supervisor alone: hosts replaced, signals, interpreters that are not there, the price of waiting."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from perf.execution.launcher import Interrupted
from perf.execution.signals import SignalWatch
from perf.request.flag_types import Timeouts
from perf.schema import fold, journal
from perf.schema.fold import Expectation
from perf.schema.record import LaunchKind, Outcome, Passed
from perf.wrapper.spawn import CannotStart, WorkerSpec
from perf.wrapper.supervisor import Supervisor
from tests.fakes.cells import HERE, PRELOAD, fake_cell, written

EXPECTED = Expectation(provider="FakeExecutionProvider")


def launch(
    s: Supervisor, folder: Path, isolation: str, how: str, where: str = "create"
) -> Outcome:
    job = written(fake_cell(folder / "data", how, where), folder)
    kind = LaunchKind.CHECK
    ending = s.run(
        WorkerSpec(kind, job, folder / "launch", HERE, PRELOAD, Timeouts(60.0), 0.0, isolation)
    )
    return fold.fold(journal.read_journal(folder / "launch" / "journal.jsonl"), ending, EXPECTED)


def test_a_killed_host_is_replaced(tmp_path: Path) -> None:
    with Supervisor() as s:
        assert launch(s, tmp_path / "a", "host", "") == Passed()
        (host,) = s._starter._hosts.values()
        os.kill(host.process.pid, signal.SIGKILL)
        assert launch(s, tmp_path / "b", "host", "") == Passed()


def test_a_host_killed_beside_its_worker_takes_no_worker_with_it(tmp_path: Path) -> None:
    with SignalWatch() as signals, Supervisor(signals) as s:
        job = written(fake_cell(tmp_path / "data", "hang", "run"), tmp_path)
        running = s.start(
            WorkerSpec(LaunchKind.CHECK, job, tmp_path / "launch", HERE, PRELOAD, Timeouts(2.0))
        )
        (host,) = s._starter._hosts.values()
        os.kill(host.process.pid, signal.SIGKILL)
        ended, ending = s.wait()
        assert ended is running
        assert ending.killed_for is not None  # it lived to its deadline


@pytest.mark.parametrize("isolation", ["host", "spawn"])
def test_what_c_printed_is_in_the_log_without_pythonunbuffered(
    tmp_path: Path, isolation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    with Supervisor() as s:
        assert launch(s, tmp_path, isolation, "c_stdio", "run") == Passed()
    assert "said by C" in (tmp_path / "launch" / "output.log").read_text()


def test_two_launches_at_once_end_each_in_its_own_way(tmp_path: Path) -> None:
    with Supervisor() as s:
        for name, how in (("a", "segfault"), ("b", "")):
            job = written(fake_cell(tmp_path / name / "data", how, "run"), tmp_path / name)
            s.start(WorkerSpec(LaunchKind.CHECK, job, tmp_path / name / "launch", HERE, PRELOAD))
        seen = {}
        for _ in range(2):
            running, ending = s.wait()
            seen[running.spec.folder.parent.name] = ending.signal
    assert seen == {"a": signal.SIGSEGV, "b": None}


def test_a_signal_interrupts_the_wait_and_leaves_nobody(tmp_path: Path) -> None:
    with SignalWatch() as signals, Supervisor(signals) as s:
        job = written(fake_cell(tmp_path / "data", "hang", "run"), tmp_path)
        running = s.start(WorkerSpec(LaunchKind.CHECK, job, tmp_path / "launch", HERE, PRELOAD))
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted):
            s.wait()
    assert not Path(f"/proc/{running.pid}").exists()


def test_an_interpreter_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    nowhere = replace(HERE, python="/nonexistent/python")
    job = written(fake_cell(tmp_path / "data"), tmp_path)
    with Supervisor() as s, pytest.raises(CannotStart, match="/nonexistent/python"):
        s.run(WorkerSpec(LaunchKind.CHECK, job, tmp_path / "launch", nowhere, PRELOAD))


def test_waiting_costs_the_wrapper_almost_nothing(tmp_path: Path) -> None:
    with Supervisor() as s:
        job = written(fake_cell(tmp_path / "data", "hang", "run"), tmp_path)
        s.start(
            WorkerSpec(LaunchKind.CHECK, job, tmp_path / "launch", HERE, PRELOAD, Timeouts(3.0))
        )
        cpu = time.process_time()
        s.wait()
        spent = time.process_time() - cpu
    assert spent < 1.0  # a spinning wait would burn three; how little it is stands in benchmarks/
