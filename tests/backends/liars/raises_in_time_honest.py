"""The honest twin of raises_in_time.py: time() gives what it owes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from perf.backends import Session, TargetSpec, Tensors, cpu
from perf.backends._ort.session import OrtSession, SessionSpec, create_session
from perf.measure.timing import TimedRuns
from perf.schema.cell import Cell, Precision


class Times(OrtSession):
    """ONNX Runtime's session on the CPU, but for this."""

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
        """It can."""
        return super().time(feeds, cell)


@contextmanager
def open_session(cell: Cell, launch_dir: Path) -> Iterator[Session]:
    """As the CPU's own backend opens it."""
    spec = SessionSpec(cell.model.path, ((cpu.BACKEND.provider, {}),))
    yield Times(create_session(cell, spec), cell, launch_dir, spec)


BACKEND = replace(
    cpu.BACKEND,
    targets=(TargetSpec("Times", Precision.FP32),),
    open=open_session,
    reference=False,
    default=False,
)
