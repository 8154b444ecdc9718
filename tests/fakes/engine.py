"""A fake of an engine we do not own, that misbehaves at the stage and in the way a cell's options ask for."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from perf.backends import (
    Backend,
    DeviceMemoryExhausted,
    ProbeResult,
    TargetSpec,
    Tensors,
    Unsupported,
)
from perf.measure.timing import TimedRuns
from perf.schema.cell import Cell, Precision
from perf.schema.journal import Placement, PrecisionEvidence, Timed


def misbehave(how: str, launch: Path) -> None:
    """Do the worst; returns where there is nothing to do."""
    match how:
        case "segfault":
            ctypes.string_at(0)
        case "abort":
            os.abort()
        case "sigkill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit0":
            os._exit(0)
        case "exit3":
            os._exit(3)
        case "raise":
            raise RuntimeError("the engine\nrefuses")
        case "decline":
            raise Unsupported("not today")
        case "device_oom":
            raise DeviceMemoryExhausted("CUDA out of memory")
        case "memory_error":
            raise MemoryError("no more")
        case "hang":
            time.sleep(3600)
        case "hang_with_grandchildren":
            if os.fork() == 0:
                os.setsid()  # escapes the worker's group
                if os.fork():
                    (launch / "escaped").write_text(str(os.getpid()), encoding="ascii")
                time.sleep(3600)
            time.sleep(3600)
        case "leave_grandchild":
            if os.fork() == 0:
                os.setsid()
                (launch / "escaped").write_text(str(os.getpid()), encoding="ascii")
                time.sleep(3600)
            while not (launch / "escaped").exists():
                time.sleep(0.01)
        case "ignore_sigterm":
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            while True:
                time.sleep(1)
        case "hang_with_gil":
            while True:  # a signal ends one sleep early
                ctypes.PyDLL(None).sleep(3600)  # PyDLL keeps the GIL
        case "hog":
            kept = []
            while True:
                kept.append(np.ones(4 << 20))  # 32 MiB, touched
                time.sleep(0.01)
        case "flood":
            chunk = b"x" * (1 << 20)
            for _ in range(1200):
                os.write(1, chunk)
            time.sleep(
                0.8
            )  # the wrapper looks meanwhile: what it empties is the flood, not its end
            os.write(1, b"\nthe end of the flood\n")
        case "garbage_journal":
            with (launch / "journal.jsonl").open("ab") as f:
                f.write(b"\xff\xfe{]\n" * 10)
            os._exit(0)
        case "torn_journal":
            with (launch / "journal.jsonl").open("ab") as f:
                f.write(b'{"is":"Timed","samples')
            os.kill(os.getpid(), signal.SIGKILL)
        case "c_stdio":
            ctypes.CDLL(None).printf(b"said by C\n")
        case "stack_overflow":
            sys.setrecursionlimit(1 << 30)
            _overflow(ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p))


def _overflow(kind: type) -> None:
    """Recurse through C (qsort calling back into itself) until its stack is gone."""
    array = (ctypes.c_int * 2)(2, 1)
    qsort = ctypes.CDLL(None).qsort

    def compare(_a: int, _b: int) -> int:
        qsort(array, 2, 4, callback)
        return 0

    callback = kind(compare)
    qsort(array, 2, 4, callback)


class _Session:
    cached: bool | None = None

    def __init__(self, cell: Cell, launch: Path) -> None:
        self._cell, self._launch = cell, launch

    def _at(self, stage: str) -> None:
        if self._cell.options.get("where", "create") == stage:
            misbehave(self._cell.options["how"], self._launch)

    def infer(self, feed: Tensors) -> Tensors:
        """Doubles every input."""
        self._at("run")
        return {f"{k}_doubled": np.asarray(v) * 2 for k, v in feed.items()}

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
        """Really takes the time it reports."""
        self._at("time")
        samples = []
        for _ in range(cell.protocol.runs or 20):
            began = time.monotonic_ns()
            time.sleep(0.0002)
            samples.append(time.monotonic_ns() - began)
        timed = Timed(tuple(samples), cell.io.value, len(feeds), 0, 0, None, None, True)
        return TimedRuns(timed, no_outputs="it runs nothing while it times")

    def placement(self) -> Placement | None:
        """As many nodes on its own provider as options say."""
        self._at("place")
        mine = int(self._cell.options.get("mine", "3"))
        nodes = {"FakeExecutionProvider": mine, "CPUExecutionProvider": 3 - mine}
        return Placement("graph_assignment", nodes, {}, {k: 1 for k in nodes})

    def precision_evidence(self) -> PrecisionEvidence | None:
        """It says nothing of precision."""
        return None


@contextmanager
def _open(cell: Cell, launch: Path) -> Iterator[_Session]:
    session = _Session(cell, launch)
    session._at("create")
    yield session
    session._at("close")


def _missing(_found: ProbeResult) -> str:
    return ""


BACKEND = Backend(
    targets=(TargetSpec("FakeExecutionProvider", Precision.FP32, ("fake",)),),
    open=_open,
    missing=_missing,
    provider="FakeExecutionProvider",
)
