"""Heads that look at regions of a map: pooled by bilinear sampling, boxes in stages, masks."""

import torch
from torch import nn
from torch.nn import functional

from setup_models.networks.retinanet import WIDTH


def pool_regions(
    features: torch.Tensor, boxes: torch.Tensor, side: float, bins: int
) -> torch.Tensor:
    """A `bins` x `bins` patch of every box (image, box, 4), in pixels of an image of this side."""
    batch, count = boxes.shape[0], boxes.shape[1]
    steps = (torch.arange(bins, device=boxes.device, dtype=boxes.dtype) + 0.5) / bins
    x = boxes[..., 0:1] + (boxes[..., 2:3] - boxes[..., 0:1]) * steps
    y = boxes[..., 1:2] + (boxes[..., 3:4] - boxes[..., 1:2]) * steps
    grid = torch.stack(
        (
            x[:, :, None, :].expand(batch, count, bins, bins),
            y[:, :, :, None].expand(batch, count, bins, bins),
        ),
        -1,
    )
    grid = (grid * (2.0 / side) - 1.0).reshape(batch, count * bins, bins, 2).to(features.dtype)
    pooled = functional.grid_sample(features, grid, align_corners=False)
    patches = pooled.reshape(batch, features.shape[1], count, bins, bins).transpose(1, 2)
    return patches.flatten(0, 1)


class Cascade(nn.Module):  # type: ignore[misc]
    """Boxes refined and scored, stage after stage."""

    def __init__(self, stages: int, classes: int = 20) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Flatten(), nn.Linear(WIDTH * 49, 256), nn.ReLU(), nn.Linear(256, classes + 4)
            )
            for _ in range(stages)
        )
        self.classes = classes

    def forward(
        self, features: torch.Tensor, boxes: torch.Tensor, side: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Boxes and scores after the last stage."""
        scores = boxes[..., :1]
        for stage in self.stages:
            told = stage(pool_regions(features, boxes, float(side), 7)).float()
            told = told.reshape(boxes.shape[0], boxes.shape[1], self.classes + 4)
            scores = torch.sigmoid(told[..., : self.classes])
            sides = boxes[..., 2:] - boxes[..., :2]
            shift = torch.tanh(told[..., self.classes :]) * 0.1
            boxes = boxes + shift * torch.cat((sides, sides), -1)
        return boxes, scores


class MaskHead(nn.Module):  # type: ignore[misc]
    """A 28x28 mask of every box."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU(),
            nn.ConvTranspose2d(WIDTH, WIDTH, 2, 2), nn.ReLU(), nn.Conv2d(WIDTH, 1, 1),
        )  # fmt: skip

    def forward(self, features: torch.Tensor, boxes: torch.Tensor, side: int) -> torch.Tensor:
        """Masks (image, box, 28, 28), each value in 0…1."""
        masks = torch.sigmoid(self.body(pool_regions(features, boxes, float(side), 14))).float()
        return masks.reshape(boxes.shape[0], boxes.shape[1], 28, 28)


def paste_masks(masks: torch.Tensor, boxes: torch.Tensor, side: int) -> torch.Tensor:
    """Masks of boxes put into an image of this side, 0 outside of their boxes."""
    count = boxes.shape[0] * boxes.shape[1]
    places = torch.arange(side, device=boxes.device, dtype=boxes.dtype) + 0.5
    flat = boxes.reshape(count, 4)
    x = (places - flat[:, 0:1]) / (flat[:, 2:3] - flat[:, 0:1]) * 2.0 - 1.0
    y = (places - flat[:, 1:2]) / (flat[:, 3:4] - flat[:, 1:2]) * 2.0 - 1.0
    grid = torch.stack(
        (x[:, None, :].expand(count, side, side), y[:, :, None].expand(count, side, side)), -1
    )
    pasted = functional.grid_sample(masks.reshape(count, 1, 28, 28), grid, align_corners=False)
    return pasted.reshape(boxes.shape[0], boxes.shape[1], side, side)
