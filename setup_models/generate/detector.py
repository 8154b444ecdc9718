"""An anchor-free detector that ends in NonMaxSuppression, so the number of its results is data.

The seeds of weights and pictures were chosen so that no decision is close, no score to the threshold and no
overlap to the limit: else two right engines could find different boxes.
"""

from itertools import pairwise

import numpy as np
import onnx
from onnx import TensorProto

from setup_models.generate import seeded
from setup_models.generate.graph import GeneratedModel, Graph

SIDE, CELLS, STRIDE, CLASSES = 256, 16, 16, 3
SCORE_LIMIT, OVERLAP_LIMIT, MOST = 0.4, 0.45, 20
_CHANNELS = (3, 24, 48, 96, 96)
WEIGHT_SEED, PICTURE_SEEDS = 9, (6, 8)


def build(seed: int) -> GeneratedModel:
    """Image [1, 3, 256, 256] in; boxes [k, 4] (y1 x1 y2 x2, pixels), scores [k], labels [k] out."""
    shape = (1, _CHANNELS[0], SIDE, SIDE)
    feeds = tuple(
        {"image": seeded.picture(seeded.stream(seed, "detector", "set", number), shape)}
        for number in PICTURE_SEEDS
    )
    return GeneratedModel(_model(seed), feeds)


def _model(seed: int) -> onnx.ModelProto:
    graph = Graph("detector")

    def convolution(name: str, x: str, fewer: int, more: int, gain: float, lift: float) -> str:
        """Halving with side 3 in the backbone, else pointwise; biases lie around `lift`."""
        side, step, pad = (3, 2, 1) if name.startswith("backbone") else (1, 1, 0)
        rng = seeded.stream(seed, "detector", WEIGHT_SEED, name)
        shape, fan_in = (more, fewer, side, side), fewer * side * side
        array = seeded.weights(rng, shape, fan_in=fan_in, gain=gain, centre_axes=(1, 2, 3))
        weight = graph.parameter(f"{name}.weight", array)
        drawn = seeded.uniform(rng, (more,), lift - 0.1, lift + 0.1)
        bias = graph.parameter(f"{name}.bias", drawn)
        return graph.add("Conv", x, weight, bias, strides=[step] * 2, pads=[pad] * 4)

    x = graph.input("image", [1, _CHANNELS[0], SIDE, SIDE])
    for layer, pair in enumerate(pairwise(_CHANNELS)):
        x = graph.add("Relu", convolution(f"backbone{layer}", x, *pair, gain=1.6, lift=0.0))
    logits = convolution("class", x, _CHANNELS[-1], CLASSES, gain=4.0, lift=-3.0)
    flat = graph.add("Reshape", logits, graph.integers(1, CLASSES, CELLS * CELLS))
    scores = graph.add("Sigmoid", flat, out="all_scores")
    boxes = _boxes(graph, convolution("box", x, _CHANNELS[-1], 4, gain=0.8, lift=0.0))
    _suppress(graph, boxes, scores)
    return graph.model()


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


def _suppress(graph: Graph, boxes: str, scores: str) -> None:
    limits = {"overlap_limit": OVERLAP_LIMIT, "score_limit": SCORE_LIMIT}
    most = graph.integers(MOST)
    bounds = [graph.parameter(k, np.array([v], np.float32)) for k, v in limits.items()]
    kept = graph.add("NonMaxSuppression", boxes, scores, most, *bounds, out="kept")
    labels = graph.add("Gather", kept, graph.parameter("label", np.array(1, np.int64)), axis=1)
    places = graph.add("Gather", kept, graph.parameter("place", np.array(2, np.int64)), axis=1)
    only = graph.add("Squeeze", boxes, graph.integers(0))
    graph.add("Gather", only, places, axis=0, out="boxes")
    graph.add("GatherND", scores, kept, out="scores")
    graph.add("Identity", labels, out="labels")
    graph.output("boxes", ["found", 4])
    graph.output("scores", ["found"])
    graph.output("labels", ["found"], TensorProto.INT64)
