"""Starts worker processes, sees each one's end at first hand, and leaves no survivor."""

import contextlib
import ctypes
import os
import select
import signal
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from perf.execution.signals import SignalWatch
from perf.machine import process_tree
from perf.results.launch_folder import LaunchFolder
from perf.schema.journal import Stage
from perf.schema.record import Ending, KilledFor
from perf.wrapper.spawn import Starter, WorkerSpec

PR_SET_CHILD_SUBREAPER = 36
GRACE_S = 1.0  # between SIGTERM, at which a worker dumps its stacks, and SIGKILL
REAP_S = 1.5  # after SIGKILL, before a process that is not told dead is given up
TICK_S = 0.25  # how often logs are looked at
WATCH_S = 0.02  # how often memory is looked at where a limit or a device asks for it


@dataclass
class Running:
    """A launch in flight."""

    spec: WorkerSpec
    folder: LaunchFolder  # open since before the launch
    pid: int
    pidfd: int
    began_s: float
    oom_kills: int
    isolation: str
    killed_for: KilledFor | None = None
    killed_at_s: float | None = None  # what the worker told later is not its story
    limit: float | None = None
    kill_at_s: float | None = None
    peak_rss_mib: float | None = None
    left_alone: bool = False  # it is timed, and looked at seldom meanwhile
    watched_s: float = 0.0


class Supervisor:
    """The only place of the wrapper that starts workers; a context manager that ends them all.

    Every wait is one poll of what is waited for, the signals and a deadline.
    """

    def __init__(self, signals: SignalWatch | None = None) -> None:
        self.signals = signals or SignalWatch()  # one that hears nothing
        self._starter = Starter(self._wait_readable)
        self._running: list[Running] = []
        self._looked_s = 0.0
        self.on_look: Callable[[Running], None] | None = None  # who shows the launch in flight

    def __enter__(self) -> Self:
        """Become the reaper of all descendants."""
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Kill all that runs, then reap it, then the hosts, then whatever fell to us."""
        for running in self._running:
            self._kill(running, KilledFor.INTERRUPT, None, grace=False)
        self._starter.kill()
        for running in list(self._running):
            self._reap(running)
        process_tree.kill_children(frozenset(), REAP_S)
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0)

    def start(self, spec: WorkerSpec) -> Running:
        """Start one launch; raises CannotStart where its interpreter will not run, Interrupted."""
        began = time.monotonic()
        folder = LaunchFolder(spec.folder, spec.job)
        kills = process_tree.count_oom_kills()
        try:
            pid, isolation = self._starter.start(spec, began + spec.timeouts.launch_s)
        except BaseException:
            folder.close()
            raise
        running = Running(spec, folder, pid, os.pidfd_open(pid), began, kills, isolation)
        self._running.append(running)
        return running

    def wait(self) -> tuple[Running, Ending]:
        """Wait, without spinning, until one of the launches in flight has ended; raises Interrupted."""
        while True:
            self.signals.check()
            ready = self._poll([r.pidfd for r in self._running], self._next_look_s())
            if time.monotonic() - self._looked_s >= self._step_s():
                self._look()
            for running in self._running:
                if running.pidfd in ready:
                    return running, self._reap(running)

    def run(self, spec: WorkerSpec) -> Ending:
        """One launch from start to end, with nothing else in flight."""
        self.start(spec)
        running, ending = self.wait()
        running.folder.close()
        return ending

    def _poll(self, fds: Collection[int], until_s: float) -> set[int]:
        """Those of `fds` that are ready, none after `until_s` on the monotonic clock or a signal."""
        poll = select.poll()
        for fd in (*fds, *([self.signals.wake_fd] if self.signals.listening else ())):
            poll.register(fd, select.POLLIN)
        left_ms = max(0.0, until_s - time.monotonic()) * 1000
        return {fd for fd, _ in poll.poll(left_ms)} - {self.signals.wake_fd}

    def _wait_readable(self, fd: int, deadline_s: float) -> None:
        """Wait for a fork server, with an eye on launches in flight; raises TimeoutError, Interrupted."""
        while True:
            self.signals.check()
            if self._poll([fd], min(deadline_s, self._next_look_s())):
                return
            self._look()
            if time.monotonic() >= deadline_s:
                raise TimeoutError

    def _step_s(self) -> float:
        busy = any(
            r.spec.memory_limit_mib or (r.spec.watch and not r.left_alone) for r in self._running
        )
        return WATCH_S if busy else TICK_S

    def _next_look_s(self) -> float:
        """When a launch must next be looked at."""
        due = time.monotonic() + self._step_s()
        for r in self._running:
            launch_due = r.began_s + r.spec.timeouts.launch_s
            due = min(due, (r.kill_at_s if r.kill_at_s is not None else launch_due) + 0.001)
        return due

    def _look(self) -> None:
        """Deadlines, memory limits, floods of output, and whoever asked to look on."""
        self._looked_s = now = time.monotonic()
        for r in self._running:
            if r.spec.watch:
                if not r.spec.watch_timed:
                    r.left_alone = r.folder.stage_now()[0] is Stage.TIME
                if not r.left_alone or now - r.watched_s >= TICK_S:
                    r.watched_s = now
                    r.spec.watch(r.pid)
            if r.spec.memory_limit_mib:
                rss = process_tree.tree_rss_mib(r.pid)
                r.peak_rss_mib = max(r.peak_rss_mib or 0.0, rss)
                if rss > r.spec.memory_limit_mib and not r.killed_for:
                    limit = r.spec.memory_limit_mib
                    self._kill(r, KilledFor.MEMORY_LIMIT, limit, grace=False)
            r.folder.bound_log()
            if r.kill_at_s is not None and now >= r.kill_at_s:
                _kill_group(r.pid)
                r.kill_at_s = now + GRACE_S
            elif r.killed_for is None and (limit := _overdue(r, now)):
                self._kill(r, KilledFor.DEADLINE, limit, grace=True)
        if self.on_look and self._running:
            self.on_look(self._running[0])

    def _kill(self, r: Running, why: KilledFor, limit: float | None, *, grace: bool) -> None:
        if r.killed_for is None:
            r.killed_for, r.limit, r.killed_at_s = why, limit, time.monotonic()
        if grace:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(r.pidfd, signal.SIGTERM)
            r.kill_at_s = time.monotonic() + GRACE_S
        else:
            _kill_group(r.pid)
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(r.pidfd, signal.SIGKILL)

    def _reap(self, r: Running) -> Ending:
        """Kill the group while its leader is still a zombie (its id cannot be reused), then reap.

        A process that its own child traces is not told dead before its tracer is: what escaped is killed too.
        """
        wall = time.monotonic() - r.began_s
        self._running.remove(r)
        told, deadline_s = None, time.monotonic() + REAP_S
        while told is None and time.monotonic() < deadline_s:
            told = os.waitid(os.P_PIDFD, r.pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if told is None:
                self._kill_strangers(r.pid)
        _kill_group(r.pid)
        r.folder.bound_log(ended=True)
        if told is not None:
            os.waitid(os.P_PIDFD, r.pidfd, os.WEXITED | os.WNOHANG)
        os.close(r.pidfd)
        self._starter.reaped(r.pid)
        self._kill_strangers()
        exited = told is not None and told.si_code == os.CLD_EXITED
        status = told.si_status if told is not None else None
        return Ending(
            status=status if exited else None,
            signal=None if exited else status,
            killed_for=r.killed_for,
            limit=r.limit,
            oom_kill_delta=process_tree.count_oom_kills() - r.oom_kills,
            peak_rss_mib=r.peak_rss_mib,
            wall_s=wall,
        )

    def _kill_strangers(self, *spared: int) -> None:
        """Kill what escaped a worker and fell to us."""
        self._starter.settle()
        known = self._starter.pids | {r.pid for r in self._running} | set(spared)
        process_tree.kill_children(known, 0.01 if spared else REAP_S)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


_STAGES: Mapping[str, tuple[Stage, ...]] = {
    "prepare": (Stage.PREPARE, Stage.CONVERT),
    "register": (Stage.REGISTER,),
    "build": (Stage.CREATE,),
    "run": (Stage.RUN, Stage.VALIDATE, Stage.PLACE, Stage.WARM_UP, Stage.TIME),
}


def _overdue(r: Running, now: float) -> float:
    """The limit that has passed, in seconds; 0 where none has."""
    limits = r.spec.timeouts
    if now - r.began_s >= limits.launch_s:
        return limits.launch_s
    if not limits.stages:
        return 0.0
    stage, since_s = r.folder.stage_now()
    began = r.began_s if since_s is None else since_s
    for name, stages in _STAGES.items():
        limit = limits.stages.get(name)
        if limit and stage in stages and now - began >= limit:
            return limit
    return 0.0
