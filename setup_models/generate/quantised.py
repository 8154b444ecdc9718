"""An int8 network in QDQ form: symmetric, weights per channel, activations per tensor."""

from itertools import pairwise

import numpy as np
import onnx

from setup_models.generate import seeded
from setup_models.generate.graph import GeneratedModel, Graph

_SIDE, _CLASSES = 128, 10
_CHANNELS = (3, 32, 64, 128)
# half of int8's range: u8 × s8 kernels without VNNI add two products in 16 bits and would saturate
_STEPS = 63
# quantisation steps of activations; a bit over what the sets' pictures need
_INPUT_STEP, _HIDDEN_STEP, _POOLED_STEP = 0.02, 0.04, 0.016


def build(seed: int) -> GeneratedModel:
    """Image [1, 3, 128, 128] in, logits [1, 10] out."""
    shape = (1, _CHANNELS[0], _SIDE, _SIDE)
    feeds = tuple(
        {"image": seeded.picture(seeded.stream(seed, "quantised", "set", number), shape)}
        for number in range(2)
    )
    return GeneratedModel(_model(seed), feeds)


def _model(seed: int) -> onnx.ModelProto:
    graph = Graph("quantised")
    x = _rounded(graph, graph.input("image", [1, _CHANNELS[0], _SIDE, _SIDE]), _INPUT_STEP)
    for layer, (fewer, more) in enumerate(pairwise(_CHANNELS)):
        weight = _weight(graph, seed, f"conv{layer}", (more, fewer, 3, 3), axis=0, gain=1.7)
        step = 2 if layer < 2 else 1
        convolved = graph.add("Conv", x, weight, strides=[step] * 2, pads=[1] * 4)
        x = _rounded(graph, graph.add("Relu", convolved), _HIDDEN_STEP)
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", x))
    x = _rounded(graph, pooled, _POOLED_STEP)
    weight = _weight(graph, seed, "head", (_CHANNELS[-1], _CLASSES), axis=1, gain=10.0)
    graph.add("MatMul", x, weight, out="logits")
    graph.output("logits", [1, _CLASSES])
    return graph.model()


def _rounded(graph: Graph, x: str, step: float) -> str:
    """QuantizeLinear and DequantizeLinear: x on the int8 grid of this step, zero point 0."""
    scale = graph.scalar(step)
    zero = graph.parameter("zero", np.array(0, np.int8))
    rounded = graph.add("QuantizeLinear", x, scale, zero)
    return graph.add("DequantizeLinear", rounded, scale, zero)


def _weight(
    graph: Graph, seed: int, name: str, shape: tuple[int, ...], *, axis: int, gain: float
) -> str:
    """An int8 weight with a scale of its own per output channel (`axis`)."""
    rng = seeded.stream(seed, "quantised", name)
    steps = rng.integers(-_STEPS, _STEPS + 1, size=shape, dtype=np.int8)
    fan_in = steps.size // shape[axis]
    # standard deviation of the steps: sqrt(((2 · 63 + 1)² - 1) / 12)
    spread = gain / (np.sqrt(((2 * _STEPS + 1) ** 2 - 1) / 12) * np.sqrt(fan_in))
    scales = seeded.uniform(rng, (shape[axis],), 0.5, 1.5) * np.float32(spread)
    parts = {"steps": steps, "scales": scales, "zeros": np.zeros(shape[axis], np.int8)}
    inputs = [graph.parameter(f"{name}.{part}", array) for part, array in parts.items()]
    return graph.add("DequantizeLinear", *inputs, axis=axis)
