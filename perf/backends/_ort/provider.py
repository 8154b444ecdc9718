"""A backend that is one execution provider of ONNX Runtime, and the CPU for the nodes that it leaves."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from perf.backends import Backend, ProbeResult, Session, TargetSpec
from perf.backends._ort.session import CPU, OrtSession, SessionSpec
from perf.schema.cell import Cell, Precision


def provider_backend(
    name: str,
    aliases: tuple[str, ...],
    remedy: str,
    options: Callable[[Cell], Mapping[str, str]] = lambda cell: cell.options,
    **fields: Any,
) -> Backend:
    """A target in fp32 by the provider's name; `remedy` is where a user finds it. io=device is on the CPU."""

    def open_session(cell: Cell, launch_dir: Path) -> AbstractContextManager[Session]:
        chain = {CPU: options(cell)} if name == CPU else {name: options(cell), CPU: {}}
        spec = SessionSpec(cell.model.path, tuple(chain.items()))
        return OrtSession.open(cell, launch_dir, spec)

    return Backend(
        targets=(TargetSpec(name, Precision.FP32, aliases),),
        open=open_session,
        missing=lambda found: missing_provider(found, name, remedy),
        provider=name,
        preload=("numpy", "onnxruntime"),
        **fields,
    )


def missing_provider(found: ProbeResult, provider: str, remedy: str) -> str:
    """Why a provider cannot run where the probe looked, and what would fix it; "" where it can."""
    if provider in found.providers:
        return ""
    if error := found.errors.get("onnxruntime"):
        return f"onnxruntime cannot be imported there ({error}); it needs {remedy}"
    if not found.providers:
        return f"no onnxruntime there; it needs {remedy}"
    return f"the onnxruntime there is built without {provider}; it needs {remedy}"
