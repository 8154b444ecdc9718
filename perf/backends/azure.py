"""The Azure execution provider, which runs no node on this machine: the known case of a fallback."""

from contextlib import AbstractContextManager
from pathlib import Path

from perf.backends import Backend, ProbeResult, Session, TargetSpec
from perf.backends._ort import session as ort_session
from perf.schema.cell import Cell, Precision

NAME = "AzureExecutionProvider"


def open_session(cell: Cell, launch_dir: Path) -> AbstractContextManager[Session]:
    """A session that lists Azure first; every node will be on the CPU, and the placement says so."""
    providers: ort_session.Providers = ((NAME, cell.options), ("CPUExecutionProvider", {}))
    return ort_session.open_session(
        cell, launch_dir, ort_session.SessionSpec(cell.model.path, providers)
    )


def missing(found: ProbeResult) -> str:
    """Microsoft's own wheels have it."""
    return ort_session.missing_provider(found, NAME, "an environment with onnxruntime")


BACKEND = Backend(
    targets=(TargetSpec(NAME, Precision.FP32, ("azure",)),),
    open=open_session,
    missing=missing,
    provider=NAME,
    preload=("numpy", "onnxruntime"),
    default=False,
)
