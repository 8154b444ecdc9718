"""Starts worker processes, sees each one's end at first hand, and leaves no survivor."""

import contextlib
import ctypes
import os
import select
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from perf.execution.launcher import Interrupted, ending_signals
from perf.machine import process_tree
from perf.schema import journal
from perf.schema.fold import last_stage
from perf.schema.journal import Began, Stage
from perf.schema.record import Ending, KilledFor
from perf.wrapper.spawn import Starter, WorkerSpec

PR_SET_CHILD_SUBREAPER = 36
GRACE_S = 1.0  # between SIGTERM, at which a worker dumps its stacks, and SIGKILL
LOG_LIMIT = 64 << 20
LOG_END = 1 << 20  # of a longer log, what is kept when its launch has ended
TICK_S = 0.25  # how often logs are looked at while nothing ends
WATCH_S = 0.02  # how often memory is looked at where a limit or a device asks for it


@dataclass
class Running:
    """A launch in flight."""

    request: WorkerSpec
    pid: int
    pidfd: int
    began_s: float
    oom_kills: int
    isolation: str
    killed_for: KilledFor | None = None
    limit: float | None = None
    kill_at_s: float | None = None
    peak_rss_mib: float | None = None


class Supervisor:
    """The only place of the wrapper that starts workers; a context manager that ends them all."""

    def __init__(self) -> None:
        self._starter = Starter()
        self._running: list[Running] = []
        self._signal = 0
        self._old: dict[int, object] = {}

    def __enter__(self) -> Self:
        """Become the reaper of all descendants, and turn signals into Interrupted."""
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        self._wake_r, self._wake_w = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        for number in ending_signals():
            self._old[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Kill what runs, end the hosts, reap everything."""
        for running in list(self._running):
            self._kill(running, KilledFor.INTERRUPT, None, grace=False)
            self._reap(running)
        self._starter.close()
        process_tree.kill_strangers(frozenset())
        for number, handler in self._old.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        os.close(self._wake_r)
        os.close(self._wake_w)
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0)

    def start(self, request: WorkerSpec) -> Running:
        """Start one launch; raises CannotStart where its interpreter will not run."""
        request.folder.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        kills = process_tree.count_oom_kills()
        pid, isolation = self._starter.start(request)
        running = Running(request, pid, os.pidfd_open(pid), began, kills, isolation)
        self._running.append(running)
        return running

    def wait(self) -> tuple[Running, Ending]:
        """Wait, without spinning, until one of the launches in flight has ended."""
        while True:
            if self._signal:
                raise Interrupted(self._signal)
            poll = select.poll()
            poll.register(self._wake_r, select.POLLIN)
            for running in self._running:
                poll.register(running.pidfd, select.POLLIN)
            ready = {fd for fd, _ in poll.poll(self._timeout_s() * 1000)}
            if self._wake_r in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_r, 512)
                continue
            for running in self._running:
                if running.pidfd in ready:
                    return running, self._reap(running)
            self._tick()

    def pause(self, seconds: float) -> None:
        """Sleep; raises Interrupted where a signal came before or meanwhile."""
        if not self._signal:
            select.select([self._wake_r], [], [], seconds)
        if self._signal:
            raise Interrupted(self._signal)

    def run(self, request: WorkerSpec) -> Ending:
        """One launch from start to end, with nothing else in flight."""
        self.start(request)
        return self.wait()[1]

    def _on_signal(self, number: int, _frame: object) -> None:
        self._signal = number
        with contextlib.suppress(OSError):
            os.write(self._wake_w, b"x")

    def _timeout_s(self) -> float:
        busy = any(r.request.watch or r.request.memory_limit_mib for r in self._running)
        step = WATCH_S if busy else TICK_S
        now = time.monotonic()
        for r in self._running:
            due = (
                r.kill_at_s if r.kill_at_s is not None else r.began_s + r.request.timeouts.launch_s
            )
            step = min(step, max(0.0, due - now) + 0.001)
        return step

    def _tick(self) -> None:
        """Deadlines, memory limits, floods of output, and whoever asked to look on."""
        now = time.monotonic()
        for r in self._running:
            if r.request.watch:
                r.request.watch(r.pid)
            if r.request.memory_limit_mib:
                rss = process_tree.tree_rss_mib(r.pid)
                r.peak_rss_mib = max(r.peak_rss_mib or 0.0, rss)
                if rss > r.request.memory_limit_mib and not r.killed_for:
                    limit = r.request.memory_limit_mib
                    self._kill(r, KilledFor.MEMORY_LIMIT, limit, grace=False)
            _bound_log(r.request.folder / "output.log")
            if r.kill_at_s is not None and now >= r.kill_at_s:
                _kill_group(r.pid)
                r.kill_at_s = now + GRACE_S
            elif r.killed_for is None and (limit := _overdue(r, now)):
                self._kill(r, KilledFor.DEADLINE, limit, grace=True)

    def _kill(self, r: Running, why: KilledFor, limit: float | None, *, grace: bool) -> None:
        r.killed_for, r.limit = why, limit
        if grace:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(r.pidfd, signal.SIGTERM)
            r.kill_at_s = time.monotonic() + GRACE_S
        else:
            _kill_group(r.pid)
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(r.pidfd, signal.SIGKILL)

    def _reap(self, r: Running) -> Ending:
        """Kill the group while its leader is still a zombie (its id cannot be reused), then reap."""
        os.waitid(os.P_PIDFD, r.pidfd, os.WEXITED | os.WNOWAIT)
        wall = time.monotonic() - r.began_s
        _kill_group(r.pid)
        _bound_log(r.request.folder / "output.log", keep=LOG_END)
        told = os.waitid(os.P_PIDFD, r.pidfd, os.WEXITED)
        os.close(r.pidfd)
        self._running.remove(r)
        self._starter.reaped(r.pid)
        process_tree.kill_strangers(self._starter.pids | {x.pid for x in self._running})
        exited = told is not None and told.si_code == os.CLD_EXITED
        status = told.si_status if told else 0
        return Ending(
            status=status if exited else None,
            signal=None if exited else status,
            killed_for=r.killed_for,
            limit=r.limit,
            oom_kill_delta=process_tree.count_oom_kills() - r.oom_kills,
            peak_rss_mib=r.peak_rss_mib,
            wall_s=wall,
        )


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _bound_log(path: Path, keep: int = 0) -> None:
    """Empty a log that is too long; `keep` bytes of its end stay, where nobody writes any more."""
    with contextlib.suppress(OSError):
        if path.stat().st_size > LOG_LIMIT:
            with path.open("rb") as f:
                f.seek(-keep, os.SEEK_END)
                end = f.read(keep)
            os.truncate(path, 0)  # opened for append: writing goes on at the new end
            if end:
                path.write_bytes(end)


_STAGES: Mapping[str, tuple[Stage, ...]] = {
    "prepare": (Stage.PREPARE, Stage.CONVERT),
    "build": (Stage.CREATE,),
    "run": (Stage.RUN, Stage.VALIDATE, Stage.PLACE, Stage.WARM_UP, Stage.TIME),
}


def _overdue(r: Running, now: float) -> float:
    """The limit that has passed, in seconds; 0 where none has."""
    limits = r.request.timeouts
    if now - r.began_s >= limits.launch_s:
        return limits.launch_s
    if not limits.stages:
        return 0.0
    events = journal.read_live_journal(r.request.folder / "journal.jsonl")
    stage = last_stage(events)
    began = next((e.at_s for e in reversed(events) if isinstance(e, Began)), r.began_s)
    for name, stages in _STAGES.items():
        limit = limits.stages.get(name)
        if limit and stage in stages and now - began >= limit:
            return limit
    return 0.0
