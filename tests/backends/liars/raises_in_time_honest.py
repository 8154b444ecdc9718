"""The honest twin of raises_in_time.py: time() gives what it owes."""

from collections.abc import Sequence
from dataclasses import replace

from perf.backends import TargetSpec, Tensors, cpu
from perf.backends._ort.session import OrtSession, SessionSpec
from perf.measure.timing import TimedRuns
from perf.schema.cell import Cell, Precision


class Times(OrtSession):
    """ONNX Runtime's session on the CPU, but for this."""

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
        """It can."""
        return super().time(feeds, cell)


BACKEND = replace(
    cpu.BACKEND,
    targets=(TargetSpec("Times", Precision.FP32),),
    open=lambda cell, folder: Times.open(
        cell, folder, SessionSpec(cell.model.path, ((cpu.BACKEND.provider, {}),))
    ),
    reference=False,
)
