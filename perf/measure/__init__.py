"""What is read while a model runs: time, tensors, placement, the precision of layers."""
