"""Numbers that come out the same on every machine: integer draws, then arithmetic that IEEE 754 fixes.

No transcendental function and no reduction over floats is used, because their last bit depends on the
processor and on numpy's build; so a seed gives the same weights, byte for byte, everywhere.
"""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]

# standard deviation of an integer drawn uniformly from [-127, 127]: sqrt((255² - 1) / 12)
_STEP_STD = math.sqrt((255**2 - 1) / 12)


def stream(*name: object) -> np.random.Generator:
    """A generator of its own for this name, so that no draw depends on the order of others."""
    digest = hashlib.sha256("/".join(map(str, name)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


def uniform(rng: np.random.Generator, shape: Sequence[int], low: float, high: float) -> F32:
    """Float32 values on a grid of 2^16 steps in [low, high)."""
    steps = rng.integers(0, 1 << 16, size=tuple(shape), dtype=np.int64)
    return (low + steps * ((high - low) / (1 << 16))).astype(np.float32)


def weights(
    rng: np.random.Generator,
    shape: Sequence[int],
    *,
    fan_in: int,
    gain: float = 1.0,
    centre_axes: tuple[int, ...] | None = None,
) -> F32:
    """He-style uniform weights: standard deviation gain / sqrt(fan_in), each filter half centred on zero.

    Half the mean over `centre_axes`, which one filter spans, is taken away, exactly. With it all there, what
    ReLU leaves in all channels alike drowns what depends on the input; with none, rounding grows too.
    """
    steps = rng.integers(-127, 128, size=tuple(shape), dtype=np.int8)
    spread = gain / (_STEP_STD * math.sqrt(fan_in))
    if centre_axes is None:
        return (steps * spread).astype(np.float32)
    count = math.prod(shape[axis] for axis in centre_axes)
    total: I64 = steps.sum(axis=centre_axes, dtype=np.int64, keepdims=True)
    centred: F32 = ((steps - total / (2 * count)) * spread).astype(np.float32)
    return centred


def picture(rng: np.random.Generator, shape: Sequence[int]) -> F32:
    """An image-like batch [N, C, H, W]: patches at five scales and bright boxes, normalised like ImageNet.

    Values lie in about [-2, 2.4]; unlike white noise it has large areas, edges and colour.
    """
    batch, channels, height, width = shape
    canvas = np.zeros((batch, channels, height, width))
    for octave, share in ((56, 0.3), (28, 0.2), (14, 0.15), (7, 0.1), (1, 0.05)):
        rows, columns = -(-height // octave), -(-width // octave)
        coarse = rng.integers(0, 256, size=(batch, channels, rows, columns)) * (share / 255)
        canvas += coarse.repeat(octave, axis=2).repeat(octave, axis=3)[:, :, :height, :width]
    for image in canvas:
        for _ in range(4):
            top, left = int(rng.integers(0, height)), int(rng.integers(0, width))
            tall, wide = int(rng.integers(8, height // 2)), int(rng.integers(8, width // 2))
            colour = rng.integers(0, 256, size=(channels, 1, 1)) * (0.2 / 255)
            image[:, top : top + tall, left : left + wide] += colour
    normalised: F32 = ((canvas - 0.45) / 0.225).astype(np.float32)
    return normalised


def quarter_octave(value: float) -> float:
    """The power of 2^(1/4) nearest to a positive value: too coarse for an engine's last bits to move it."""
    whole, part = divmod(round(4 * math.log2(value)), 4)
    return math.ldexp(
        (1.0, 1.1892071150027210, 1.4142135623730951, 1.6817928305074290)[part], whole
    )
