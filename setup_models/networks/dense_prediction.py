"""A YOLOv5s-like detector's network and a SegResNet-like one, in their published widths, seeded."""

from typing import Any

import torch
from torch import nn

from setup_models.networks.classifiers import scaled


def yolov5s() -> tuple[nn.Module, Any]:
    """CSP backbone, path aggregation and three heads at 320x320: the network, without its NMS."""
    return scaled(Yolo()), (torch.rand(1, 3, 320, 320),)


def segresnet() -> tuple[nn.Module, Any]:
    """An encoder and decoder of residual 3D blocks on a volume of 48x48x48."""
    return scaled(SegResNet()), (torch.rand(1, 4, 48, 48, 48),)


def _conv(inside: int, outside: int, size: int = 1, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, size, stride, (size - 1) // 2, bias=False),
        nn.BatchNorm2d(outside), nn.SiLU(),
    )  # fmt: skip


class Csp(nn.Module):  # type: ignore[misc]
    """YOLOv5's C3: half of the channels through bottlenecks, half past them."""

    def __init__(self, inside: int, outside: int, count: int, *, shortcut: bool = True) -> None:
        super().__init__()
        half = outside // 2
        self.through, self.past = _conv(inside, half), _conv(inside, half)
        self.blocks = nn.ModuleList(
            nn.Sequential(_conv(half, half), _conv(half, half, 3)) for _ in range(count)
        )
        self.shortcut, self.last = shortcut, _conv(outside, outside)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Both halves, joined."""
        y = self.through(x)
        for block in self.blocks:
            y = y + block(y) if self.shortcut else block(y)
        return self.last(torch.cat((y, self.past(x)), 1))


class Yolo(nn.Module):  # type: ignore[misc]
    """YOLOv5 of width 0.5 and depth 0.33."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(3, 32, 6, 2), _conv(32, 64, 3, 2), Csp(64, 64, 1))
        self.third = nn.Sequential(_conv(64, 128, 3, 2), Csp(128, 128, 2))
        self.fourth = nn.Sequential(_conv(128, 256, 3, 2), Csp(256, 256, 3))
        self.fifth = nn.Sequential(_conv(256, 512, 3, 2), Csp(512, 512, 1))
        self.pool, self.before, self.after = (
            nn.MaxPool2d(5, 1, 2),
            _conv(512, 256),
            _conv(1024, 512),
        )
        self.up = nn.Upsample(scale_factor=2.0)
        self.reduce5, self.merge4 = _conv(512, 256), Csp(512, 256, 1, shortcut=False)
        self.reduce4, self.merge3 = _conv(256, 128), Csp(256, 128, 1, shortcut=False)
        self.down3, self.out4 = _conv(128, 128, 3, 2), Csp(256, 256, 1, shortcut=False)
        self.down4, self.out5 = _conv(256, 256, 3, 2), Csp(512, 512, 1, shortcut=False)
        self.heads = nn.ModuleList(nn.Conv2d(width, 255, 1) for width in (128, 256, 512))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Raw predictions at strides 8, 16 and 32."""
        three = self.third(self.stem(image))
        four = self.fourth(three)
        y = self.before(self.fifth(four))
        one = self.pool(y)
        two = self.pool(one)
        five = self.reduce5(self.after(torch.cat((y, one, two, self.pool(two)), 1)))
        middle = self.reduce4(self.merge4(torch.cat((self.up(five), four), 1)))
        small = self.merge3(torch.cat((self.up(middle), three), 1))
        medium = self.out4(torch.cat((self.down3(small), middle), 1))
        large = self.out5(torch.cat((self.down4(medium), five), 1))
        return self.heads[0](small), self.heads[1](medium), self.heads[2](large)


class Residual(nn.Module):  # type: ignore[misc]
    """Two normalised 3D convolutions and a way past them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(8, width), nn.ReLU(), nn.Conv3d(width, width, 3, padding=1, bias=False),
            nn.GroupNorm(8, width), nn.ReLU(), nn.Conv3d(width, width, 3, padding=1, bias=False),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The input, and what the block adds."""
        return x + 0.1 * self.body(x)


class SegResNet(nn.Module):  # type: ignore[misc]
    """Four levels of 16, 32, 64 and 128 channels, three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv3d(4, 16, 3, padding=1, bias=False)
        self.encoders = nn.ModuleList(
            nn.Sequential(*(Residual(w) for _ in range(n)))
            for w, n in ((16, 1), (32, 2), (64, 2), (128, 4))
        )
        self.downs = nn.ModuleList(nn.Conv3d(w, 2 * w, 3, 2, 1, bias=False) for w in (16, 32, 64))
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv3d(2 * w, w, 1, bias=False), nn.Upsample(scale_factor=2.0))
            for w in (64, 32, 16)
        )
        self.decoders = nn.ModuleList(Residual(w) for w in (64, 32, 16))
        self.head = nn.Sequential(nn.GroupNorm(8, 16), nn.ReLU(), nn.Conv3d(16, 3, 1))

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """Scores of three classes for each voxel."""
        x = self.encoders[0](self.first(volume))
        kept = [x]
        for i in range(3):
            x = self.encoders[i + 1](self.downs[i](x))
            kept.append(x)
        for i in range(3):
            x = self.decoders[i](self.ups[i](x) + kept[2 - i])
        return self.head(x)
