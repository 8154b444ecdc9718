"""A text recogniser: convolutions, two bidirectional LSTMs, a distribution over characters per column."""

from itertools import pairwise

import numpy as np
import onnx

from setup_models.generate import seeded
from setup_models.generate.graph import Array, Feed, GeneratedModel, Graph

_HEIGHT, _ALPHABET, _HIDDEN = 32, 37, 96
_CHANNELS = (1, 32, 64, 128, 128)
_WIDTHS = (192, 256)  # of the two sets' images; a dynamic dimension


def build(seed: int) -> GeneratedModel:
    """Grey images [b, 1, 32, w] in, probabilities [w/4, b, 37] out."""
    feeds = tuple(_feed(seed, number, width) for number, width in enumerate(_WIDTHS))
    return GeneratedModel(_model(seed), feeds)


def _feed(seed: int, number: int, width: int) -> Feed:
    """Dark strokes on light paper, in [-1, 1]: one line of text per image."""
    rng = seeded.stream(seed, "recogniser", "set", number)
    page = rng.integers(200, 256, size=(number + 1, 1, _HEIGHT, width))
    for line in page[:, 0]:
        for left in range(4, width - 12, 12):
            for _ in range(3):
                top, side = int(rng.integers(4, 20)), left + int(rng.integers(0, 7))
                tall, wide = ((3, 8), (12, 3))[int(rng.integers(0, 2))]
                line[top : top + tall, side : side + wide] = int(rng.integers(0, 60))
    return {"image": (page / 127.5 - 1).astype(np.float32)}


def _model(seed: int) -> onnx.ModelProto:
    graph = Graph("recogniser")
    x = graph.input("image", ["batch", 1, _HEIGHT, "width"])
    for layer, (fewer, more) in enumerate(pairwise(_CHANNELS)):
        shape = (more, fewer, 3, 3)
        rng = seeded.stream(seed, "recogniser", "conv", layer)
        array = seeded.weights(rng, shape, fan_in=9 * fewer, gain=1.5, centre_axes=(1, 2, 3))
        weight = graph.parameter(f"conv{layer}.weight", array)
        bias = graph.parameter(f"conv{layer}.bias", seeded.uniform(rng, (more,), -0.1, 0.1))
        x = graph.add("Relu", graph.add("Conv", x, weight, bias, pads=[1, 1, 1, 1]))
        step = [2, 2] if layer < 2 else [2, 1]  # columns are kept: they become time
        x = graph.add("MaxPool", x, kernel_shape=step, strides=step)
    rows, channels = _HEIGHT >> (len(_CHANNELS) - 1), _CHANNELS[-1]
    columns = graph.add("Transpose", x, perm=[3, 0, 1, 2])
    sequence = graph.add("Reshape", columns, graph.integers(0, 0, channels * rows))
    sequence = _bilstm(graph, seed, 0, sequence, channels * rows)
    sequence = _bilstm(graph, seed, 1, sequence, 2 * _HIDDEN)
    rng = seeded.stream(seed, "recogniser", "head")
    head = seeded.weights(rng, (2 * _HIDDEN, _ALPHABET), fan_in=2 * _HIDDEN, gain=4.0)
    logits = graph.add("MatMul", sequence, graph.parameter("head.weight", head))
    graph.add("Softmax", logits, axis=-1, out="characters")
    graph.output("characters", [None, "batch", _ALPHABET])
    return graph.model()


def _bilstm(graph: Graph, seed: int, layer: int, x: str, width: int) -> str:
    """[t, b, width] in, [t, b, 2 · hidden] out: both directions side by side."""

    def drawn(name: str, columns: int, gain: float) -> str:
        rng = seeded.stream(seed, "recogniser", "lstm", layer, name)
        array: Array = seeded.weights(rng, (2, 4 * _HIDDEN, columns), fan_in=columns, gain=gain)
        return graph.parameter(f"lstm{layer}.{name}", array)

    rng = seeded.stream(seed, "recogniser", "lstm", layer, "bias")
    bias = graph.parameter(f"lstm{layer}.bias", seeded.uniform(rng, (2, 8 * _HIDDEN), -0.2, 0.2))
    inputs = (x, drawn("input", width, 2.0), drawn("recurrent", _HIDDEN, 1.0), bias)
    both = graph.add("LSTM", *inputs, hidden_size=_HIDDEN, direction="bidirectional")
    beside = graph.add("Transpose", both, perm=[0, 2, 1, 3])
    return graph.add("Reshape", beside, graph.integers(0, 0, 2 * _HIDDEN))
