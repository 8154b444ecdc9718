"""The CPU execution provider of ONNX Runtime, which also makes the references."""

from contextlib import AbstractContextManager
from pathlib import Path

from perf.backends import Backend, Found, Session, TargetSpec, _ort
from perf.core.cell import Cell, Precision

NAME = "CPUExecutionProvider"


def open_(cell: Cell, launch_dir: Path) -> AbstractContextManager[Session]:
    """A session on the CPU alone; io=device binds buffers of host memory once."""
    opening = _ort.Opening(cell.model.path, ((NAME, dict(cell.options)),))
    return _ort.opened(cell, launch_dir, opening)


def missing(found: Found) -> str:
    """Any build of ONNX Runtime has it."""
    return _ort.missing_provider(found, NAME, "pip install onnxruntime")


BACKEND = Backend(
    targets=(TargetSpec(NAME, Precision.FP32, ("cpu", "ORT-CPUFp32")),),
    open=open_,
    missing=missing,
    provider=NAME,
    preload=("numpy", "onnxruntime"),
    reference=True,
)
