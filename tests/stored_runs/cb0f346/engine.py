"""The backend with which these runs were made: it ends in the way that a cell's options ask for."""

import ctypes
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from perf.backends import Backend, DeviceMemoryExhausted, Found, TargetSpec, Tensors, Unsupported
from perf.core.cell import Cell, Precision
from perf.core.journal import Attested, Placement, Timed

MINE, CPU = "FakeExecutionProvider", "CPUExecutionProvider"


class _Session:
    cached: bool | None = None
    versions = {"fake-engine": "1.0"}

    def __init__(self, cell: Cell, launch: Path) -> None:
        self._cell = cell
        built = Path(cell.cache) / "engine" if cell.cache else launch / "engine"
        self.cached = built.exists()
        built.parent.mkdir(parents=True, exist_ok=True)
        built.write_text("built")

    def infer(self, feed: Tensors) -> Tensors:
        how = self._cell.options.get("how", "")
        if how == "segfault":
            ctypes.string_at(0)
        if how == "raise":
            raise RuntimeError("the engine\nrefuses")
        if how == "oom":
            raise DeviceMemoryExhausted("CUDA out of memory")
        if how == "hang":
            time.sleep(3600)
        return {"y": np.maximum(feed["x"], 0)}

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> Timed:
        begun, samples = time.monotonic(), []
        for _ in range(cell.protocol.runs or 20):
            began = time.monotonic_ns()
            time.sleep(0.1)  # long enough to be seen by who samples the board
            samples.append(time.monotonic_ns() - began)
        n = len(samples)
        return Timed(
            tuple(samples), cell.io.value, len(feeds), 1, 60, 1000, 0, True, begun, time.monotonic(),
            gpu_only=True,
            parts_ns={"h2d": (1000,) * n, "compute": (900_000,) * n, "d2h": (2000,) * n},
        )

    def placement(self) -> Placement | None:
        mine = 0 if self._cell.options.get("how") == "fall_back" else 2
        return Placement(
            "graph_assignment", {MINE: mine, CPU: 3 - mine},
            {MINE: {"Relu": mine}, CPU: {"Shape": 3 - mine}}, {MINE: 1, CPU: 1},
            {MINE: 80.5, CPU: 20.0}, {MINE: (mine,)}, {MINE: {"0": 80.5}},
        )

    def attested(self) -> Attested | None:
        if self._cell.target.precision is Precision.FP32:
            return None
        share = 0.01 if self._cell.options.get("how") == "stay_fp32" else 0.9
        return Attested("fp16", share, share, "the fake engine's word", "weakly typed builder flag")


@contextmanager
def _open(cell: Cell, launch: Path) -> Iterator[_Session]:
    if cell.options.get("how") == "decline":
        raise Unsupported("not today")
    yield _Session(cell, launch)


def _missing(_found: Found) -> str:
    return ""


BACKEND = Backend(
    targets=(TargetSpec(MINE, Precision.FP32, ("fake",)), TargetSpec(MINE, Precision.FP16, ("fake:fp16",))),
    open=_open,
    missing=_missing,
    provider=MINE,
    builds=True,
    needs_gpu=True,
)
