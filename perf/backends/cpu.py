"""The CPU execution provider of ONNX Runtime, which also makes the references."""

from contextlib import AbstractContextManager
from pathlib import Path

from perf.backends import Backend, ProbeResult, Session, TargetSpec
from perf.backends._ort import session as ort_session
from perf.schema.cell import Cell, Precision

NAME = "CPUExecutionProvider"


def open_session(cell: Cell, launch_dir: Path) -> AbstractContextManager[Session]:
    """A session on the CPU alone; io=device binds buffers of host memory once."""
    spec = ort_session.SessionSpec(cell.model.path, ((NAME, dict(cell.options)),))
    return ort_session.open_session(cell, launch_dir, spec)


def missing(found: ProbeResult) -> str:
    """Any build of ONNX Runtime has it."""
    return ort_session.missing_provider(found, NAME, "an environment with onnxruntime")


BACKEND = Backend(
    targets=(TargetSpec(NAME, Precision.FP32, ("cpu", "ORT-CPUFp32")),),
    open=open_session,
    missing=missing,
    provider=NAME,
    preload=("numpy", "onnxruntime"),
    reference=True,
)
