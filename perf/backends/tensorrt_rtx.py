"""TensorRT for RTX: engines built ahead of time by the same parser and builder, run on RTX boards."""

from contextlib import AbstractContextManager
from pathlib import Path

from perf.backends import Backend, ProbeResult, Session, TargetSpec
from perf.backends._tensorrt import python_session
from perf.schema.cell import Cell, Precision

# compute capabilities of which it was seen to build an engine, and to refuse to load it
REFUSED = frozenset({"9.0"})
PACKAGES = ("tensorrt_rtx", "tensorrt_rtx_bindings")


def open_session(cell: Cell, launch_dir: Path) -> AbstractContextManager[Session]:
    """Build or load the engine; raises Unsupported without the package or a device."""
    return python_session.open_session(cell, launch_dir, PACKAGES)


def missing(found: ProbeResult) -> str:
    """It needs its own package; whether the board serves it is looked at when cells are planned."""
    if any(v.startswith(("tensorrt-rtx", "tensorrt_rtx")) for v in found.versions):
        return ""
    return (
        "no TensorRT for RTX there; it needs tensorrt-rtx-cu13-bindings==1.7.1.116, "
        "tensorrt-rtx-cu13-libs==1.7.1.116 and cuda-bindings==13.5.0"
    )


def refuse_device(compute_capability: str) -> str:
    """Why a device is none that engines load on; "" where that is not known."""
    if compute_capability not in REFUSED:
        return ""
    return (
        f"TensorRT for RTX loads no engine on a device of compute capability {compute_capability}: "
        "it serves RTX boards; TensorRT itself serves this one (-e trt)"
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
    unfit_for=refuse_device,
    half_artefact=True,  # strongly typed, as TensorRT 11: half precision is the model's own
    options_flag="trt_ep_options",
    takes_profiles=True,
    default=False,  # runs on RTX boards only, which is not known before it is tried
)
