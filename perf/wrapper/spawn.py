"""Brings a worker to life, by a host's fork or afresh, and says what its environment sees."""

import contextlib
import ctypes
import json
import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from perf.request.environments import QUIET
from perf.request.flag_types import Timeouts
from perf.request.locations import CODE
from perf.schema.cell import Environment
from perf.schema.record import LaunchKind
from perf.schema.untrusted_file import read_regular

PR_SET_PDEATHSIG = 1
HOST_LOG = "host.log"
REAP_S = 1.5  # after SIGKILL
_Key: TypeAlias = tuple[str, str, tuple[tuple[str, str], ...], tuple[str, ...]]


class CannotStart(Exception):
    """An environment's interpreter could not start a worker; the message says why."""


@dataclass(frozen=True)
class WorkerSpec:
    """One launch to be made."""

    kind: LaunchKind
    job: Path
    folder: Path
    environment: Environment
    preload: tuple[str, ...] = ()
    timeouts: Timeouts = field(default_factory=Timeouts)
    memory_limit_mib: float = 0.0
    isolation: str = "host"
    exec_prefix: str = ""
    watch: Callable[[int], None] | None = None  # called often with the worker's pid
    writable: tuple[Path, ...] | None = None  # besides its folder; None: no fence
    watch_timed: bool = True  # as often while runs are timed; else seldom, for it disturbs them


class _HostGone(Exception):
    """A fork server ended, or gave no answer in time; the message says how."""


@dataclass
class _Host:
    """A fork server, as the wrapper talks to it."""

    process: "subprocess.Popen[bytes]"
    control: socket.socket
    spare: int = 0  # a worker that waits for the next request, a child of ours already
    owes_spare: bool = False  # it may just be forking one that we do not know yet

    def answer(self, wait_readable: "WaitReadable", deadline_s: float) -> dict[str, int | str]:
        """The next thing it says; raises _HostGone, Interrupted."""
        try:
            wait_readable(self.control.fileno(), deadline_s)
        except TimeoutError:
            raise _HostGone("gave no answer in time") from None
        if (told := self._read()) is None:
            raise _HostGone("ended")
        return told

    def _read(self) -> dict[str, int | str] | None:
        try:
            data = self.control.recv(4096, socket.MSG_DONTWAIT)
            told: dict[str, int | str] = json.loads(data) if data else {}
        except (ConnectionResetError, ValueError):
            return None
        if told.keys() & {"spare", "pid"}:
            self.spare = int(told.get("spare", 0))
            self.owes_spare = "pid" in told
        return told or None

    @property
    def pids(self) -> tuple[int, int]:
        """The fork server and its spare worker, as far as it has told."""
        return self.process.pid, self.spare

    def kill(self) -> None:
        """Send it SIGKILL; whoever reaps all children reaps it."""
        self.control.close()
        self.process.kill()


WaitReadable: TypeAlias = Callable[[int, float], None]  # fd, deadline; TimeoutError, Interrupted


class Starter:
    """Fork servers by what they have loaded, and the workers that were spawned without one."""

    def __init__(self, wait_readable: WaitReadable) -> None:
        self._wait_readable = wait_readable
        self._hosts: dict[_Key, _Host] = {}
        self._spawned: dict[int, subprocess.Popen[bytes]] = {}
        self._faults: dict[_Key, list[str]] = {}  # of fork servers that never forked, in a row

    @property
    def pids(self) -> frozenset[int]:
        """The fork servers and the workers they keep ready."""
        return frozenset(pid for h in self._hosts.values() for pid in h.pids)

    def start(self, spec: WorkerSpec, deadline_s: float) -> tuple[int, str]:
        """Start one launch; its pid, and whether by host or spawn. Raises CannotStart, Interrupted."""
        pid = self._fork(spec, deadline_s) if spec.isolation == "host" else None
        return (self._spawn(spec), "spawn") if pid is None else (pid, "host")

    def settle(self) -> None:
        """Hear from each fork server which worker it keeps, so that no child of ours is unknown.

        One that does not say so within a second is killed. Raises Interrupted.
        """
        for key, host in tuple(self._hosts.items()):
            try:
                while host.owes_spare:
                    host.answer(self._wait_readable, time.monotonic() + 1.0)
            except (_HostGone, BlockingIOError):
                self._kill_host(key)

    def reaped(self, pid: int) -> None:
        """A worker was reaped by who supervises it; its Popen must not look for it."""
        if popen := self._spawned.pop(pid, None):
            popen.returncode = 0

    def kill(self) -> None:
        """Kill every fork server and forget it."""
        for key in tuple(self._hosts):
            self._kill_host(key)

    def _fork(self, spec: WorkerSpec, deadline_s: float) -> int | None:
        """Have a fork server fork the launch; None where it must not, and the launch is spawned afresh.

        One that ends is replaced once; one that does not answer has cost the launch its time. Where two in a
        row forked nothing, the environment cannot start workers: no later launch waits for a third.
        """
        key = _key(spec)
        while True:
            faults = self._faults.setdefault(key, [])
            if len(faults) > 1:
                raise CannotStart(faults[-1])
            try:
                answer = self._request(spec, deadline_s)
            except _HostGone as e:
                faults.append(self._describe_fault(spec, str(e)))
                if time.monotonic() >= deadline_s:
                    raise CannotStart(faults[-1]) from None
                continue
            faults.clear()
            return int(answer["pid"]) if "pid" in answer else None

    def _request(self, spec: WorkerSpec, deadline_s: float) -> dict[str, int | str]:
        key = _key(spec)
        try:
            host = self._hosts.get(key) or self._start_host(spec, deadline_s)
            host.control.send(_message(spec), socket.MSG_DONTWAIT)
            while True:
                answer = host.answer(self._wait_readable, deadline_s)
                if answer.keys() & {"pid", "refused"}:
                    return answer
        except (_HostGone, BrokenPipeError, ConnectionResetError, BlockingIOError) as e:
            self._kill_host(key)
            raise _HostGone(str(e) if isinstance(e, _HostGone) else "ended") from e

    def _start_host(self, spec: WorkerSpec, deadline_s: float) -> _Host:
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words = [str(theirs.fileno()), str(os.getpid()), *spec.preload]
        argv = [spec.environment.python, "-m", "perf.worker.fork_server", *words]
        with theirs, (spec.folder / HOST_LOG).open("wb") as log:
            fds = (theirs.fileno(),)
            try:
                process = _popen(argv, spec.environment, log.fileno(), fds)
            except CannotStart:
                mine.close()
                raise
        self._hosts[_key(spec)] = host = _Host(process, mine)
        host.answer(self._wait_readable, deadline_s)
        return host

    def _kill_host(self, key: _Key) -> None:
        host = self._hosts.pop(key, None)
        if host is None:
            return
        host.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            host.process.wait(REAP_S)

    def _describe_fault(self, spec: WorkerSpec, how: str) -> str:
        environment = spec.environment
        said = ""
        with contextlib.suppress(OSError):
            text = read_regular(spec.folder / HOST_LOG, 1 << 16).decode("utf-8", "replace")
            said = next(reversed(text.strip().splitlines()), "")
        where = f"environment {environment.name} ({environment.python})"
        return f"{where}: {said or f'its fork server {how}'}"

    def _spawn(self, spec: WorkerSpec) -> int:
        program = "probe" if spec.kind is LaunchKind.PROBE else "launch_process"
        worker = ["-m", f"perf.worker.{program}", _message(spec).decode()]
        argv = [spec.environment.python, *worker]
        prefix = shlex.split(spec.exec_prefix)
        with (spec.folder / "output.log").open("ab") as log:
            process = _popen([*prefix, *argv], spec.environment, log.fileno())
        self._spawned[process.pid] = process
        return process.pid


def environment_variables(environment: Environment) -> dict[str, str]:
    """What a worker's process sees: ours, made quiet and single-threaded at import, and its own."""
    quiet = {**QUIET, "PYTHONPATH": str(CODE)}
    extra = environment.variables.get("PYTHONPATH", "")
    path = {"PYTHONPATH": os.pathsep.join(filter(None, [str(CODE), extra]))} if extra else {}
    return {**os.environ, **quiet, **environment.variables, **path}


def _popen(
    argv: Sequence[str], environment: Environment, log: int, pass_fds: tuple[int, ...] = ()
) -> "subprocess.Popen[bytes]":
    variables: Mapping[str, str] = environment_variables(environment)
    try:
        return subprocess.Popen(
            list(argv), env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            pass_fds=pass_fds, start_new_session=True, preexec_fn=die_with_the_wrapper, cwd=CODE,
        )  # fmt: skip
    except OSError as e:
        told = "environments.toml or --env" if argv[0] == environment.python else "--exec_prefix"
        raise CannotStart(f"{argv[0]}: {e.strerror}; check {told}") from e


def die_with_the_wrapper() -> None:
    """In a child, before its program: whoever kills the wrapper leaves none of its children."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _key(spec: WorkerSpec) -> _Key:
    environment = spec.environment
    variables = tuple(sorted(environment.variables.items()))
    return environment.name, environment.python, variables, spec.preload


def _message(spec: WorkerSpec) -> bytes:
    names: dict[str, object] = {
        "kind": spec.kind.value, "job": str(spec.job), "folder": str(spec.folder),
    }  # fmt: skip
    if spec.writable is not None:
        names["writable"] = [str(path) for path in spec.writable]
    return json.dumps(names).encode()
