"""Process-isolated benchmark and validation of ONNX models on execution providers."""
