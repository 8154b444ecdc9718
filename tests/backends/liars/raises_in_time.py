"""Lies: it says that it can run here, and time() raises."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from perf.backends import Session, TargetSpec, Tensors, cpu
from perf.backends._ort.session import OrtSession, SessionSpec, create_session
from perf.measure.timing import TimedRuns
from perf.schema.cell import Cell, Precision


class RaisesInTime(OrtSession):
    """ONNX Runtime's session on the CPU, but for this."""

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
        """It cannot."""
        raise RuntimeError("no clock on this device")


@contextmanager
def open_session(cell: Cell, launch_dir: Path) -> Iterator[Session]:
    """As the CPU's own backend opens it."""
    spec = SessionSpec(cell.model.path, ((cpu.BACKEND.provider, {}),))
    yield RaisesInTime(create_session(cell, spec), cell, launch_dir, spec)


BACKEND = replace(
    cpu.BACKEND,
    targets=(TargetSpec("RaisesInTime", Precision.FP32),),
    open=open_session,
    reference=False,
    default=False,
)
