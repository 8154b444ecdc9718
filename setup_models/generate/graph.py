"""A graph written top to bottom: each call appends one node and returns the name of its output."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from setup_models.generate.made import Array

OPSET = 17  # LayerNormalization came with it, and every engine in use knows it
IR = 8

Shape = Sequence[int | str | None]


class Graph:
    """Nodes, parameters, inputs and outputs of a model in the making."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._parameters: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, shape: Shape, kind: int = TensorProto.FLOAT) -> str:
        """Declare an input; strings in `shape` are dynamic dimensions."""
        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name: str, shape: Shape, kind: int = TensorProto.FLOAT) -> None:
        """Declare an output, made by a node with `out=name`."""
        self._outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def parameter(self, name: str, array: Array) -> str:
        """Add an initializer."""
        if name in self._parameters:
            raise ValueError(f"parameter {name} is already there")
        self._parameters[name] = numpy_helper.from_array(array, name)
        return name

    def integers(self, *values: int) -> str:
        """A shared int64 vector, for axes, shapes and indices."""
        name = "const_" + "_".join(map(str, values)).replace("-", "m")
        if name not in self._parameters:
            self.parameter(name, np.array(values, np.int64))
        return name

    def scalar(self, value: float) -> str:
        """A shared float32 scalar."""
        name = f"const_f{value!r}".replace("-", "m")
        if name not in self._parameters:
            self.parameter(name, np.array(value, np.float32))
        return name

    def add(self, operator: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        """Append a node with one output; the output is named `out`, or after the operator."""
        return self.add_many(operator, *inputs, outs=(out,), **attributes)[0]

    def add_many(
        self, operator: str, *inputs: str, outs: Sequence[str], **attributes: Any
    ) -> list[str]:
        """Append a node with several outputs; an empty name in `outs` gets one made up."""
        stem = f"{self._name}/{operator.lower()}_{len(self._nodes)}"
        names = [out or f"{stem}_{place}" for place, out in enumerate(outs)]
        node = helper.make_node(operator, list(inputs), names, name=stem, **attributes)
        self._nodes.append(node)
        return names

    def __contains__(self, parameter: str) -> bool:
        return parameter in self._parameters

    def body(self) -> onnx.GraphProto:
        """The graph by itself, for Loop and If."""
        return helper.make_graph(
            self._nodes,
            self._name,
            self._inputs,
            self._outputs,
            initializer=list(self._parameters.values()),
        )

    def model(self) -> onnx.ModelProto:
        """The whole as a model that every engine in use can load."""
        opset = [helper.make_opsetid("", OPSET)]
        made = helper.make_model(self.body(), opset_imports=opset, ir_version=IR)
        made.producer_name = "ep-perf"
        return made
