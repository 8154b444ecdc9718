"""The CPU execution provider of ONNX Runtime, which also makes the references."""

from perf.backends._ort.provider import provider_backend
from perf.backends._ort.session import ARENA, CPU

BACKEND = provider_backend(
    CPU,
    ("cpu", "ORT-CPUFp32"),
    "an environment with onnxruntime",
    lambda cell: {},
    reference=True,
    option_names=frozenset({ARENA}),
)
