"""TensorRT by its Python package, and the TensorRT EP of ONNX Runtime."""
