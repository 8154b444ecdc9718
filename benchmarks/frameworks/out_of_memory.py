"""A model whose memory grows by 64 MiB an item, and whose inputs stay small: for sweeps until memory runs out."""

from typing import Any

import torch
from torch import nn

SIDE = 4096


class Outer(nn.Module):  # type: ignore[misc]
    """The mean of a matrix of 4096x4096 for each item: all at once on a GPU, one by one on a CPU."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A number for each item."""
        if x.is_cuda:
            return _mean(x)
        return torch.cat([_mean(one) for one in x.split(1)])


def _mean(x: torch.Tensor) -> torch.Tensor:
    return torch.relu(x.unsqueeze(2) * x.unsqueeze(1)).mean((1, 2))


def outer() -> tuple[nn.Module, Any]:
    """The entry point."""
    return Outer(), (torch.rand(1, SIDE),)
