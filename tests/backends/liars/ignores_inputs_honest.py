"""The honest twin of ignores_inputs.py: what is fed is what is run."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from perf.backends import Session, TargetSpec, Tensors, cpu
from perf.backends._ort.session import OrtSession, SessionSpec, create_session
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


@contextmanager
def open_session(cell: Cell, launch_dir: Path) -> Iterator[Session]:
    """As the CPU's own backend opens it."""
    spec = SessionSpec(cell.model.path, ((cpu.BACKEND.provider, {}),))
    yield HeedsInputs(create_session(cell, spec), cell, launch_dir, spec)


BACKEND = replace(
    cpu.BACKEND,
    targets=(TargetSpec("HeedsInputs", Precision.FP32),),
    open=open_session,
    reference=False,
    default=False,
)
