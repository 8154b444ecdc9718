"""The OpenVINO execution provider that is built into onnxruntime-openvino, on Intel's and other CPUs."""

from contextlib import AbstractContextManager
from pathlib import Path

from perf.backends import Backend, ProbeResult, Session, TargetSpec
from perf.backends._ort import session as ort_session
from perf.schema.cell import Cell, Precision

NAME = "OpenVINOExecutionProvider"
# OpenVINO's own default on a CPU that has bf16 is bf16; the target is fp32
DEFAULTS = {"device_type": "CPU", "precision": "FP32"}


def open_session(cell: Cell, launch_dir: Path) -> AbstractContextManager[Session]:
    """A session on OpenVINO's CPU device, or on the `device_type` that the options name."""
    options = DEFAULTS | dict(cell.options)
    if cell.protocol.intra_op_threads:
        # ORT's own thread setting does not reach OpenVINO's pool
        options.setdefault("num_of_threads", str(cell.protocol.intra_op_threads))
    providers: ort_session.Providers = ((NAME, options), ("CPUExecutionProvider", {}))
    return ort_session.open_session(
        cell, launch_dir, ort_session.SessionSpec(cell.model.path, providers)
    )


def missing(found: ProbeResult) -> str:
    """It is built into a distribution of its own, which must be the only onnxruntime there."""
    return ort_session.missing_provider(
        found, NAME, "an environment with onnxruntime-openvino and no other onnxruntime"
    )


BACKEND = Backend(
    targets=(TargetSpec(NAME, Precision.FP32, ("ov", "openvino", "ORT-OpenVINOFp32")),),
    open=open_session,
    missing=missing,
    provider=NAME,
    preload=("numpy", "onnxruntime"),
    default_options=DEFAULTS,
)
