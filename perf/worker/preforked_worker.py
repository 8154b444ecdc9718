"""A worker that the fork server makes ahead of its request, orphaned so that it is the wrapper's own child.

fork server ──fork──▶ middle ──fork──▶ worker      the middle says the worker's pid, and ends
                                         │          the orphan falls to the wrapper, a subreaper
                                         ▼
                                  waits for its parent to be the wrapper, calls setsid,
                                  asks to die with the wrapper, rehearses
                                         │
                 request on its pipe ────▼──── pipe closed: the fork server is gone, it ends
                                  carries out the launch
"""

import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from perf.worker.launch_process import carry_out
from perf.worker.rehearsal import rehearse
from perf.worker.worker_process import get_ready


@dataclass(frozen=True)
class PreforkedWorker:
    """A worker that waits; the wrapper sees its end at first hand."""

    pid: int
    request: int  # pipe to the worker; closed without a word, it ends

    def start(self, request: bytes) -> int:
        """Hand the request over; returns the worker's pid, 0 where it was ended as nobody's meanwhile."""
        try:
            os.write(self.request, request)
        except BrokenPipeError:
            return 0
        finally:
            os.close(self.request)
        return self.pid


def prefork(wrapper: int, control: socket.socket, like: bytes = b"") -> PreforkedWorker:
    """Fork twice, and wait for the middle to be gone; `like` is a request of the kind to expect."""
    request, told = os.pipe(), os.pipe()
    middle = os.fork()
    if middle == 0:
        control.close()
        os.close(request[1])
        _fork_worker(wrapper, request[0], told[1], like)
    os.close(request[0])
    os.close(told[1])
    worker = int(os.read(told[0], 16))
    os.close(told[0])
    os.waitpid(middle, 0)
    return PreforkedWorker(worker, request[1])


def _fork_worker(wrapper: int, request: int, report_fd: int, like: bytes) -> NoReturn:
    """The middle's life: fork the worker, say so and end."""
    middle = os.getpid()
    worker = os.fork()
    if worker:
        os.write(report_fd, str(worker).encode())
        os._exit(0)
    os.close(report_fd)
    _become_the_wrappers(wrapper, middle)
    if like:
        rehearse(Path(json.loads(like)["job"]))
    given = os.read(request, 1 << 16)
    os.close(request)
    if not given:
        os._exit(0)  # the fork server ended without a request
    carry_out(json.loads(given))


def _become_the_wrappers(wrapper: int, middle: int) -> None:
    """Wait to be adopted, then live in a session of its own and no longer than the wrapper."""
    while (parent := os.getppid()) != wrapper:
        if parent != middle:
            os._exit(0)  # the wrapper is gone and someone else adopted us
        time.sleep(0.0001)
    os.setsid()
    get_ready()
    if os.getppid() != wrapper:  # it died before the line above
        os._exit(0)
