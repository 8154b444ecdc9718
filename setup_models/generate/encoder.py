"""A transformer encoder with dynamic batch and sequence and int64 inputs."""

import math

import numpy as np
import onnx
from onnx import TensorProto

from setup_models.generate import seeded
from setup_models.generate.graph import Feed, GeneratedModel, Graph

_HIDDEN, _HEADS, _INNER, _LAYERS = 128, 4, 512, 4
VOCABULARY, LONGEST, _CLASSES = 1000, 128, 8
_SETS = ((1, 96, 0), (4, 40, 7))  # batch, sequence, padding of the last row


def build(seed: int) -> GeneratedModel:
    """Token ids and attention mask in; hidden states [b, s, 128] and class logits [b, 8] out."""
    writer = _Writer(seed)
    feeds = tuple(_feed(seed, number, *dims) for number, dims in enumerate(_SETS))
    return GeneratedModel(writer.write(), feeds)


def _feed(seed: int, number: int, batch: int, sequence: int, padding: int) -> Feed:
    rng = seeded.stream(seed, "encoder", "set", number)
    ids = rng.integers(3, VOCABULARY, size=(batch, sequence), dtype=np.int64)
    mask = np.ones((batch, sequence), np.int64)
    if padding:
        ids[-1, -padding:] = 0
        mask[-1, -padding:] = 0
    return {"input_ids": ids, "attention_mask": mask}


class _Writer:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.graph = Graph("encoder")

    def write(self) -> onnx.ModelProto:
        graph = self.graph
        ids = graph.input("input_ids", ["batch", "sequence"], TensorProto.INT64)
        mask = graph.input("attention_mask", ["batch", "sequence"], TensorProto.INT64)
        hidden = self._embedded(ids)
        blocked = self._blocked(mask)
        for layer in range(_LAYERS):
            hidden = self._normed(
                f"layer{layer}.norm1", hidden, self._attended(layer, hidden, blocked)
            )
            hidden = self._normed(f"layer{layer}.norm2", hidden, self._widened(layer, hidden))
        graph.add("Identity", hidden, out="last_hidden_state")
        first = graph.add(
            "Gather", hidden, graph.parameter("first", np.array(0, np.int64)), axis=1
        )
        pooled = graph.add("Tanh", self._linear("pooler", first, _HIDDEN, _HIDDEN))
        logits = self._linear("classifier", pooled, _HIDDEN, _CLASSES)
        graph.add("Identity", logits, out="logits")
        graph.output("last_hidden_state", ["batch", "sequence", _HIDDEN])
        graph.output("logits", ["batch", _CLASSES])
        return graph.model()

    def _linear(self, name: str, x: str, fan_in: int, fan_out: int, gain: float = 1.0) -> str:
        rng = seeded.stream(self.seed, "encoder", name)
        weight = seeded.weights(rng, (fan_in, fan_out), fan_in=fan_in, gain=gain)
        bias = seeded.uniform(rng, (fan_out,), -0.1, 0.1)
        product = self.graph.add("MatMul", x, self.graph.parameter(f"{name}.weight", weight))
        return self.graph.add("Add", product, self.graph.parameter(f"{name}.bias", bias))

    def _normed(self, name: str, *terms: str) -> str:
        rng = seeded.stream(self.seed, "encoder", name)
        scale = self.graph.parameter(f"{name}.scale", seeded.uniform(rng, (_HIDDEN,), 0.75, 1.25))
        bias = self.graph.parameter(f"{name}.bias", seeded.uniform(rng, (_HIDDEN,), -0.1, 0.1))
        total = self.graph.add("Add", *terms)
        return self.graph.add("LayerNormalization", total, scale, bias, axis=-1, epsilon=1e-5)

    def _embedded(self, ids: str) -> str:
        graph = self.graph
        tables = {}
        for name, rows in (("token", VOCABULARY), ("position", LONGEST)):
            rng = seeded.stream(self.seed, "encoder", name)
            table = seeded.weights(rng, (rows, _HIDDEN), fan_in=1)
            tables[name] = graph.parameter(f"embedding.{name}", table)
        tokens = graph.add("Gather", tables["token"], ids)
        length = graph.add("Slice", graph.add("Shape", ids), graph.integers(1), graph.integers(2))
        positions = graph.add(
            "Slice", tables["position"], graph.integers(0), length, graph.integers(0)
        )
        return self._normed("embedding.norm", tokens, positions)

    def _blocked(self, mask: str) -> str:
        """Additive mask [b, 1, 1, s]: 0 where attended, -10,000 (an fp16 number) where padded."""
        graph = self.graph
        wide = graph.add("Unsqueeze", mask, graph.integers(1, 2))
        seen = graph.add("Cast", wide, to=TensorProto.FLOAT)
        return graph.add("Mul", graph.add("Sub", graph.scalar(1.0), seen), graph.scalar(-1e4))

    def _attended(self, layer: int, hidden: str, blocked: str) -> str:
        graph = self.graph
        split = graph.integers(0, 0, _HEADS, _HIDDEN // _HEADS)

        def heads(name: str, order: list[int], gain: float) -> str:
            flat = self._linear(f"layer{layer}.{name}", hidden, _HIDDEN, _HIDDEN, gain)
            return graph.add("Transpose", graph.add("Reshape", flat, split), perm=order)

        # a gain of 1.5 on both sides makes attention choose, where 1 would only average
        query = heads("query", [0, 2, 1, 3], 1.5)
        key = heads("key", [0, 2, 3, 1], 1.5)
        value = heads("value", [0, 2, 1, 3], 1.0)
        root = graph.scalar(math.sqrt(_HIDDEN / _HEADS))
        scores = graph.add("Div", graph.add("MatMul", query, key), root)
        share = graph.add("Softmax", graph.add("Add", scores, blocked), axis=-1)
        context = graph.add("Transpose", graph.add("MatMul", share, value), perm=[0, 2, 1, 3])
        joined = graph.add("Reshape", context, graph.integers(0, 0, _HIDDEN))
        return self._linear(f"layer{layer}.output", joined, _HIDDEN, _HIDDEN)

    def _widened(self, layer: int, hidden: str) -> str:
        """Two linear layers with an exact GELU, x/2 · (1 + erf(x/√2)), between them."""
        graph = self.graph
        wide = self._linear(f"layer{layer}.inner", hidden, _HIDDEN, _INNER)
        curve = graph.add("Erf", graph.add("Div", wide, graph.scalar(math.sqrt(2))))
        gated = graph.add("Mul", wide, graph.add("Add", curve, graph.scalar(1.0)))
        gelu = graph.add("Mul", gated, graph.scalar(0.5))
        return self._linear(f"layer{layer}.outer", gelu, _INNER, _HIDDEN)
