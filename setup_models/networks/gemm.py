"""Large products of matrices, which come nearest to what a device can compute: a measured peak."""

from typing import Any

import torch
from torch import nn

CPU_SIDE, GPU_SIDE = 1024, 4096
PRODUCTS = 4  # one after another, in a run; perf/honesty/measured.py counts them


def gemm() -> tuple[nn.Module, Any]:
    """Products of square matrices."""
    side = GPU_SIDE if torch.cuda.is_available() else CPU_SIDE
    return Products(side), (torch.rand(side, side),)


class Products(nn.Module):  # type: ignore[misc]
    """A matrix times a weight, and again; numbers keep their size from one to the next."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(side, side) / side**0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The last product."""
        for _ in range(PRODUCTS):
            x = x @ self.weight
        return x
