"""Real network topologies from the onnx wheel, their constant weights replaced by seeded, calibrated ones.

The wheel's own weights, ConstantOfShape(0.02), give one output for every input. Plain random ones saturate
the softmax through fifty layers. So each layer's gain is set from what the layer really outputs on one image.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from perf.conversion.cpu_reference import open_session
from setup_models.generate import seeded
from setup_models.generate.graph import Array, Feed, GeneratedModel

Shapes = dict[str, tuple[int, ...]]
_LOGIT_STD = 1.5  # of the last layer over its classes: neither flat nor one-hot after a softmax
# (low, high) by operator and input index; values that a trained network might have
_RANGES = {
    ("Conv", 2): (-0.1, 0.1),
    ("BatchNormalization", 1): (0.75, 1.25),  # scale
    ("BatchNormalization", 2): (-0.25, 0.25),  # bias
    ("BatchNormalization", 3): (-0.1, 0.1),  # mean
    ("BatchNormalization", 4): (0.5, 1.5),  # variance
    ("Mul", 1): (0.75, 1.25),
    ("Add", 1): (-0.25, 0.25),
}
# scale of a residual branch's last batch norm: small as in trained networks; at 1, sixteen branches on end
# magnify rounding until half precision is wrong by several percent
_DAMPED = (0.2, 0.4)


def build(name: str, seed: int) -> GeneratedModel:
    """The model `light_<name>.onnx` of the onnx wheel with weights of its own, and two pictures."""
    graph, fixed, shapes = _stripped(_load(name))
    (image,) = [value for value in graph.input if value.name not in shapes]
    dims = [dim.dim_value for dim in image.type.tensor_type.shape.dim]

    def draw(*purpose: object) -> Feed:
        return {image.name: seeded.picture(seeded.stream(seed, name, *purpose), dims)}

    walk = _Calibration((seed, name), graph, shapes, dict(fixed))
    walk.run(draw("calibration"))
    parameters = walk.parameters
    del graph.initializer[:]
    graph.initializer.extend(numpy_helper.from_array(parameters[k], k) for k in sorted(parameters))
    keep = onnx.ValueInfoProto()
    keep.CopyFrom(image)
    del graph.input[:]
    graph.input.append(keep)  # alone: an initializer that is also an input cannot be folded
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=8)
    model.producer_name = "ep-perf"
    return GeneratedModel(model, (draw("set", 0), draw("set", 1)))


def _load(name: str) -> onnx.ModelProto:
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    return onnx.load(folder / f"light_{name}.onnx")


def _stripped(model: onnx.ModelProto) -> tuple[onnx.GraphProto, dict[str, Array], Shapes]:
    """The graph without ConstantOfShape nodes, its integer constants, and the shape of every parameter."""
    graph = model.graph
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    shapes = {name: array.shape for name, array in arrays.items()}
    fillers = [node for node in graph.node if node.op_type == "ConstantOfShape"]
    for node in fillers:
        shapes[node.output[0]] = tuple(int(size) for size in arrays[node.input[0]])
        graph.node.remove(node)
    used = {key for node in graph.node for key in node.input}
    fixed = {k: v for k, v in arrays.items() if k in used and v.dtype == np.int64}
    return graph, fixed, shapes


@dataclass
class _Calibration:
    """One walk over a graph, node by node, that invents each parameter where it is first used."""

    seed: tuple[object, ...]
    graph: onnx.GraphProto
    shapes: Shapes
    parameters: dict[str, Array]  # integer constants at first, everything in the end
    values: dict[str, Array] = field(default_factory=dict)

    def run(self, feed: Feed) -> None:
        """Fill `parameters` so that every layer's output has a standard deviation near 1."""
        self.values.update(feed)
        layers = [node for node in self.graph.node if node.op_type in ("Conv", "Gemm")]
        for node in self.graph.node:
            for place, key in enumerate(node.input):
                if key in self.shapes and key not in self.parameters:
                    self.parameters[key] = self._invent(key, *self._role(node, place))
            if node is layers[-1]:
                # what follows is linear in a positive gain only without a bias
                self.parameters[node.input[2]][...] = 0
            elif node.op_type in ("Conv", "Gemm"):
                self._scale(node.input[1], self._evaluate(node, bias=False).std())
            self.values[node.output[0]] = self._evaluate(node)
        tail = self.graph.node[-1]
        logits = tail.input[0] if tail.op_type == "Softmax" else tail.output[0]
        weight = layers[-1].input[1]
        while weight not in self.parameters:  # inception_v1 reshapes its last weight
            weight = next(node.input[0] for node in self.graph.node if weight in node.output)
        self._scale(weight, self.values[logits].std() / _LOGIT_STD)

    def _role(self, node: onnx.NodeProto, place: int) -> tuple[onnx.NodeProto, int]:
        """Node and input index that a parameter serves, seen through a node that reshapes it."""
        while node.op_type in ("Unsqueeze", "Reshape"):
            reshaped = node.output[0]
            node = next(user for user in self.graph.node if reshaped in user.input)
            place = list(node.input).index(reshaped)
        return node, place

    def _invent(self, key: str, user: onnx.NodeProto, place: int) -> Array:
        shape, operator = self.shapes[key], user.op_type
        rng = seeded.stream(*self.seed, key)
        if (operator, place) == ("Gemm", 2):
            return np.zeros(shape, np.float32)
        if operator in ("Conv", "Gemm") and place == 1:
            inputs = tuple(range(1, len(shape))) if operator == "Conv" else (len(shape) - 1,)
            # a depthwise filter keeps its mean: centred, sixteen in a row would pass edges only
            centred = inputs if shape[inputs[0]] > 1 else None
            fan_in = math.prod(shape[axis] for axis in inputs)
            return seeded.weights(rng, shape, fan_in=fan_in, centre_axes=centred)
        if (operator, place) == ("BatchNormalization", 1) and self._joins(user):
            return seeded.uniform(rng, shape, *_DAMPED)
        return seeded.uniform(rng, shape, *_RANGES[operator, place])

    def _joins(self, node: onnx.NodeProto) -> bool:
        """Whether this node ends a residual branch: it is the first term of a sum."""
        return any(u.op_type == "Sum" and u.input[0] == node.output[0] for u in self.graph.node)

    def _scale(self, key: str, spread: float) -> None:
        gain = seeded.quarter_octave(1 / float(spread))
        self.parameters[key] = (self.parameters[key] * np.float64(gain)).astype(np.float32)

    def _evaluate(self, node: onnx.NodeProto, *, bias: bool = True) -> Array:
        """First output of one node, run by itself."""
        known = {k: self.values[k] if k in self.values else self.parameters[k] for k in node.input}
        if not bias and len(node.input) > 2:
            known[node.input[2]] = np.zeros_like(known[node.input[2]])
        alone = onnx.NodeProto()
        alone.CopyFrom(node)
        del alone.output[1:]
        inputs = [
            helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
            for k, v in known.items()
        ]
        outputs = [helper.make_tensor_value_info(node.output[0], onnx.TensorProto.FLOAT, None)]
        graph = helper.make_graph([alone], "node", inputs, outputs)
        opset = [helper.make_opsetid("", 9)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=8)
        result: Array = open_session(model.SerializeToString(), threads=1).run(None, known)[0]
        return result
