"""The honest twin of ignores_inputs.py: what is fed is what is run."""

from collections.abc import Sequence
from dataclasses import replace

from perf.backends import TargetSpec, Tensors, cpu
from perf.backends._ort.session import OrtSession, SessionSpec
from perf.measure.timing import TimedRuns
from perf.schema.cell import Cell, Precision


class HeedsInputs(OrtSession):
    """ONNX Runtime's session on the CPU, but for this."""

    _fed: Tensors | None = None

    def infer(self, feed: Tensors) -> Tensors:
        """Right for any inputs."""
        self._fed = feed
        return super().infer(self._fed)

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
        """Of every set in turn."""
        return super().time(list(feeds), cell)


BACKEND = replace(
    cpu.BACKEND,
    targets=(TargetSpec("HeedsInputs", Precision.FP32),),
    open=lambda cell, folder: HeedsInputs.open(
        cell, folder, SessionSpec(cell.model.path, ((cpu.BACKEND.provider, {}),))
    ),
    reference=False,
)
