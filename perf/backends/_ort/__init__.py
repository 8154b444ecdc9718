"""Sessions of ONNX Runtime, shared by the backends whose engine it is."""
