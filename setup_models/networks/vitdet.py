"""A vision transformer with a decoder of detection queries: a smaller model of DINO-ViTDet's kind."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

PATCH, WIDTH, DEPTH, HEADS, QUERIES = 16, 192, 6, 3, 100
SIDE = 256


class VitDet(nn.Module):  # type: ignore[misc]
    """Patches through an encoder, queries through a decoder: class scores and boxes of each query."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.places = nn.Parameter(
            torch.randn(1, (height // PATCH) * (width // PATCH), WIDTH) * 0.02
        )
        self.queries = nn.Parameter(torch.randn(1, QUERIES, WIDTH))
        self.encoder = nn.ModuleList(Layer() for _ in range(DEPTH))
        self.decoder = nn.ModuleList(Layer() for _ in range(2))
        self.scores, self.boxes = nn.Linear(WIDTH, 80), nn.Linear(WIDTH, 4)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores (image, query, class) and boxes in 0…1."""
        x = self.patches(image).flatten(2).transpose(1, 2) + self.places
        for layer in self.encoder:
            x = layer(x, x)
        q = self.queries.expand(image.shape[0], QUERIES, WIDTH)
        for layer in self.decoder:
            q = layer(q, x)
        return self.scores(q), torch.sigmoid(self.boxes(q))


class Layer(nn.Module):  # type: ignore[misc]
    """Attention of one sequence to another, and two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.to_q, self.to_k, self.to_v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.out = nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
        )

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """The sequence with what it attends to."""
        seen = self.before(context)
        q, k, v = (
            self._split(self.to_q(self.before(x))),
            self._split(self.to_k(seen)),
            self._split(self.to_v(seen)),
        )
        met = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(met.transpose(1, 2).flatten(2))
        return x + self.mlp(self.between(x))

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (HEADS, WIDTH // HEADS)).transpose(1, 2)


def build(height: int = SIDE, width: int = SIDE, weights: str = "") -> tuple[nn.Module, Any]:
    """The model for images of a size, with weights from a file of tensors, else drawn from the seed."""
    made = VitDet(height, width)
    if weights:
        try:
            state = torch.load(weights, map_location="cpu", weights_only=True)
        except Exception as e:  # of many types: a reader's, an archive's, an unpickler's
            raise ValueError(
                f"{weights} is no file of tensors alone: what else it holds may be code, and is not loaded"
            ) from e
        if not isinstance(state, dict) or "places" not in state:
            raise ValueError(
                f"{weights} holds no weights of this model: scripts.download_model makes some"
            )
        if state["places"].shape != made.places.shape:
            raise ValueError(
                f"{weights} holds weights for images of another size than {height}x{width}"
            )
        made.load_state_dict(state)
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))
    return made.eval(), (image,)


def vitdet() -> tuple[nn.Module, Any]:
    """The entry point of the usual size."""
    return build()


def save_weights(path: Path, height: int, width: int) -> None:
    """Weights drawn from seed 0, as a file of tensors."""
    torch.manual_seed(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(build(height, width)[0].state_dict(), path)
