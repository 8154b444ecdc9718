"""Entry points for tests: small modules with seeded weights, and the inputs that they are called with."""

import os
from pathlib import Path
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


def other_weights() -> tuple[nn.Module, Any]:
    torch.manual_seed(1)
    return small_cnn()


class Nested(nn.Module):  # type: ignore[misc]
    """A list of images and a flag in, a list of dictionaries out, as detection models have it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(3))

    def forward(self, images: list[torch.Tensor], scale: float = 1.0) -> list[dict[str, Any]]:
        found = [torch.einsum("chw,c->hw", image, self.weight) * scale for image in images]
        return [{"scores": f.flatten(), "count": torch.tensor(f.numel())} for f in found]


def nested() -> tuple[nn.Module, Any]:
    return Nested(), ([torch.rand(3, 4, 5), torch.rand(3, 2, 2)], 0.5)


class Named(nn.Module):  # type: ignore[misc]
    """One tensor in, and out of it what detection models give: a list of dictionaries, of several types."""

    def forward(self, image: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        return [{"scores": row.sum(0), "labels": (row > 0.5).to(torch.int64)} for row in image]


def named() -> tuple[nn.Module, Any]:
    return Named(), (torch.rand(2, 3, 4),)


class Threads(nn.Module):  # type: ignore[misc]
    """How many threads computed a product that is large enough for several."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        product = x @ x
        count = sum(1 for _ in Path("/proc/self/task").iterdir())
        return product, torch.tensor([torch.get_num_threads(), count])


def threads() -> tuple[nn.Module, Any]:
    return Threads(), (torch.rand(512, 512),)


class Uncompiled(nn.Module):  # type: ignore[misc]
    """Nothing that a compiler may take."""

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sin()


def uncompiled() -> tuple[nn.Module, Any]:
    return Uncompiled(), (torch.rand(4),)


class Drifting(nn.Module):  # type: ignore[misc]
    """Its weights are other ones in every process."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(os.getpid())
        self.weight = nn.Parameter(torch.rand(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight


def drifting() -> tuple[nn.Module, Any]:
    return Drifting(), {"x": torch.rand(3)}


def no_inputs() -> nn.Module:
    return SmallCnn()
