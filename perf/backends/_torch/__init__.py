"""Models in PyTorch's own forms, and the session that its engines share."""
