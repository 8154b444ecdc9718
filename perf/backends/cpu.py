"""The CPU execution provider of ONNX Runtime, which also makes the references."""

from perf.backends._ort.provider import CPU, provider_backend

BACKEND = provider_backend(
    CPU, ("cpu", "ORT-CPUFp32"), "an environment with onnxruntime", reference=True
)
