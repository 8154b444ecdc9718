"""What ONNX's own schemas say of a model's op types: which know a tensor type in its opset."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx

from perf.conversion import graph_repair

STANDARD_DOMAINS = frozenset({"", "ai.onnx"})
# Has inputs that are always fp32 (roi, scales); converters leave those alone and halve the rest.
CONVERTED_IN_PART = frozenset({"Resize"})


def opset_of(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operator set that the model uses; 0 if it uses none."""
    versions = [each.version for each in model.opset_import if each.domain in STANDARD_DOMAINS]
    return max(versions, default=0)


def used_op_types(model: onnx.ModelProto) -> set[str]:
    """The standard op types anywhere in the model, subgraphs included."""
    return {
        node.op_type
        for graph in graph_repair.all_graphs(model.graph)
        for node in graph.node
        if node.domain in STANDARD_DOMAINS
    }


def op_types_without(model: onnx.ModelProto, element: str) -> set[str]:
    """The op types that take float but not `element` ("float16", "bfloat16"), or give it only.

    Such nodes must stay fp32: DequantizeLinear has float16 scales from opset 19 on, Conv takes
    bfloat16 from opset 22 on, ConstantOfShape gives it from opset 20 on. Outputs count where no
    input has the type: LayerNormalization takes float16 and gives its statistics as float.
    """
    version = opset_of(model)
    lacking = {
        op for op in used_op_types(model) if any(map(_only_float(element), _telling(op, version)))
    }
    return lacking - CONVERTED_IN_PART


def op_types_knowing(model: onnx.ModelProto, element: str) -> set[str]:
    """The op types, Cast and Constant aside, that can compute on `element`."""
    version = opset_of(model)
    able = {
        op for op in used_op_types(model) if any(element in each for each in _inputs(op, version))
    }
    return able - op_types_without(model, element) - {"Cast", "Constant", "Identity"}


def _only_float(element: str) -> Callable[[set[str]], bool]:
    return lambda types: "float" in types and element not in types


def _inputs(op_type: str, version: int) -> list[set[str]]:
    """The element types that each input of the op takes."""
    schema = _schema(op_type, version)
    return [] if schema is None else _types(schema, schema.inputs)


def _telling(op_type: str, version: int) -> list[set[str]]:
    """The element types of the inputs, or of the outputs where no input may be float."""
    taken = _inputs(op_type, version)
    schema = _schema(op_type, version)
    if schema is None or any("float" in each for each in taken):
        return taken
    return _types(schema, schema.outputs)


def _types(
    schema: onnx.defs.OpSchema, ends: Sequence[onnx.defs.OpSchema.FormalParameter]
) -> list[set[str]]:
    allowed = {each.type_param_str: each.allowed_type_strs for each in schema.type_constraints}
    return [
        {text.removeprefix("tensor(").removesuffix(")") for text in allowed.get(name, [name])}
        for name in (each.type_str for each in ends)
    ]


def _schema(op_type: str, version: int) -> onnx.defs.OpSchema | None:
    try:
        return onnx.defs.get_schema(op_type, version, "")
    except onnx.defs.SchemaError:  # newer than this onnx, or a local function: not ours to judge
        return None
