"""The Azure execution provider, which runs no node on this machine: the known case of a fallback."""

from contextlib import AbstractContextManager
from pathlib import Path

from perf.backends import Backend, Found, Session, TargetSpec, _ort
from perf.core.cell import Cell, Precision

NAME = "AzureExecutionProvider"


def open_(cell: Cell, launch_dir: Path) -> AbstractContextManager[Session]:
    """A session that lists Azure first; every node will be on the CPU, and the placement says so."""
    providers: _ort.Providers = ((NAME, cell.options), ("CPUExecutionProvider", {}))
    return _ort.opened(cell, launch_dir, _ort.Opening(cell.model.path, providers))


def missing(found: Found) -> str:
    """Microsoft's own wheels have it."""
    return _ort.missing_provider(found, NAME, "pip install onnxruntime")


BACKEND = Backend(
    targets=(TargetSpec(NAME, Precision.FP32, ("azure",)),),
    open=open_,
    missing=missing,
    provider=NAME,
    preload=("numpy", "onnxruntime"),
    default=False,
)
