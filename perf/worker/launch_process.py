"""The process of one launch, from its log and signals to its end; as a program, one spawned afresh."""

import ctypes
import faulthandler
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from perf.worker import stages

PR_SET_PDEATHSIG = 1
LOG = "output.log"
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


def carry_out(request: Mapping[str, str]) -> NoReturn:
    """Run the stages of a launch (its kind, job and folder) and end with their status; never returns."""
    folder = Path(request["folder"])
    log = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.chdir(folder)
    status = stages.run_launch(request["kind"], Path(request["job"]), folder)
    sys.stdout.flush()
    sys.stderr.flush()
    _LIBC.fflush(None)  # what C's stdio still holds; _exit would lose it
    os._exit(status)


def main(argv: list[str]) -> NoReturn:
    """A launch spawned afresh, its request as JSON; under a prefix too it dies with the wrapper."""
    if argv[:1] in (["-h"], ["--help"]):
        print(main.__doc__)
        sys.exit(0)
    get_ready()
    carry_out(json.loads(argv[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
