"""Imports an engine once, makes no session, and keeps a worker ready for each launch asked for."""

import ctypes
import gc
import importlib
import json
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from perf.worker import stages
from perf.worker.preforked_worker import PreforkedWorker, prefork

_MADV_COLLAPSE = 25
_HUGE_PAGE_BYTES = 2 << 20


def main(argv: Sequence[str]) -> int:
    """`FD WRAPPER MODULE…`: import the modules, then answer requests on the socket FD until it closes.

    A request is answered by the pid of its worker, or by why this process must not fork. After a pid the
    next worker is forked ahead, while this one loads, and its pid told, 0 for none: until then the wrapper
    must not take a child that it does not know for a stranger.
    """
    if argv[:1] in (["-h"], ["--help"]):
        print(main.__doc__)
        return 0
    control, wrapper = socket.socket(fileno=int(argv[0])), int(argv[1])
    for name in argv[2:]:
        importlib.import_module(name)
    stages.warm_fork_server()
    gc.collect()
    gc.freeze()  # a collection in a child would write to, and so copy, every page it inherited
    _collapse_heap()
    control.send(json.dumps({"ready": os.getpid()}).encode())
    spare: PreforkedWorker | None = None
    while request := control.recv(1 << 20):
        if spare is None and (reason := unfit_to_fork()):
            control.send(json.dumps({"refused": reason}).encode())
            continue
        pid = spare.start(request) if spare else 0
        if not pid:
            pid = prefork(wrapper, control).start(request)
        control.send(json.dumps({"pid": pid}).encode())
        spare = None if unfit_to_fork() else prefork(wrapper, control, request)
        control.send(json.dumps({"spare": spare.pid if spare else 0}).encode())
    return 0


def _collapse_heap() -> None:
    """Have the C heap mapped by huge pages: to fork it, and to end a child that left it alone, costs less.

    A child's first write to one splits it into the small pages that it was; a kernel before 6.1 refuses.
    """
    libc = ctypes.CDLL(None)
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        if line.endswith("[heap]"):
            start, end = (int(x, 16) for x in line.partition(" ")[0].split("-"))
            start = -(-start // _HUGE_PAGE_BYTES) * _HUGE_PAGE_BYTES
            length = max(0, end - start) // _HUGE_PAGE_BYTES * _HUGE_PAGE_BYTES
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), _MADV_COLLAPSE)


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
