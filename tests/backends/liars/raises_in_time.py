"""Lies: it says that it can run here, and time() raises."""

from collections.abc import Sequence
from dataclasses import replace

from perf.backends import TargetSpec, Tensors, cpu
from perf.backends._ort.session import OrtSession, SessionSpec
from perf.measure.timing import TimedRuns
from perf.schema.cell import Cell, Precision


class RaisesInTime(OrtSession):
    """ONNX Runtime's session on the CPU, but for this."""

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
        """It cannot."""
        raise RuntimeError("no clock on this device")


BACKEND = replace(
    cpu.BACKEND,
    targets=(TargetSpec("RaisesInTime", Precision.FP32),),
    open=lambda cell, folder: RaisesInTime.open(
        cell, folder, SessionSpec(cell.model.path, ((cpu.BACKEND.provider, {}),))
    ),
    reference=False,
)
