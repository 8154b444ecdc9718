"""An anchor-free detector that ends in NonMaxSuppression, so the number of its results is data.

The seeds of weights and pictures were chosen, for the set's own seed, so that no decision is close: every
score keeps a distance from the threshold, every overlap from the limit. Else two right engines could find
different boxes.
"""

from functools import partial
from itertools import pairwise

import numpy as np
import onnx
from onnx import TensorProto

from setup_models.generate import seeded
from setup_models.generate.graph import Graph
from setup_models.generate.made import Made

SIDE, CELLS, STRIDE, CLASSES = 256, 16, 16, 3
SCORE_LIMIT, OVERLAP_LIMIT, MOST = 0.4, 0.45, 20
_CHANNELS = (3, 24, 48, 96, 96)
WEIGHT_SEED, PICTURE_SEEDS = 9, (6, 8)


def build(seed: int) -> Made:
    """Image [1, 3, 256, 256] in; boxes [k, 4] (y1 x1 y2 x2, pixels), scores [k], labels [k] out."""
    shape = (1, _CHANNELS[0], SIDE, SIDE)
    feeds = tuple(
        {"image": seeded.picture(seeded.stream(seed, "detector", "set", number), shape)}
        for number in PICTURE_SEEDS
    )
    return Made(_model(seed), feeds)


def _model(seed: int) -> onnx.ModelProto:
    graph = Graph("detector")
    convolution = partial(_convolution, graph, seed)
    x = graph.input("image", [1, _CHANNELS[0], SIDE, SIDE])
    for layer, pair in enumerate(pairwise(_CHANNELS)):
        convolved = convolution(f"backbone{layer}", x, pair, side=3, gain=1.6)
        x = graph.add("Relu", convolved)
    cells = CELLS * CELLS
    logits = convolution("class", x, (_CHANNELS[-1], CLASSES), gain=4.0, lift=-3.0)
    flat = graph.add("Reshape", logits, graph.integers(1, CLASSES, cells))
    scores = graph.add("Sigmoid", flat, out="all_scores")
    boxes = _boxes(graph, convolution("box", x, (_CHANNELS[-1], 4), gain=0.8))
    _suppressed(graph, boxes, scores)
    return graph.model()


def _convolution(
    graph: Graph,
    seed: int,
    name: str,
    x: str,
    channels: tuple[int, int],
    *,
    side: int = 1,
    gain: float,
    lift: float = 0.0,
) -> str:
    """Halving with side 3, pointwise with side 1; biases lie around `lift`."""
    fewer, more = channels
    rng = seeded.stream(seed, "detector", WEIGHT_SEED, name)
    shape, fan_in = (more, fewer, side, side), fewer * side * side
    array = seeded.weights(rng, shape, fan_in=fan_in, gain=gain, centre_axes=(1, 2, 3))
    weight = graph.parameter(f"{name}.weight", array)
    drawn = seeded.uniform(rng, (more,), lift - 0.1, lift + 0.1)
    step, pad = (2, 1) if side == 3 else (1, 0)
    return graph.add(
        "Conv",
        x,
        weight,
        graph.parameter(f"{name}.bias", drawn),
        strides=[step] * 2,
        pads=[pad] * 4,
    )


def _boxes(graph: Graph, raw: str) -> str:
    """Distances from each cell's centre to its box's sides, in strides, as corners [1, 256, 4]."""
    flat = graph.add("Reshape", raw, graph.integers(1, 4, CELLS * CELLS))
    distance = graph.add("Transpose", graph.add("Softplus", flat), perm=[0, 2, 1])
    outward = np.array([-STRIDE, -STRIDE, STRIDE, STRIDE], np.float32) * np.float32(2)
    offset = graph.add("Mul", distance, graph.parameter("outward", outward))
    middle = (np.arange(CELLS, dtype=np.float32) + np.float32(0.5)) * STRIDE
    y, x = (axis.ravel() for axis in np.meshgrid(middle, middle, indexing="ij"))
    centres = graph.parameter("centres", np.stack([y, x, y, x], axis=-1)[np.newaxis])
    return graph.add("Add", offset, centres, out="all_boxes")


def _suppressed(graph: Graph, boxes: str, scores: str) -> None:
    kept = graph.add(
        "NonMaxSuppression",
        boxes,
        scores,
        graph.integers(MOST),
        graph.parameter("overlap_limit", np.array([OVERLAP_LIMIT], np.float32)),
        graph.parameter("score_limit", np.array([SCORE_LIMIT], np.float32)),
        out="kept",
    )
    labels = graph.add("Gather", kept, graph.parameter("label", np.array(1, np.int64)), axis=1)
    places = graph.add("Gather", kept, graph.parameter("place", np.array(2, np.int64)), axis=1)
    only = graph.add("Squeeze", boxes, graph.integers(0))
    graph.add("Gather", only, places, axis=0, out="boxes")
    graph.add("GatherND", scores, kept, out="scores")
    graph.add("Identity", labels, out="labels")
    graph.output("boxes", ["found", 4])
    graph.output("scores", ["found"])
    graph.output("labels", ["found"], TensorProto.INT64)
