"""Ops of a model that draw at random, by their names alone."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx
from onnx import numpy_helper

from perf.conversion.errors import BadModel
from perf.conversion.external_data import read_structure
from perf.conversion.graph_repair import all_graphs
from perf.conversion.op_schemas import opset_of
from perf.request.model_list import is_ort_format

DRAWING = ("Random", "Bernoulli", "Multinomial", "BiasDropout", "BitmaskDropout", "Sampling")
UNTOLD = "ops that an .ort file does not tell"
KNOWN_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc"}


def read_random_ops(path: Path) -> tuple[str, ...]:
    """Those of a model; of one in ONNX Runtime's own format, which onnx does not read, a word for them."""
    if is_ort_format(path):
        return (UNTOLD,)
    try:
        return find_random_ops(read_structure(path))
    except BadModel:
        return ()


def known_to_draw(ops: Iterable[str]) -> bool:
    """Whether some of these draw for sure; others, of domains that nobody here knows, may."""
    return any(op.startswith((*DRAWING, "Dropout")) for op in ops)


def find_random_ops(model: onnx.ModelProto) -> tuple[str, ...]:
    """Op types that draw at random, and those of domains that nobody here knows: they may."""
    functions = {(f.domain, f.name) for f in model.functions}
    return tuple(sorted({_name(n) for n in _nodes(model) if _may_draw(n, model, functions)}))


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    for owner in (model.graph, *model.functions):
        for graph in all_graphs(owner):
            yield from graph.node


def _name(node: onnx.NodeProto) -> str:
    return node.op_type if node.domain in KNOWN_DOMAINS else f"{node.domain}.{node.op_type}"


def _may_draw(
    node: onnx.NodeProto, model: onnx.ModelProto, functions: set[tuple[str, str]]
) -> bool:
    if node.op_type == "Dropout":
        return _trains(node, model)
    if node.domain not in KNOWN_DOMAINS:
        return (node.domain, node.op_type) not in functions
    return bool(node.op_type.startswith(DRAWING))


def _trains(node: onnx.NodeProto, model: onnx.ModelProto) -> bool:
    """Whether a Dropout may train: it does not where that input is left out, or a constant False."""
    if opset_of(model) < 12 or len(node.input) < 3 or not node.input[2]:
        return False
    name = node.input[2]
    fixed = [t for t in model.graph.initializer if t.name == name]
    for made in (n for n in _nodes(model) if n.op_type == "Constant" and name in n.output):
        fixed += [a.t for a in made.attribute]
    return not fixed or any(numpy_helper.to_array(t).any() for t in fixed)
