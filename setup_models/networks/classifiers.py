"""VGG16, DenseNet201 and a CRNN in their published sizes, with weights drawn from a seed."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)  # 0: a pool
DENSENET201 = (6, 12, 48, 32)


def vgg16() -> tuple[nn.Module, Any]:
    """VGG16 at 224x224: 138 million weights."""
    layers: list[nn.Module] = []
    channels = 3
    for width in VGG16:
        if width:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        else:
            layers.append(nn.MaxPool2d(2))
    head = [
        nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(512 * 49, 4096), nn.ReLU(),
        nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000),
    ]  # fmt: skip
    return scaled(nn.Sequential(*layers, *head)), (torch.rand(1, 3, 224, 224),)


def densenet201() -> tuple[nn.Module, Any]:
    """DenseNet201 at 224x224."""
    return scaled(DenseNet(DENSENET201)), (torch.rand(1, 3, 224, 224),)


def crnn() -> tuple[nn.Module, Any]:
    """A CRNN on lines of text of 32x100."""
    return scaled(Crnn()), (torch.rand(1, 1, 32, 100),)


class DenseNet(nn.Module):  # type: ignore[misc]
    """Dense blocks, each layer fed by all before it."""

    def __init__(self, blocks: Sequence[int], growth: int = 32) -> None:
        super().__init__()
        width = 2 * growth
        layers: list[nn.Module] = [
            nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
        ]  # fmt: skip
        for number, count in enumerate(blocks):
            for _ in range(count):
                layers.append(DenseLayer(width, growth))
                width += growth
            layers += [nn.BatchNorm2d(width), nn.ReLU()]
            if number < len(blocks) - 1:
                layers += [nn.Conv2d(width, width // 2, 1, bias=False), nn.AvgPool2d(2)]
                width //= 2
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(width, 1000)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Class scores."""
        return self.head(self.features(image).mean((2, 3)))


class DenseLayer(nn.Module):  # type: ignore[misc]
    """A bottleneck whose result is put beside its input."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 4 * growth, 1, bias=False),
            nn.BatchNorm2d(4 * growth), nn.ReLU(), nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The input and what this layer adds."""
        return torch.cat((x, self.body(x)), 1)


class Crnn(nn.Module):  # type: ignore[misc]
    """Convolutions, two bidirectional LSTMs over the columns, scores of characters."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        pools = {0: (2, 2), 1: (2, 2), 3: (2, 1), 5: (2, 1)}
        for number, width in enumerate((64, 128, 256, 256, 512, 512)):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
            if number in pools:
                layers.append(nn.MaxPool2d(pools[number]))
        self.features = nn.Sequential(*layers, nn.Conv2d(512, 512, 2), nn.ReLU())
        self.recurrent = nn.LSTM(512, 256, num_layers=2, bidirectional=True)
        self.head = nn.Linear(512, 37)

    def forward(self, line: torch.Tensor) -> torch.Tensor:
        """Scores of 37 characters for each column."""
        columns = functional.relu(self.features(line)).squeeze(2).permute(2, 0, 1)
        states, _ = self.recurrent(columns)
        return self.head(states)


def scaled(module: nn.Module) -> nn.Module:
    """Weights drawn so that activations neither vanish nor grow with depth: fp16 has to hold them."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Conv3d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return module.eval()
