"""The CPU EP in a GPU's place, on one of the boards that NVML (or its stand-in) tells of.

Where BOARDED_SHARES names a file, its runs on all boards take turns with it: what one does, the others wait for.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from perf.backends import Backend, ProbeResult, Session, TargetSpec, Tensors, cpu
from perf.backends._ort.session import OrtSession, SessionSpec
from perf.schema.cell import Cell, Precision

SHARED = "BOARDED_SHARES"
HELD_S, FREE_S = 0.008, 0.001


class _Boarded(OrtSession):
    def runner(self, feeds: Sequence[Tensors], cell: Cell) -> Callable[[int], Any]:
        run = super().runner(feeds, cell)
        if SHARED not in os.environ:
            return run

        made: dict[
            int, Any
        ] = {}  # so that a run takes what it holds the file for, and little else

        def run_in_turn(i: int) -> Any:
            with contextlib.closing(_Lock(os.environ[SHARED])):
                time.sleep(HELD_S)
            time.sleep(FREE_S)
            if i not in made:
                made[i] = run(i)
            return made[i]

        return run_in_turn


class _Lock:
    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDONLY)
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def close(self) -> None:
        os.close(self._fd)


def open_session(cell: Cell, launch_dir: Path) -> AbstractContextManager[Session]:
    return _Boarded.open(cell, launch_dir, SessionSpec(cell.model.path, ((cell.provider, {}),)))


def missing(found: ProbeResult) -> str:
    return "" if found.gpus else "no device"


BACKEND: Backend = replace(
    cpu.BACKEND,
    targets=(TargetSpec("Boarded", Precision.FP32, ("boarded",)),),
    open=open_session,
    missing=missing,
    reference=False,
    needs_gpu=True,
)
