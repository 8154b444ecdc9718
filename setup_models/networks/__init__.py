"""Architectures that published tables name, in PyTorch with seeded weights: entry points for any target."""
