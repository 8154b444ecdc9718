"""Signals that ask a run to end: one SIGINT after the launch in flight, a second or SIGTERM at once."""

import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Self

from perf.execution.launcher import Interrupted
from perf.request.any_terminal import leave_deaf_readers

LAST_S = 2.0
_WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class SignalWatch:
    """A context manager in which signals are remembered, wake every wait, and raise where they are asked for.

    A signal that was ignored when the process began (a background shell's SIGINT, nohup's SIGHUP) stays so.
    """

    def __init__(self) -> None:
        self.interrupts = 0  # SIGINTs heard
        self.ended_by = 0  # what ends the run at once
        self._old: dict[int, object] = {}
        self._raising = False
        self._announced = False
        self.on_first_interrupt: Callable[[], None] = lambda: None
        self._wake_r = self._wake_w = -1

    def __enter__(self) -> Self:
        """Listen from now on."""
        self._wake_r, self._wake_w = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        for number in _WATCHED:
            if signal.getsignal(number) != signal.SIG_IGN:
                self._old[number] = signal.signal(number, self._hear)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put the handlers back."""
        for number, handler in self._old.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._old.clear()
        os.close(self._wake_r)
        os.close(self._wake_w)
        self._wake_r = self._wake_w = -1

    @property
    def listening(self) -> bool:
        """Whether this is inside its `with`."""
        return self._wake_r >= 0

    @property
    def wake_fd(self) -> int:
        """Becomes readable when a signal comes; part of every poll."""
        return self._wake_r

    def check(self) -> None:
        """Raise Interrupted where the run must end now."""
        self._drain()
        if self.interrupts and not self._announced:
            self._announced = True
            self.on_first_interrupt()
        if self.ended_by:
            raise Interrupted(self.ended_by)

    def check_before_launch(self) -> None:
        """Raise Interrupted where nothing more may be begun."""
        self.check()
        if self.interrupts:
            raise Interrupted(signal.SIGINT)

    def pause(self, seconds: float) -> None:
        """Sleep; raises Interrupted where a signal came before or meanwhile: nothing is in flight."""
        if not (self.interrupts or self.ended_by):
            select.select([self._wake_r], [], [], seconds)
        self.check_before_launch()

    @contextlib.contextmanager
    def raising(self) -> Iterator[None]:
        """Last work, which new signals end between two lines of Python; one more SIGINT waits.

        What was heard before has been acted on; where it was to end the run at once, the work gets LAST_S
        seconds. Raises Interrupted.
        """
        ended_by, self.ended_by, self.interrupts = self.ended_by, 0, 0
        with contextlib.nullcontext() if self.listening else self:
            before = signal.signal(signal.SIGALRM, lambda *_: self._end(ended_by))
            signal.setitimer(signal.ITIMER_REAL, LAST_S if ended_by else 0)
            self._raising = True
            try:
                yield
            finally:
                self._raising = False
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, before)

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            self.interrupts += 1
        with contextlib.suppress(OSError):
            os.write(self._wake_w, b"x")
        if number != signal.SIGINT or self.interrupts > 1:
            self._end(number)

    def _end(self, number: int) -> None:
        self.ended_by = self.ended_by or number
        leave_deaf_readers()
        if self._raising:
            self._raising = False
            raise Interrupted(self.ended_by)

    def _drain(self) -> None:
        if not self.listening:
            return
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake_r, 512):
                pass
