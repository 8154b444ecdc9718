"""TensorRT for RTX: engines built ahead of time by the same parser and builder, run on RTX boards."""

from contextlib import AbstractContextManager
from pathlib import Path

from perf.backends import Backend, ProbeResult, Session, TargetSpec
from perf.backends._tensorrt import python_session
from perf.schema.cell import Cell, Precision

PACKAGES = ("tensorrt_rtx", "tensorrt_rtx_bindings")


def open_session(cell: Cell, launch_dir: Path) -> AbstractContextManager[Session]:
    """Build or load the engine; raises Unsupported without the package or a device."""
    return python_session.open_session(cell, launch_dir, PACKAGES)


def missing(found: ProbeResult) -> str:
    """It needs its own package; whether the board is an RTX is seen when a cell is opened."""
    if any(v.startswith(("tensorrt-rtx", "tensorrt_rtx")) for v in found.versions):
        return ""
    return (
        "no TensorRT for RTX there; it needs tensorrt-rtx-cu13-bindings==1.7.1.116, "
        "tensorrt-rtx-cu13-libs==1.7.1.116 and cuda-bindings==13.5.0"
    )


BACKEND = Backend(
    targets=(
        TargetSpec("TensorRT_RTX", Precision.FP32, ("rtx",)),
        TargetSpec("TensorRT_RTX", Precision.FP16, ("rtx_fp16",)),
    ),
    open=open_session,
    missing=missing,
    builds=True,
    needs_gpu=True,
    half_artefact=True,  # strongly typed, as TensorRT 11: half precision is the model's own
    options_flag="trt_ep_options",
    takes_profiles=True,
    default=False,  # runs on RTX boards only, which is not known before it is tried
)
