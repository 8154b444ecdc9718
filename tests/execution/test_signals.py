"""Signals while a run waits, launches and writes: one SIGINT is patient, two are not, SIGTERM never is."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from perf.execution.launcher import Interrupted
from perf.execution.signals import SignalWatch


@pytest.fixture
def watch() -> Iterator[SignalWatch]:
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell ignores it
    with SignalWatch() as signals:
        yield signals
    signal.signal(signal.SIGINT, before)


def test_one_sigint_lets_what_runs_end_and_begins_nothing(watch: SignalWatch) -> None:
    told: list[str] = []
    watch.on_first_interrupt = lambda: told.append("once")
    os.kill(os.getpid(), signal.SIGINT)
    watch.check()
    watch.check()
    assert told == ["once"]
    with pytest.raises(Interrupted) as raised:
        watch.check_before_launch()
    assert raised.value.args == (signal.SIGINT,)


@pytest.mark.parametrize(
    "sent", [(signal.SIGTERM,), (signal.SIGHUP,), (signal.SIGINT, signal.SIGINT)]
)
def test_what_ends_a_run_at_once_is_heard_by_every_check(
    watch: SignalWatch, sent: tuple[signal.Signals, ...]
) -> None:
    for number in sent:
        os.kill(os.getpid(), number)
    with pytest.raises(Interrupted) as raised:
        watch.check()
    assert raised.value.args == (sent[-1],)


def test_tables_are_written_whatever_one_sigint_says_and_left_at_the_second(
    watch: SignalWatch,
) -> None:
    seen: list[str] = []
    with pytest.raises(Interrupted):
        _write_under_two_signals(watch, seen)
    assert seen == ["written"]


def _write_under_two_signals(watch: SignalWatch, seen: list[str]) -> None:
    with watch.raising():
        os.kill(os.getpid(), signal.SIGINT)
        seen.append("written")
        os.kill(os.getpid(), signal.SIGINT)
        seen.append("never")


def test_a_pause_ends_when_a_signal_comes(watch: SignalWatch) -> None:
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    began = time.monotonic()
    with pytest.raises(Interrupted):
        watch.pause(60.0)
    assert time.monotonic() - began < 30.0


def test_a_sigint_that_was_ignored_when_we_began_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with SignalWatch() as signals:
            os.kill(os.getpid(), signal.SIGINT)
            signals.check_before_launch()
    finally:
        signal.signal(signal.SIGINT, before)
