"""A model computed node by node, in an arithmetic that no engine offers for the whole of it."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from perf.conversion.cpu_reference import open_session, output_distance
from perf.conversion.graph_repair import all_graphs, read_names

Values: TypeAlias = dict[str, Any]  # arrays by name; lists for sequences
ONNX_DOMAINS = ("", "ai.onnx")
# A kernel of onnx.reference that differs by more, on the same inputs, follows another version of the op.
ANOTHER_FUNCTION = 1e-5
SMALL_ELEMENTS = 256  # kernels that insist on constant inputs read no more


class CannotEvaluate(Exception):
    """No result in this arithmetic: which node, and why."""


class Arithmetic(Protocol):
    """How values are carried from node to node, and how one node is computed."""

    def carry(self, array: Any) -> Any:
        """An input, weight or constant as this arithmetic holds it."""
        ...

    def compute(self, node: "Node", inputs: Sequence[Any]) -> Sequence[Any]:
        """The outputs of one node; raises CannotEvaluate."""
        ...


@dataclass
class Node:
    """One node of the main graph, with what it takes to run it alone."""

    proto: onnx.NodeProto
    names: tuple[str, ...]  # all that it reads, by its subgraphs too; "" for inputs left out
    model: onnx.ModelProto  # opsets and functions
    constants: Mapping[str, np.ndarray]
    read: frozenset[str]  # of its outputs, those that anything reads
    _sessions: dict[tuple[str, ...], Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """As a user finds it: its name, else what it makes."""
        return f"{self.proto.op_type} {self.proto.name or self.proto.output[0]!r}"

    @property
    def is_standard(self) -> bool:
        """Whether it is an op of ONNX itself."""
        return self.proto.domain in ONNX_DOMAINS

    @property
    def opset(self) -> int:
        """The version of its domain that the model imports."""
        named = {
            o.domain if o.domain != "ai.onnx" else "": o.version for o in self.model.opset_import
        }
        domain = "" if self.is_standard else self.proto.domain
        return int(named.get(domain, 1))

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute's value."""
        found = next((a for a in self.proto.attribute if a.name == name), None)
        return default if found is None else helper.get_attribute_value(found)

    def run_on_cpu_ep(self, inputs: Sequence[Any]) -> list[Any]:
        """Its outputs by the CPU EP, in the types of `inputs`; onnxruntime's errors come through."""
        fed = {n: x for n, x in zip(self.names, inputs, strict=True) if n and x is not None}
        fixed = {n: x for n, x in fed.items() if self._is_fixed(n, x)}
        kinds = tuple(f"{n}:{_kind(x)}" for n, x in fed.items())
        if kinds not in self._sessions:
            whole = self._alone(fed, fixed).SerializeToString()
            self._sessions[kinds] = open_session(whole, threads=1)
        session = self._sessions[kinds]
        feed = {n: x for n, x in fed.items() if n not in fixed}
        names = [o.name for o in session.get_outputs()]
        out = dict(zip(names, session.run(names, feed), strict=True))
        return [out.get(name) for name in self.proto.output]

    def run_by_reference(self, inputs: Sequence[Any]) -> list[Any]:
        """Its outputs by onnx.reference, in the types of `inputs`; its errors come through."""
        fed = {n: x for n, x in zip(self.names, inputs, strict=True) if n and x is not None}
        evaluator = ReferenceEvaluator(self._alone(fed, {}))
        with np.errstate(all="ignore"):
            made = dict(zip(evaluator.output_names, evaluator.run(None, fed), strict=True))
        return [made.get(name) for name in self.proto.output]

    def _is_fixed(self, name: str, value: Any) -> bool:
        return name in self.constants and getattr(value, "size", SMALL_ELEMENTS) < SMALL_ELEMENTS

    def _alone(self, fed: Values, fixed: Values) -> onnx.ModelProto:
        graph = helper.make_graph(
            [self.proto], "node",
            [_declare(n, x) for n, x in fed.items() if n not in fixed],
            [onnx.ValueInfoProto(name=n) for n in self.proto.output if n],
            [numpy_helper.from_array(np.asarray(x), n) for n, x in fixed.items()],
        )  # fmt: skip
        out = helper.make_model(
            graph, opset_imports=self.model.opset_import, functions=self.model.functions
        )
        out.ir_version = max(self.model.ir_version, 4)
        return out


class NodeEvaluator:
    """A whole model, its external data loaded, in one arithmetic."""

    def __init__(self, model: onnx.ModelProto, arithmetic: Arithmetic) -> None:
        self._arithmetic = arithmetic
        self._outputs = [o.name for o in model.graph.output]
        self._weights = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        self._nodes = list(_nodes(model, self._weights))
        self._last = _last_reads(self._nodes, self._outputs)

    def run(self, feed: Mapping[str, Any], deadline_s: float = float("inf")) -> Values:
        """The outputs by name; raises CannotEvaluate, also where time.monotonic() passes the deadline."""
        carry = self._arithmetic.carry
        values: Values = {n: carry(x) for n, x in {**self._weights, **feed}.items()}
        for i, node in enumerate(self._nodes):
            if time.monotonic() > deadline_s:
                raise CannotEvaluate(f"out of time at node {i + 1} of {len(self._nodes)}")
            inputs = [values.get(n) for n in node.names]
            with np.errstate(all="ignore"):
                made = self._arithmetic.compute(node, inputs)
            values.update((n, x) for n, x in zip(node.proto.output, made, strict=True) if n)
            for name in self._last.get(i, ()):
                values.pop(name, None)
        return {name: values[name] for name in self._outputs}


def check_kernel(node: Node, ours: Sequence[Any], theirs: Sequence[Any]) -> None:
    """Hold one node's outputs by two kernels against each other; raises CannotEvaluate where they differ."""
    for name, got, want in zip(node.proto.output, ours, theirs, strict=True):
        if name not in node.read or not all(isinstance(x, np.ndarray) for x in (got, want)):
            continue
        distance = output_distance(got, want)
        if distance is None or distance.relative > ANOTHER_FUNCTION:
            raise CannotEvaluate(
                f"onnx.reference computes {node.label} otherwise than onnxruntime"
            )


def _nodes(model: onnx.ModelProto, weights: Mapping[str, np.ndarray]) -> Iterator[Node]:
    frame = onnx.ModelProto(ir_version=model.ir_version)
    frame.opset_import.extend(model.opset_import)
    frame.functions.extend(model.functions)
    known = {
        *weights, *(v.name for v in model.graph.input), *(n for x in model.graph.node for n in x.output)
    }  # fmt: skip
    read = {o.name for o in model.graph.output}.union(*map(read_names, model.graph.node))
    for proto in model.graph.node:
        outer = sorted((read_names(proto) & known) - set(proto.input))
        mine = frozenset(proto.output) & read
        yield Node(proto, (*proto.input, *outer), frame, weights, mine)


def _last_reads(nodes: Sequence[Node], kept: Sequence[str]) -> dict[int, list[str]]:
    """For each node, the values that nothing reads after it."""
    last = {name: i for i, node in enumerate(nodes) for name in node.names if name}
    out: dict[int, list[str]] = {}
    for name, i in last.items():
        if name not in kept:
            out.setdefault(i, []).append(name)
    return out


def _declare(name: str, value: Any) -> onnx.ValueInfoProto:
    """A graph input of a value's type and rank, of any size."""
    if isinstance(value, list):
        element = helper.make_tensor_type_proto(
            _onnx_type(value[0]) if value else TensorProto.FLOAT, None
        )
        return helper.make_value_info(name, helper.make_sequence_type_proto(element))
    return helper.make_tensor_value_info(name, _onnx_type(value), [None] * np.ndim(value))


def _onnx_type(value: Any) -> int:
    array = np.asarray(value)
    if array.dtype.kind in "OUS":
        return int(TensorProto.STRING)
    return int(helper.np_dtype_to_tensor_dtype(array.dtype))


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return f"list of {_kind(value[0]) if value else 'nothing'}"
    return f"{np.asarray(value).dtype}{np.ndim(value)}"


def retype_bodies(proto: onnx.NodeProto | onnx.FunctionProto, before: int, after: int) -> None:
    """Turn one float type into another in the subgraphs of a node, or in a function, in place."""
    attributes = list(proto.attribute) if isinstance(proto, onnx.NodeProto) else []
    bodies: list[Any] = [g for a in attributes for g in (a.g, *a.graphs) if g.node or g.output]
    if isinstance(proto, onnx.FunctionProto):
        bodies = [proto]
    for graph in (g for body in bodies for g in all_graphs(body)):
        for tensor in getattr(graph, "initializer", ()):
            retype_tensor(tensor, before, after)
        for node in graph.node:
            retype_attributes(node, before, after)
        declared = (*getattr(graph, "input", ()), *getattr(graph, "output", ()), *graph.value_info)
        for value in (v for v in declared if not isinstance(v, str)):
            if value.type.tensor_type.elem_type == before:
                value.type.tensor_type.elem_type = after


def retype_attributes(node: onnx.NodeProto, before: int, after: int) -> None:
    """What a node is told to make, and the tensors that it holds."""
    for attribute in node.attribute:
        if attribute.name in {"to", "dtype"} and attribute.i == before:
            attribute.i = after
        if attribute.HasField("t"):
            retype_tensor(attribute.t, before, after)


def retype_tensor(tensor: onnx.TensorProto, before: int, after: int) -> None:
    """The same values in another float type, in place."""
    if tensor.data_type == before:
        values = numpy_helper.to_array(tensor).astype(helper.tensor_dtype_to_np_dtype(after))
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
