"""The process of one launch, from its log and signals to its end; as a program, one spawned afresh."""

import contextlib
import ctypes
import faulthandler
import json
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from perf.machine import write_fence
from perf.worker import stages

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


def carry_out(request: Mapping[str, Any]) -> NoReturn:
    """Run the stages of a launch (its kind, job and folder) and end with their status; never returns."""
    folder = Path(request["folder"])
    log = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.chdir(folder)
    with contextlib.suppress(
        OSError
    ):  # in some containers: the peak then holds the fork server's imports
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # VmHWM from now on
    if "writable" in request:
        _confine(folder, request["writable"])
    status = stages.run_launch(request["kind"], Path(request["job"]), folder)
    sys.stdout.flush()
    sys.stderr.flush()
    _LIBC.fflush(None)  # what C's stdio still holds; _exit would lose it
    os._exit(status)


def _confine(folder: Path, more: Sequence[str]) -> None:
    """Keep this process from writing anywhere else; engines' temporary files lie in a folder of its own."""
    temporary = folder / TMP
    temporary.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
    if problem := write_fence.confine_writes((folder, *map(Path, more))):
        print(f"no write fence: {problem}", file=sys.stderr)


def main(argv: list[str]) -> NoReturn:
    """A launch spawned afresh, its request as JSON; under a prefix too it dies with the wrapper."""
    if argv[:1] in (["-h"], ["--help"]):
        print(main.__doc__)
        sys.exit(0)
    get_ready()
    carry_out(json.loads(argv[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
