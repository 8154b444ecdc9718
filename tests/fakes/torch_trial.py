"""The models of tests/backends/trial_cells.py as modules of PyTorch, of the same weights."""

from typing import Any

import torch
from torch import nn

from tests.models import noise


class Small(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(noise(100, (8, 4))))
        self.shift = nn.Parameter(torch.from_numpy(noise(101, (8,))))

    def forward(self, x: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, ...]:
        double = x + x
        return x @ self.weight, ids.clone(), double - self.shift, double


class Slow(nn.Module):  # type: ignore[misc]
    def __init__(self, size: int, draws: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(noise(100, (size, size)) / size**0.5))
        self.draws = draws
        torch.manual_seed(7)

    def forward(self, x: torch.Tensor) -> Any:
        for _ in range(8):
            x = x @ self.weight
        return (x, torch.rand(4)) if self.draws else x


def small() -> tuple[nn.Module, Any]:
    return Small(), (torch.rand(2, 8), torch.tensor([0, -5]))


def slow() -> tuple[nn.Module, Any]:
    return Slow(448), (torch.rand(256, 448),)


def drawing() -> tuple[nn.Module, Any]:
    return Slow(256, draws=True), (torch.rand(256, 256),)
