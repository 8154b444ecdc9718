"""Imports an engine once, makes no session, and forks a child per launch that becomes the wrapper's own."""

import ctypes
import faulthandler
import gc
import importlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

PR_SET_PDEATHSIG = 1
LOG = "output.log"


def main(argv: Sequence[str]) -> int:
    """`serve FD WRAPPER MODULE…` forks on request; `one REQUEST_JSON WRAPPER` is a launch by itself."""
    if argv[0] == "one":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # under a prefix, of its death
        request = json.loads(argv[1])
        _settle(Path(request["folder"]))
        _work(request)
    control = socket.socket(fileno=int(argv[1]))
    wrapper = int(argv[2])
    for name in argv[3:]:
        importlib.import_module(name)
    importlib.import_module("perf.worker.stages").warm_fork_server()
    gc.collect()
    gc.freeze()  # a collection in a child would write to, and so copy, every page it inherited
    control.send(json.dumps({"ready": os.getpid()}).encode())
    spare: PreforkedWorker | None = None
    while request := control.recv(1 << 20):
        if spare is None and (reason := unfit_to_fork()):
            control.send(json.dumps({"refused": reason}).encode())
            continue
        pid = spare.start(request) if spare else 0
        control.send(json.dumps({"pid": pid or _spare(wrapper, control).start(request)}).encode())
        spare = None if unfit_to_fork() else _spare(wrapper, control)  # while that one loads
        if spare:
            control.send(json.dumps({"spare": spare.worker}).encode())
    return 0


def unfit_to_fork() -> str:
    """Why a fork now would hand a broken engine to the child; "" where it would not."""
    threads = sum(1 for _ in Path("/proc/self/task").iterdir())
    if threads != 1:
        return f"{threads} threads: a fork would copy their locks without them"
    if is_loaded("libcuda.so.1"):
        return "the CUDA driver is loaded: its state does not survive a fork"
    return ""


def is_loaded(soname: str) -> bool:
    """Whether a library of this name is mapped already; nothing is loaded by asking."""
    try:
        ctypes.CDLL(soname, mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class PreforkedWorker:
    """A worker forked ahead of its request. Its parent has ended already: orphaned, it fell to the wrapper, a
    subreaper, which then sees its end at first hand."""

    worker: int
    request: int  # pipe to the worker; closed without a word, it ends

    def start(self, request: bytes) -> int:
        """Hand the request over; returns the worker's pid, 0 where it was ended as nobody's meanwhile."""
        try:
            os.write(self.request, request)
        except BrokenPipeError:
            return 0
        finally:
            os.close(self.request)
        return self.worker


def _spare(wrapper: int, control: socket.socket) -> PreforkedWorker:
    """Fork twice, and wait for the one in between to be gone."""
    request, told = os.pipe(), os.pipe()
    middle = os.fork()
    if middle == 0:
        control.close()
        os.close(request[1])
        _middle(wrapper, request[0], told[1])
    os.close(request[0])
    os.close(told[1])
    worker = int(os.read(told[0], 16))
    os.close(told[0])
    os.waitpid(middle, 0)
    return PreforkedWorker(worker, request[1])


def _middle(wrapper: int, request: int, told: int) -> NoReturn:
    """Fork the worker, say so and end; the worker waits for its request."""
    middle = os.getpid()
    worker = os.fork()
    if worker:
        os.write(told, str(worker).encode())
        os._exit(0)
    os.close(told)
    while (parent := os.getppid()) != wrapper:
        if parent != middle:
            os._exit(0)  # the wrapper is gone and someone else adopted us
        time.sleep(0.0001)
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != wrapper:  # it died before the line above
        os._exit(0)
    given = os.read(request, 1 << 16)
    os.close(request)
    if not given:
        os._exit(0)  # the host ended without a request
    asked = json.loads(given)
    _settle(Path(asked["folder"]))
    _work(asked)


def _settle(folder: Path) -> None:
    """Make the launch's folder and log a worker's own; stacks on SIGTERM."""
    log = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.close(null)
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the wrapper's to act on
    faulthandler.enable(file=2)
    faulthandler.register(signal.SIGTERM, file=2, all_threads=True, chain=False)


def _work(request: dict[str, Any]) -> NoReturn:
    """Run the stages of a launch and end with their status; never returns."""
    folder = Path(request["folder"])
    from perf.worker import stages

    status = stages.run_launch(request["kind"], Path(request["job"]), folder)
    sys.stdout.flush()
    sys.stderr.flush()
    ctypes.CDLL(None).fflush(None)  # what C's stdio still holds; _exit would lose it
    os._exit(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
