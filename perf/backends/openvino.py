"""The OpenVINO execution provider that is built into onnxruntime-openvino, on Intel's and other CPUs."""

from contextlib import AbstractContextManager
from pathlib import Path

from perf.backends import Backend, Found, Session, TargetSpec, _ort
from perf.core.cell import Cell, Precision

NAME = "OpenVINOExecutionProvider"
# OpenVINO's own default on a CPU that has bf16 is bf16; the target is fp32
DEFAULTS = {"device_type": "CPU", "precision": "FP32"}


def open_(cell: Cell, launch_dir: Path) -> AbstractContextManager[Session]:
    """A session on OpenVINO's CPU device, or on the `device_type` that the options name."""
    options = DEFAULTS | dict(cell.options)
    if cell.protocol.intra_op_threads:
        # ORT's own thread setting does not reach OpenVINO's pool
        options.setdefault("num_of_threads", str(cell.protocol.intra_op_threads))
    providers: _ort.Providers = ((NAME, options), ("CPUExecutionProvider", {}))
    return _ort.opened(cell, launch_dir, _ort.Opening(cell.model.path, providers))


def missing(found: Found) -> str:
    """It is built into a distribution of its own, which must be the only onnxruntime there."""
    return _ort.missing_provider(
        found, NAME, "an environment with onnxruntime-openvino and no other onnxruntime"
    )


BACKEND = Backend(
    targets=(TargetSpec(NAME, Precision.FP32, ("ov", "openvino", "ORT-OpenVINOFp32")),),
    open=open_,
    missing=missing,
    provider=NAME,
    preload=("numpy", "onnxruntime"),
    default_options=DEFAULTS,
)
