"""The wrapper for many tests: a process that has imported it forks for each run, and the child is the user's process.

To import it costs a quarter of a second each time; a request that is refused takes a hundredth. As a program,
`forked_wrapper.py FD`: the other end, which takes a request a message and has two files for the run's output.
"""

import atexit
import contextlib
import ctypes
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PR_SET_CHILD_SUBREAPER = 36
MOST_BYTES = 1 << 18
AT_START = ("PYTHON", "LC_", "LANG", "LD_", "TZ", "MALLOC_")  # what a program reads before main


class ForkedWrapper:
    """One such process; `serves` says whether a run of this environment may be a fork of it."""

    def __init__(self) -> None:
        self._variables = _at_start(os.environ)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())], cwd=ROOT, pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.pid = self._process.pid
        atexit.register(self.close)

    def serves(self, env: Mapping[str, str]) -> bool:
        return _at_start(env) == self._variables

    def run(
        self, words: Sequence[str], cwd: Path, env: Mapping[str, str], timeout_s: float
    ) -> "subprocess.CompletedProcess[str]":
        """As subprocess.run has it, with both streams captured; raises TimeoutExpired."""
        deadline = time.monotonic() + timeout_s
        request = json.dumps({"words": list(words), "cwd": str(cwd), "env": dict(env)})
        ends = [os.pipe(), os.pipe()]
        socket.send_fds(self._socket, [request.encode()], [w for _, w in ends])
        for _, w in ends:
            os.close(w)
        pid = int(self._socket.recv(MOST_BYTES))
        try:
            out, err = _read_both([r for r, _ in ends], deadline)
            self._socket.settimeout(max(0.01, deadline - time.monotonic()))
            status = int(self._socket.recv(MOST_BYTES))
        except TimeoutError as e:
            os.kill(pid, signal.SIGKILL)
            self._socket.settimeout(None)
            self._socket.recv(MOST_BYTES)
            raise subprocess.TimeoutExpired(list(words), timeout_s) from e
        finally:
            self._socket.settimeout(None)
            for r, _ in ends:
                os.close(r)
        return subprocess.CompletedProcess(list(words), status, out, err)

    def close(self) -> None:
        self._socket.close()
        self._process.communicate()


def _at_start(env: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in env.items() if k.startswith(AT_START)}


def _read_both(fds: Sequence[int], deadline: float) -> list[str]:
    """What comes from each until its last writer has closed it; raises TimeoutError."""
    got = {fd: bytearray() for fd in fds}
    with selectors.DefaultSelector() as waiting:
        for fd in fds:
            waiting.register(fd, selectors.EVENT_READ)
        while waiting.get_map():
            ready = waiting.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                piece = os.read(key.fd, 1 << 16)
                got[key.fd] += piece
                if not piece:
                    waiting.unregister(key.fd)
    return [bytes(got[fd]).decode() for fd in fds]


def serve(server: socket.socket) -> None:
    """A child for each request; in the child this returns, to do what the wrapper's own program does."""
    ctypes.CDLL(None).prctl(
        PR_SET_CHILD_SUBREAPER, 1
    )  # what a run leaves is a child of this process
    while True:
        request, fds, _, _ = socket.recv_fds(server, MOST_BYTES, 2)
        if not request:
            os._exit(0)
        child = os.fork()
        if child == 0:
            server.close()
            become(json.loads(request), fds)
            return
        for fd in fds:
            os.close(fd)
        server.send(str(child).encode())
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        with contextlib.suppress(BrokenPipeError):
            server.send(str(os.waitstatus_to_exitcode(status)).encode())


def become(request: Mapping[str, Any], fds: Sequence[int]) -> None:
    """What a fresh process has of who started it: streams, folder, variables, words."""
    for fd, stream in zip(fds, (1, 2), strict=True):
        os.dup2(fd, stream)
        os.close(fd)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = [str(ROOT / "benchmark_wrapper.py"), *request["words"]]


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    from perf.cli.benchmark_wrapper import main

    serve(socket.socket(fileno=int(sys.argv[1])))
    raise SystemExit(main())
