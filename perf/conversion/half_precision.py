"""A converted fp16 model in two named arithmetics: the CPU EP computes it in fp32 and drops its Casts."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from perf.conversion.cpu_reference import output_distance
from perf.conversion.data_sets import Tensors
from perf.conversion.double_precision import convolve
from perf.conversion.errors import describe_error
from perf.conversion.node_evaluator import CannotEvaluate, Node, NodeEvaluator, retype_bodies

ROUNDED = "fp32 accumulator, each op's output rounded to fp16"
SEQUENTIAL = "fp16 accumulator, sequential"
LARGEST = float(np.finfo(np.float16).max)
# Adding in fp16 one product after another is slow: many are so added only where they could overflow.
NODE_PRODUCTS, ALL_PRODUCTS, SAMPLED_SUMS = 10_000_000, 50_000_000, 2048
BUDGET_S = 20.0
NAMED = 3  # nodes named
# Ops that sum inside, in a way that is not theirs to choose here: their sums stay in fp32.
SUMMING = frozenset({
    "LayerNormalization", "InstanceNormalization", "GroupNormalization", "Softmax", "LogSoftmax", "LSTM",
    "GRU", "RNN", "Einsum", "Attention", "ConvTranspose", "AveragePool", "ReduceL2", "ReduceSumSquare",
    "CumSum", "If", "Loop", "Scan",
})  # fmt: skip


@dataclass(frozen=True)
class HalfRun:
    """What one arithmetic makes of an fp16 model: how far from fp32, and where values overflow."""

    arithmetic: str
    relative_difference: float | None = None
    overflows: tuple[str, ...] = ()  # nodes
    note: str = ""


@dataclass
class _Half:
    """fp16 carried as it is, computed in fp32 and rounded; sums by a kernel of KERNELS where `sequential`."""

    types: Mapping[str, int]  # of values, as far as shape inference knows them
    sequential: bool
    overflows: list[str] = field(default_factory=list)
    in_fp32: set[str] = field(default_factory=set)
    sums: "_Sums" = field(default_factory=lambda: _Sums())

    def carry(self, array: Any) -> Any:
        """Values as the model holds them."""
        return array

    def compute(self, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
        """In fp32 where an input is fp16, then rounded; other nodes as they are."""
        if not any(_is_half(x) for x in inputs):
            made = self._run(node, inputs)
            if node.proto.op_type == "Cast":
                self._flag(node, inputs[0], made[0])
            return made
        wide = [x.astype(np.float32) if _is_half(x) else x for x in inputs]
        outputs = self._run(_widened(node), wide)
        return [self._round(node, n, x) for n, x in zip(node.proto.output, outputs, strict=True)]

    def _run(self, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
        kernel = KERNELS.get(node.proto.op_type) if node.is_standard else None
        halves = self.types.get(node.proto.output[0]) in (None, TensorProto.FLOAT16)
        if (
            self.sequential
            and halves
            and kernel
            and (made := kernel(node, inputs, self.sums)) is not None
        ):
            return [made]
        if self.sequential and node.proto.op_type in SUMMING:
            self.in_fp32.add(node.proto.op_type)
        try:
            return node.run_on_cpu_ep(inputs)
        except Exception as error:  # onnxruntime's exceptions share no public base
            raise CannotEvaluate(
                f"{node.label} fails alone ({describe_error(error, 120)})"
            ) from error

    def _round(self, node: Node, name: str, output: Any) -> Any:
        kept = self.types.get(name, TensorProto.FLOAT16) != TensorProto.FLOAT16
        if kept or getattr(output, "dtype", None) != np.float32:
            return output
        rounded = output.astype(np.float16)
        self._flag(node, output, rounded)
        return rounded

    def _flag(self, node: Node, before: Any, after: Any) -> None:
        if _is_half(after) and (np.isinf(after) & np.isfinite(before)).any():
            self.overflows.append(node.label)
        elif self.sums.overflown:
            self.overflows.append(f"a sum in {node.label}")
        self.sums.overflown = False


@dataclass
class _Sums:
    """Sums of products in an fp16 accumulator, one product after another."""

    left: int = ALL_PRODUCTS
    bounded: int = 0  # products of matrices whose sums were made in fp32, but for a sample
    overflown: bool = False

    def multiply(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """a @ b, of fp32 arrays that hold fp16 values."""
        inner = a.shape[-1]
        shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
        products = int(np.prod(shape)) * inner
        if products > min(NODE_PRODUCTS, self.left):
            return self._where_it_could_overflow(a, b, shape)
        self.left -= products
        return self._add_up(a[..., :, k, None] * b[..., None, k, :] for k in range(inner))

    def add(self, x: np.ndarray, axes: Sequence[int], *, keep: bool) -> np.ndarray:
        """The sum over axes, in order."""
        last = np.moveaxis(x, axes, range(-len(axes), 0))
        flat = last.reshape(*last.shape[: x.ndim - len(axes)], -1)
        total = np.asarray(self._add_up(flat[..., k] for k in range(flat.shape[-1])))
        return np.expand_dims(total, tuple(axes)) if keep else total

    def _add_up(self, terms: Any) -> np.ndarray:
        total: Any = np.float16(0)
        for term in terms:
            total = (np.asarray(total, np.float32) + term).astype(np.float16)
        out = np.asarray(total, np.float32)
        self.overflown |= bool(np.isinf(out).any())
        return out

    def _where_it_could_overflow(
        self, a: np.ndarray, b: np.ndarray, shape: tuple[int, ...]
    ) -> np.ndarray:
        """fp32 sums, and in fp16 a sample of those that no bound keeps in range."""
        out: np.ndarray = np.matmul(a, b)
        self.bounded += 1
        at = np.argwhere(np.matmul(np.abs(a), np.abs(b)) > LARGEST)
        if not len(at):
            return out
        at = at[np.linspace(0, len(at) - 1, min(len(at), SAMPLED_SUMS)).astype(int)]
        batch, row, column = tuple(at[:, :-2].T), at[:, -2], at[:, -1]
        rows = np.broadcast_to(a, (*shape[:-2], *a.shape[-2:]))[(*batch, row)]
        columns = np.swapaxes(np.broadcast_to(b, (*shape[:-2], *b.shape[-2:])), -1, -2)[
            (*batch, column)
        ]
        out[tuple(at.T)] = self._add_up(rows[:, k] * columns[:, k] for k in range(a.shape[-1]))
        return out


def run_in_half(converted: Path, feed: Tensors, expected: Tensors) -> tuple[HalfRun, ...]:
    """The converted model in both arithmetics, held against fp32's outputs."""
    try:
        model = onnx.load(str(converted))
        types = _value_types(model)
    except Exception as error:  # of protobuf, past 2 GiB
        return (HalfRun(ROUNDED, note=f"not run: {describe_error(error, 120)}"),)
    return tuple(
        _run(model, _Half(types, sequential), name, feed, expected)
        for name, sequential in ((ROUNDED, False), (SEQUENTIAL, True))
    )


def describe_overflows(runs: Sequence[Mapping[str, Any]]) -> str:
    """Where the arithmetics of a stored report overflow, in words; "" where none does."""
    found = [f"{', '.join(r['overflows'])} ({r['arithmetic']})" for r in runs if r["overflows"]]
    return "; ".join(found)


def _run(
    model: onnx.ModelProto, half: _Half, name: str, feed: Tensors, expected: Tensors
) -> HalfRun:
    try:
        found = NodeEvaluator(model, half).run(feed, time.monotonic() + BUDGET_S)
    except CannotEvaluate as why:
        return HalfRun(name, None, _first(half.overflows), f"not finished: {why}")
    distances = [output_distance(np.asarray(found[n]), want) for n, want in expected.items()]
    known = [d.relative for d in distances if d is not None]
    notes = []
    if half.in_fp32:
        notes.append(f"sums in fp32: {', '.join(sorted(half.in_fp32))}")
    if half.sums.bounded:
        most = f"at most {SAMPLED_SUMS} that could overflow"
        notes.append(f"of {half.sums.bounded} large products sums in fp32 but for {most}")
    relative = max(known, default=None)
    if relative is not None and not np.isfinite(relative):
        relative = None
        notes.append("outputs are not finite where fp32's are")
    return HalfRun(name, relative, _first(half.overflows), "; ".join(notes))


def _first(nodes: Sequence[str]) -> tuple[str, ...]:
    more = len(nodes) - NAMED
    return (*nodes[:NAMED], *([f"{more} more"] if more > 0 else []))


def _value_types(model: onnx.ModelProto) -> dict[str, int]:
    """Element types of values, as far as the model and shape inference tell them."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    declared = (*graph.input, *graph.value_info, *graph.output)
    return {v.name: v.type.tensor_type.elem_type for v in declared if v.type.tensor_type.elem_type}


def _widened(node: Node) -> Node:
    """A node whose subgraphs compute in fp32 what they have in fp16."""
    if not any(a.HasField("g") or a.graphs for a in node.proto.attribute):
        return node
    proto = onnx.NodeProto()
    proto.CopyFrom(node.proto)
    retype_bodies(proto, TensorProto.FLOAT16, TensorProto.FLOAT)
    return Node(proto, node.names, node.model, node.constants, node.read)


def _is_half(array: Any) -> bool:
    return getattr(array, "dtype", None) == np.float16


def _matmul(_node: Node, inputs: Sequence[Any], sums: _Sums) -> Any:
    a, b = inputs[:2]
    if min(a.ndim, b.ndim) < 2 or a.dtype != np.float32:
        return None
    return sums.multiply(a, b)


def _gemm(node: Node, inputs: Sequence[Any], sums: _Sums) -> Any:
    a, b = inputs[:2]
    if a.dtype != np.float32:
        return None
    a = a.T if node.attribute("transA", 0) else a
    b = b.T if node.attribute("transB", 0) else b
    y = node.attribute("alpha", 1.0) * sums.multiply(a, b)
    if len(inputs) > 2 and inputs[2] is not None:
        y = y + node.attribute("beta", 1.0) * inputs[2]
    return y.astype(np.float32)


def _conv(node: Node, inputs: Sequence[Any], sums: _Sums) -> Any:
    return convolve(node, inputs, sums.multiply) if inputs[0].dtype == np.float32 else None


def _reduce(node: Node, inputs: Sequence[Any], sums: _Sums) -> Any:
    x = inputs[0]
    given = inputs[1] if len(inputs) > 1 else node.attribute("axes")
    if x.dtype != np.float32 or (given is None and node.attribute("noop_with_empty_axes", 0)):
        return None
    axes = sorted({int(a) % x.ndim for a in given}) if given is not None else list(range(x.ndim))
    total = sums.add(x, axes, keep=bool(node.attribute("keepdims", 1)))
    mean = node.proto.op_type == "ReduceMean"
    count = np.float32(np.prod([x.shape[a] for a in axes]) if mean else 1)
    return np.asarray(total / count, np.float32)


def _global_average(_node: Node, inputs: Sequence[Any], sums: _Sums) -> Any:
    x = inputs[0]
    if x.dtype != np.float32:
        return None
    axes = list(range(2, x.ndim))
    total = sums.add(x, axes, keep=True)
    return (total / np.prod(x.shape[2:])).astype(np.float32)


KERNELS: dict[str, Callable[[Node, Sequence[Any], _Sums], Any]] = {
    "MatMul": _matmul, "Gemm": _gemm, "Conv": _conv, "ReduceSum": _reduce, "ReduceMean": _reduce,
    "GlobalAveragePool": _global_average,
}  # fmt: skip
