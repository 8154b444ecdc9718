"""Process-isolated benchmark and validation of ONNX models on execution providers."""

__version__ = "0.1.0"
