"""What every worker's process does before and after its work: its signals, its log, its fence, its end."""

import contextlib
import ctypes
import faulthandler
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from perf.machine import write_fence

PR_SET_PDEATHSIG = 1
LOG, TMP = "output.log", "tmp"
_LIBC = ctypes.CDLL(None)


def get_ready() -> None:
    """What needs no request: die with the parent, leave Ctrl-C to the wrapper, show stacks on SIGTERM."""
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable(file=2)
    faulthandler.register(signal.SIGTERM, file=2, all_threads=True, chain=False)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def enter_folder(folder: Path, writable: Sequence[str] | None) -> None:
    """Make a launch's folder the current one, its log stdout and stderr; keep to it where a fence is wanted.

    `writable` are the folders besides it that may be written; None for no fence.
    """
    log = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.chdir(folder)
    with contextlib.suppress(
        OSError
    ):  # in some containers: the peak then holds its host's imports
        clear = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
        os.write(clear, b"5")  # VmHWM from now on
        os.close(clear)
    if writable is not None:
        _confine(folder, writable)


def leave(status: int) -> NoReturn:
    """End this process now: an engine's exit handlers are not what is asked about."""
    sys.stdout.flush()
    sys.stderr.flush()
    _LIBC.fflush(None)  # what C's stdio still holds; _exit would lose it
    os._exit(status)


def _confine(folder: Path, more: Sequence[str]) -> None:
    """Keep this process from writing anywhere else; engines' temporary files lie in a folder of its own."""
    temporary = folder / TMP
    temporary.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
    try:
        write_fence.confine_writes((folder, *map(Path, more)))
    except OSError as e:
        print(f"no write fence: {e.strerror}", file=sys.stderr)
