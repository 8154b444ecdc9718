"""Lies: infer() returns constants."""

from dataclasses import replace

from perf.backends import TargetSpec, Tensors, cpu
from perf.backends._ort.session import OrtSession, SessionSpec
from perf.schema.cell import Precision


class Constants(OrtSession):
    """ONNX Runtime's session on the CPU, but for this."""

    def infer(self, feed: Tensors) -> Tensors:
        """Outputs of the right names, types and shapes."""
        return {name: array * 0 for name, array in super().infer(feed).items()}


BACKEND = replace(
    cpu.BACKEND,
    targets=(TargetSpec("Constants", Precision.FP32),),
    open=lambda cell, folder: Constants.open(
        cell, folder, SessionSpec(cell.model.path, ((cpu.BACKEND.provider, {}),))
    ),
    reference=False,
)
