"""Images and builds of ONNX Runtime; a regular package, which the index's `docker` cannot hide."""
