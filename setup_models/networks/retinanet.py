"""A small RetinaNet in plain PyTorch that can be traced, scripted and exported: backbone, heads, NMS."""

import torch
from torch import nn

from setup_models.networks.classifiers import scaled

WIDTH = 64


class Block(nn.Module):  # type: ignore[misc]
    """A residual block that halves the size."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inside, outside, 3, 2, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(),
            nn.Conv2d(outside, outside, 3, 1, 1, bias=False), nn.BatchNorm2d(outside),
        )  # fmt: skip
        self.past = nn.Conv2d(inside, outside, 1, 2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Half the size."""
        return torch.relu(self.body(x) + self.past(x))


class Backbone(nn.Module):  # type: ignore[misc]
    """Maps of strides 8, 16 and 32 with as many channels each; without a pyramid, stride 16 alone."""

    def __init__(self, *, pyramid: bool = True) -> None:
        super().__init__()
        self.pyramid = pyramid
        self.stem = nn.Sequential(Block(3, 32), Block(32, 48))
        self.third, self.fourth, self.fifth = Block(48, 64), Block(64, 128), Block(128, 256)
        self.side3, self.side4, self.side5 = (nn.Conv2d(c, WIDTH, 1) for c in (64, 128, 256))
        self.up = nn.Upsample(scale_factor=2.0)
        scaled(self)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Maps, the finest first."""
        three = self.third(self.stem(images))
        four = self.fourth(three)
        if not self.pyramid:
            return [self.side4(four)]
        five = self.side5(self.fifth(four))
        middle = self.side4(four) + self.up(five)
        return [self.side3(three) + self.up(middle), middle, five]


class RetinaNet(nn.Module):  # type: ignore[misc]
    """Scores and boxes of an anchor at every place of every map, and the best of them after NMS."""

    def __init__(self, classes: int = 20, backbone: Backbone | None = None) -> None:
        super().__init__()
        self.backbone = Backbone() if backbone is None else backbone
        self.scores = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(WIDTH, classes, 3, padding=1),
        )
        self.boxes = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU(), nn.Conv2d(WIDTH, 4, 3, padding=1)
        )

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Boxes, scores and labels of 32 detections for every image."""
        scores, boxes = self.dense(self.backbone(images), images)
        return select(scores, boxes, 32)

    def dense(
        self, maps: list[torch.Tensor], images: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Every anchor's scores (image, anchor, class) and box (image, anchor, 4)."""
        scores: list[torch.Tensor] = []
        boxes: list[torch.Tensor] = []
        for one in maps:
            scores.append(self.scores(one).flatten(2).transpose(1, 2))
            stride = images.shape[-1] / one.shape[-1]
            moved = self.boxes(one).flatten(2).transpose(1, 2).float()
            boxes.append(_decoded(moved, one, stride))
        return torch.sigmoid(torch.cat(scores, 1)).float(), torch.cat(boxes, 1)


def _decoded(moved: torch.Tensor, one: torch.Tensor, stride: float) -> torch.Tensor:
    """Corners of anchors moved and scaled by what the head says."""
    rows = torch.arange(one.shape[2], device=one.device, dtype=torch.float32)
    columns = torch.arange(one.shape[3], device=one.device, dtype=torch.float32)
    y = ((rows + 0.5) * stride).unsqueeze(1).expand(one.shape[2], one.shape[3]).flatten()
    x = ((columns + 0.5) * stride).unsqueeze(0).expand(one.shape[2], one.shape[3]).flatten()
    side = 4.0 * stride  # of an anchor
    center_x = x + torch.tanh(moved[..., 0]) * side
    center_y = y + torch.tanh(moved[..., 1]) * side
    half_w = 0.5 * side * torch.exp(torch.tanh(moved[..., 2]))
    half_h = 0.5 * side * torch.exp(torch.tanh(moved[..., 3]))
    return torch.stack(
        (center_x - half_w, center_y - half_h, center_x + half_w, center_y + half_h), -1
    )


def select(
    scores: torch.Tensor, boxes: torch.Tensor, count: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The best `count` boxes of every image, overlapping ones scored down; shapes never depend on values."""
    best, labels = scores.max(-1)
    best, at = best.topk(count, 1)
    kept = boxes.gather(1, at.unsqueeze(-1).expand(-1, -1, 4))
    overlap = _iou(kept)
    above = torch.triu(torch.ones(count, count, device=scores.device), 1)
    worst = (overlap * above).max(1)[0]  # of each with those that score higher: matrix NMS
    return kept, best * torch.exp(-4.0 * worst * worst), labels.gather(1, at)


def _iou(boxes: torch.Tensor) -> torch.Tensor:
    low = torch.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    high = torch.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    sides = (high - low).clamp(min=0.0)
    shared = sides[..., 0] * sides[..., 1]
    areas = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    return shared / (areas[:, :, None] + areas[:, None, :] - shared + 1e-6)
