"""Brings a worker to life, by a host's fork or afresh, and says what its environment sees."""

import contextlib
import ctypes
import json
import os
import shlex
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from perf.request.environments import QUIET
from perf.request.flag_types import Timeouts
from perf.request.locations import CODE
from perf.schema.cell import Environment
from perf.schema.record import LaunchKind

PR_SET_PDEATHSIG = 1
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


@dataclass
class _Host:
    process: "subprocess.Popen[bytes]"
    control: socket.socket
    spare: int = 0  # a worker that waits for the next request, a child of ours already

    def answer(self, flags: int = 0) -> dict[str, int | str]:
        """The next thing the host says; {} where it is gone. Raises BlockingIOError for silence."""
        told: dict[str, int | str] = json.loads(self.control.recv(4096, flags) or b"{}")
        if told.keys() & {"spare", "pid"}:
            self.spare = int(told.get("spare", 0))
        return told

    @property
    def pids(self) -> tuple[int, int]:
        """The host and its spare worker, as far as it has told."""
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            while self.answer(socket.MSG_DONTWAIT):
                pass
        return self.process.pid, self.spare


class Starter:
    """Hosts by what they have loaded, and the workers that were spawned without one."""

    def __init__(self) -> None:
        self._hosts: dict[_Key, _Host] = {}
        self._spawned: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def pids(self) -> frozenset[int]:
        """The hosts and the workers they keep ready."""
        return frozenset(pid for h in self._hosts.values() for pid in h.pids)

    def start(self, request: WorkerSpec) -> tuple[int, str]:
        """Start one launch; its pid, and whether by host or spawn. Raises CannotStart."""
        pid = self._fork(request) if request.isolation == "host" else None
        return (self._spawn(request), "spawn") if pid is None else (pid, "host")

    def reaped(self, pid: int) -> None:
        """A worker was reaped by who supervises it; its Popen must not look for it."""
        if popen := self._spawned.pop(pid, None):
            popen.returncode = 0

    def close(self) -> None:
        """End every host."""
        for key in tuple(self._hosts):
            self._end_host(key)

    def _fork(self, request: WorkerSpec) -> int | None:
        """Have a host fork the launch; None where it must not, and the launch is spawned afresh."""
        for _attempt in range(2):  # a host that was killed is replaced once
            host = self._host(request)
            try:
                host.control.send(_message(request))
                while "spare" in (answer := host.answer()):
                    pass
            except (BrokenPipeError, ConnectionResetError):
                answer = {}
            if "pid" in answer:
                return int(answer["pid"])
            if "refused" in answer:
                return None
            self._end_host(_key(request))
        return None

    def _host(self, request: WorkerSpec) -> _Host:
        key = _key(request)
        if key in self._hosts:
            return self._hosts[key]
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words = [str(theirs.fileno()), str(os.getpid()), *request.preload]
        argv = [request.environment.python, "-m", "perf.worker.fork_server", *words]
        with theirs, (request.folder / "host.log").open("wb") as log:
            fds = (theirs.fileno(),)
            try:
                process = _popen(argv, request.environment, log.fileno(), fds)
            except CannotStart:
                mine.close()
                raise
        mine.settimeout(120.0)
        try:
            ready = mine.recv(4096)
        except (ConnectionResetError, TimeoutError):
            ready = b""
        if not ready:
            process.kill()
            process.wait()
            mine.close()
            raise CannotStart(_host_died(request, process.returncode))
        mine.settimeout(None)
        self._hosts[key] = _Host(process, mine)
        return self._hosts[key]

    def _end_host(self, key: _Key) -> None:
        host = self._hosts.pop(key)
        host.control.close()
        host.process.kill()
        host.process.wait()

    def _spawn(self, request: WorkerSpec) -> int:
        worker = ["-m", "perf.worker.launch_process", _message(request).decode()]
        argv = [request.environment.python, *worker]
        prefix = shlex.split(request.exec_prefix)
        with (request.folder / "output.log").open("ab") as log:
            process = _popen([*prefix, *argv], request.environment, log.fileno())
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


def _key(request: WorkerSpec) -> _Key:
    environment = request.environment
    variables = tuple(sorted(environment.variables.items()))
    return environment.name, environment.python, variables, request.preload


def _message(request: WorkerSpec) -> bytes:
    names = {"kind": request.kind.value, "job": str(request.job), "folder": str(request.folder)}
    return json.dumps(names).encode()


def _host_died(request: WorkerSpec, status: int | None) -> str:
    lines = (request.folder / "host.log").read_text(errors="replace").strip().splitlines()
    last = lines[-1] if lines else f"exit status {status}"
    return f"environment {request.environment.name} ({request.environment.python}): {last}"
