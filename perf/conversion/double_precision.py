"""A model's outputs in fp64, by the CPU EP's kernels, numpy's sums and, where both lack, onnx.reference."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from onnx import TensorProto

from perf.conversion.errors import describe_error
from perf.conversion.node_evaluator import (
    CannotEvaluate,
    Node,
    NodeEvaluator,
    Values,
    check_kernel,
    retype_attributes,
    retype_bodies,
)

DOUBLE, FLOAT = "tensor(double)", "tensor(float)"


class Double:
    """fp32 carried as fp64; other types as they are."""

    def __init__(self) -> None:
        self.by_reference: set[str] = set()  # op types that onnx.reference computed

    def carry(self, array: Any) -> Any:
        """A value in fp64 where it is fp32."""
        if isinstance(array, list):
            return [self.carry(x) for x in array]
        return array.astype(np.float64) if _is_float(array) else array

    def compute(self, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
        """By the first that can: numpy for sums that no engine does in double, the CPU EP, onnx.reference."""
        ours = KERNELS.get(node.proto.op_type) if node.is_standard else None
        if ours is not None and (made := ours(node, inputs)) is not None:
            return [made]
        fitted = _fit_schema(node, inputs)
        try:
            return [self.carry(x) for x in node.run_on_cpu_ep(fitted)]
        except Exception as lacks:  # onnxruntime's exceptions share no public base
            return self._by_reference(node, inputs, describe_error(lacks, 120))

    def _by_reference(self, node: Node, inputs: Sequence[Any], lacks: str) -> Sequence[Any]:
        if not node.is_standard:
            raise CannotEvaluate(f"no kernel in double for {node.label} ({lacks})")
        try:
            made = node.run_by_reference(inputs)
            narrow = [_narrow(x) for x in inputs]
            check_kernel(node, [np.asarray(x) for x in made], node.run_on_cpu_ep(narrow))
        except CannotEvaluate:
            raise
        except Exception as error:  # of onnx.reference: no kernel, or a bug of its own
            why = describe_error(error, 120)
            raise CannotEvaluate(f"no kernel in double for {node.label} ({why})") from error
        self.by_reference.add(node.proto.op_type)
        return [self.carry(x) for x in made]


class DoubleModel:
    """A model ready to be computed in fp64, and by what it was."""

    def __init__(self, model: onnx.ModelProto) -> None:
        twin = onnx.ModelProto()
        twin.CopyFrom(model)
        for node in twin.graph.node:
            if node.op_type in {"Cast", "CastLike"}:
                retype_attributes(node, TensorProto.FLOAT, TensorProto.DOUBLE)
            retype_bodies(node, TensorProto.FLOAT, TensorProto.DOUBLE)
        for function in twin.functions:
            retype_bodies(function, TensorProto.FLOAT, TensorProto.DOUBLE)
        self._arithmetic = Double()
        self._evaluator = NodeEvaluator(twin, self._arithmetic)

    def run(self, feed: Mapping[str, Any], deadline_s: float) -> Values:
        """The outputs in fp64; raises CannotEvaluate."""
        return self._evaluator.run(feed, deadline_s)

    @property
    def source(self) -> str:
        """What computed it, in words."""
        ops = sorted(self._arithmetic.by_reference)
        return f"CPU EP in double{', onnx.reference for ' + ', '.join(ops) if ops else ''}"


def _is_float(array: Any) -> bool:
    return getattr(array, "dtype", None) == np.float32


def _narrow(array: Any) -> Any:
    if isinstance(array, list):
        return [_narrow(x) for x in array]
    return array.astype(np.float32) if getattr(array, "dtype", None) == np.float64 else array


def _fit_schema(node: Node, inputs: Sequence[Any]) -> list[Any]:
    """Inputs that an op takes in fp32 alone (the scales of Resize) are given in it."""
    if not node.is_standard or not onnx.defs.has(node.proto.op_type, node.opset, ""):
        return list(inputs)
    formal = onnx.defs.get_schema(node.proto.op_type, node.opset, "").inputs
    out = list(inputs)
    for i in range(len(node.proto.input)):
        types = formal[min(i, len(formal) - 1)].types if formal else ()
        if FLOAT in types and DOUBLE not in types:
            out[i] = _narrow(out[i])
    return out


def convolve(
    node: Node, inputs: Sequence[Any], sums: Callable[[Any, Any], Any] = np.matmul
) -> Any:
    """Conv of any rank and grouping as one product per group, summed by `sums`; None where it is left out."""
    x, w = inputs[0], inputs[1]
    bias = inputs[2] if len(inputs) > 2 else None
    windows = _windows(node, x, w.shape[2:])
    if windows is None:
        return None
    group = node.attribute("group", 1)
    rank = w.ndim - 2
    n, out_shape = x.shape[0], windows.shape[2 : 2 + rank]
    outs = []
    for g in range(group):
        step = x.shape[1] // group
        mine = np.moveaxis(windows[:, g * step : (g + 1) * step], 1, 1 + rank)
        columns = np.ascontiguousarray(mine).reshape(n * int(np.prod(out_shape)), -1)
        per = w.shape[0] // group
        kernel = w[g * per : (g + 1) * per].reshape(per, -1).T
        outs.append(sums(columns, kernel).reshape(n, *out_shape, per))
    y = np.moveaxis(np.concatenate(outs, -1), -1, 1)
    if bias is not None:
        y = y + bias.reshape(1, -1, *([1] * rank))
    return np.ascontiguousarray(y)


def _average(node: Node, inputs: Sequence[Any]) -> Any:
    x, size = inputs[0], node.attribute("kernel_shape")
    if node.attribute("ceil_mode", 0):
        return None
    windows, ones = _windows(node, x, size), _windows(node, np.ones_like(x), size)
    if windows is None or ones is None:
        return None
    axes = tuple(range(-len(size), 0))
    count = np.prod(size) if node.attribute("count_include_pad", 0) else ones.sum(axes)
    return windows.sum(axes) / count


def _global_average(_node: Node, inputs: Sequence[Any]) -> Any:
    return inputs[0].mean(tuple(range(2, inputs[0].ndim)), keepdims=True)


def _windows(node: Node, x: Any, size: Sequence[int]) -> Any:
    """Every window of a padded [N, C, …] as [N, C, …out, …size]; None for what is left to others."""
    rank = len(size)
    if x.ndim != rank + 2:
        return None
    strides = node.attribute("strides") or [1] * rank
    dilations = node.attribute("dilations") or [1] * rank
    spans = [d * (k - 1) + 1 for d, k in zip(dilations, size, strict=True)]
    pads = _pads(node, x.shape[2:], strides, spans)
    padded = np.pad(x, [(0, 0), (0, 0), *pads])
    if any(s > n for s, n in zip(spans, padded.shape[2:], strict=True)):
        return None
    view = sliding_window_view(padded, spans, axis=tuple(range(2, rank + 2)))
    every = tuple(slice(None, None, s) for s in strides)
    return view[(slice(None), slice(None), *every, *(slice(None, None, d) for d in dilations))]


def _pads(
    node: Node, shape: Sequence[int], strides: Sequence[int], spans: Sequence[int]
) -> list[tuple[int, int]]:
    rank = len(shape)
    auto = (node.attribute("auto_pad") or b"NOTSET").decode()
    if auto == "NOTSET":
        pads = node.attribute("pads") or [0] * 2 * rank
        return list(zip(pads[:rank], pads[rank:], strict=True))
    if auto == "VALID":
        return [(0, 0)] * rank
    out = []
    for n, s, k in zip(shape, strides, spans, strict=True):
        total = max(0, (-(-n // s) - 1) * s + k - n)
        first = (total + (auto == "SAME_LOWER")) // 2
        out.append((first, total - first))
    return out


def _normalise_channels(node: Node, inputs: Sequence[Any]) -> Any:
    """LRN; onnx.reference normalises only as many channels as the batch has rows."""
    x, size = inputs[0], node.attribute("size")
    before = (size - 1) // 2
    padded = np.pad(x * x, [(0, 0), (before, size - 1 - before), *[(0, 0)] * (x.ndim - 2)])
    sums = sliding_window_view(padded, size, axis=1).sum(-1)
    alpha, beta = node.attribute("alpha", 1e-4), node.attribute("beta", 0.75)
    return x / (node.attribute("bias", 1.0) + alpha / size * sums) ** beta


KERNELS: dict[str, Callable[[Node, Sequence[Any]], Any]] = {
    "Conv": convolve,
    "AveragePool": _average,
    "GlobalAveragePool": _global_average,
    "LRN": _normalise_channels,
}
