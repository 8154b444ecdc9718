"""The OpenVINO execution provider that is built into onnxruntime-openvino, on Intel's and other CPUs."""

from perf.backends._ort.provider import provider_backend
from perf.schema.cell import Cell

# OpenVINO's own default on a CPU that has bf16 is bf16; the target is fp32
DEFAULTS = {"device_type": "CPU", "precision": "FP32"}


def options(cell: Cell) -> dict[str, str]:
    """OpenVINO's CPU device, or the `device_type` that the cell names, with as many threads as it says."""
    threads = cell.protocol.intra_op_threads  # ORT's own setting does not reach OpenVINO's pool
    return DEFAULTS | ({"num_of_threads": str(threads)} if threads else {}) | dict(cell.options)


BACKEND = provider_backend(
    "OpenVINOExecutionProvider",
    ("ov", "openvino", "ORT-OpenVINOFp32"),
    "an environment with onnxruntime-openvino and no other onnxruntime",
    options,
    default_options=DEFAULTS,
)
