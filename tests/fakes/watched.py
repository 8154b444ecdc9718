"""The CPU EP in a GPU's place: it runs between fixed buffers, and hands records to a stand-in for CUPTI."""

import ctypes
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from perf.backends import Backend, Session, TargetSpec, Tensors, cpu
from perf.backends._ort.graph_session import FixedBuffers, GraphSession
from perf.backends._ort.session import OrtSession, SessionSpec
from perf.measure import cupti
from perf.schema.cell import Cell, Precision

STALE = "WATCHED_STALE"  # a variable: inputs are copied in before the capture alone
UNCAPTURED = "WATCHED_UNCAPTURED"  # a variable: what ORT says where a capture fails
KERNELS_NS = "WATCHED_KERNELS_NS"  # a variable: how long each of a run's two kernels takes
LIBRARY = "libcupti.so.13"


class _Watched(OrtSession):
    def runner(self, feeds: Sequence[Tensors], cell: Cell) -> Callable[[int], Any]:
        run = super().runner(feeds, cell)
        if "stream" in cell.options:
            driver, stream = (
                ctypes.CDLL("libcuda.so.1"),
                ctypes.c_void_p(int(cell.options["stream"])),
            )

            def run_on_stream(i: int) -> Any:
                driver.work_on(stream)
                driver.work_on(stream)
                return run(i)

            return run_on_stream
        if not (each_ns := int(os.environ.get(KERNELS_NS, "0"))):
            return run
        library = ctypes.CDLL(LIBRARY)
        clock = [1_000_000]

        def watched(i: int) -> Any:
            for kind, took_ns in (
                (cupti.COPY, 100),
                (cupti.KERNEL, each_ns),
                (cupti.KERNEL, each_ns),
            ):
                library.work(head(kind, clock[0], clock[0] + took_ns))
                clock[0] += took_ns + 1000
            return run(i)

        return watched


class _Captured(_Watched, GraphSession):
    def _copy_in(self, buffers: FixedBuffers, arrays: Mapping[str, np.ndarray]) -> None:
        if STALE not in os.environ:
            super()._copy_in(buffers, arrays)

    def _capture(self, feed: Mapping[str, Any]) -> FixedBuffers:
        if UNCAPTURED in os.environ:
            self._session = _Uncaptured(self._session)
        return super()._capture(feed)


class _Uncaptured:
    """A session that runs, and cannot be captured."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run_with_iobinding(self, *_given: Any) -> None:
        raise RuntimeError(os.environ[UNCAPTURED])


def head(kind: int, start_ns: int, end_ns: int) -> bytes:
    """The beginning of a record as CUPTI 13 lays it out."""
    return struct.pack("<I12xQQ", kind, start_ns, end_ns)


def open_session(cell: Cell, launch_dir: Path) -> AbstractContextManager[Session]:
    kind = _Captured if cell.cuda_graph else _Watched
    return kind.open(cell, launch_dir, SessionSpec(cell.model.path, ((cell.provider, {}),)))


BACKEND: Backend = replace(
    cpu.BACKEND,
    targets=(TargetSpec("Watched", Precision.FP32, ("watched",)),),
    open=open_session,
    reference=False,
    cuda_graphs=True,
    watched=lambda _cell: True,
    stream_option="stream",
)
