"""Entry points for tests: small modules with seeded weights, and the inputs that they are called with."""

from typing import Any

import torch
from torch import nn


class SmallCnn(nn.Module):  # type: ignore[misc]
    """Two convolutions and a classifier; it gives its logits and its features."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(32, 10)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.body(image).mean((2, 3))
        return self.head(features), features


def small_cnn() -> tuple[nn.Module, Any]:
    return SmallCnn(), (torch.rand(2, 3, 32, 32),)
