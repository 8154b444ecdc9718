import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from perf.machine import process_tree
from perf.worker import fork_server


def test_a_library_is_found_loaded_without_loading_it() -> None:
    assert fork_server.is_loaded("libc.so.6")  # the next is a part of glibc that nobody loads
    assert not fork_server.is_loaded("libBrokenLocale.so.1")
    assert not fork_server.is_loaded("libBrokenLocale.so.1"), "asking had loaded it"


def test_a_host_with_a_second_thread_does_not_fork() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    reason = fork_server.unfit_to_fork()
    stop.set()
    thread.join()
    assert "threads" in reason


SERVING = """
import ctypes, os, socket, subprocess, sys, time
ctypes.CDLL(None).prctl(36, 1)  # a subreaper, as the wrapper is
mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
words = [str(theirs.fileno()), str(os.getpid()), "numpy"]
host = subprocess.Popen([sys.executable, "-m", "perf.worker.fork_server", *words], pass_fds=[theirs.fileno()])
theirs.close()
mine.recv(4096)
mine.send(b'{"kind": "check", "job": "/nowhere", "folder": "/nowhere"}')
mine.recv(4096)
mine.send(b'{"kind": "check", "job": "/nowhere", "folder": "/nowhere"}')
mine.recv(4096)
mine.recv(4096)
mine.recv(4096)
print(host.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("killed", ["host", "wrapper"])
def test_a_spare_worker_outlives_neither_its_host_nor_the_wrapper(killed: str) -> None:
    quiet = {"OPENBLAS_NUM_THREADS": "1"}  # a second thread, and the host would not fork
    wrapper = subprocess.Popen(
        [sys.executable, "-c", SERVING], stdout=subprocess.PIPE, env={**os.environ, **quiet}
    )
    assert wrapper.stdout is not None
    host_pid = int(wrapper.stdout.readline())
    deadline = time.monotonic() + 20
    ours = process_tree.process_tree(wrapper.pid) - {wrapper.pid}
    while len(spares := [pid for pid in living(ours) if pid != host_pid]) > 1:
        assert time.monotonic() < deadline  # the two that were asked for the impossible end
        time.sleep(0.02)
    if killed == "wrapper":
        wrapper.kill()
    else:
        os.kill(host_pid, signal.SIGKILL)
    while (left := living(ours)) and time.monotonic() < deadline:
        time.sleep(0.02)
    wrapper.kill()
    wrapper.communicate()
    assert (len(spares), left) == (1, [])


def living(pids: frozenset[int]) -> list[int]:
    """Those that are neither gone nor zombies that nobody has waited for yet."""
    states = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
            states[pid] = stat.rpartition(")")[2].split()[0]
    return [pid for pid, state in states.items() if state != "Z"]
