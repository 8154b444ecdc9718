"""What ONNX's own schemas say of a model's op types: which know a tensor type in its opset."""

import onnx

from perf.conversion.graph_repair import all_graphs

STANDARD_DOMAINS = frozenset({"", "ai.onnx"})
# Has inputs that are always fp32 (roi, scales); converters leave those alone and halve the rest.
CONVERTED_IN_PART = frozenset({"Resize"})


def opset_of(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operator set that the model uses; 0 if it uses none."""
    versions = [o.version for o in model.opset_import if o.domain in STANDARD_DOMAINS]
    return max(versions, default=0)


def op_types_without(model: onnx.ModelProto, element: str) -> set[str]:
    """The op types that take float but not `element` ("float16", "bfloat16"), or give it only.

    Such nodes must stay fp32: DequantizeLinear has float16 scales from opset 19 on, Conv takes
    bfloat16 from opset 22 on, ConstantOfShape gives it from opset 20 on. Outputs count where no
    input has the type: LayerNormalization takes float16 and gives its statistics as float.
    """
    lacking = set()
    for op_type in _used_op_types(model):
        inputs, outputs = _element_types(op_type, opset_of(model))
        deciding = inputs if any("float" in types for types in inputs) else outputs
        if any("float" in types and element not in types for types in deciding):
            lacking.add(op_type)
    return lacking - CONVERTED_IN_PART


def op_types_knowing(model: onnx.ModelProto, element: str) -> set[str]:
    """The op types, Cast and Constant aside, that can compute on `element`."""
    version = opset_of(model)
    able = {
        op_type
        for op_type in _used_op_types(model)
        if any(element in types for types in _element_types(op_type, version)[0])
    }
    return able - op_types_without(model, element) - {"Cast", "Constant", "Identity"}


def _used_op_types(model: onnx.ModelProto) -> set[str]:
    """The standard op types anywhere in the model, subgraphs included."""
    nodes = (node for graph in all_graphs(model.graph) for node in graph.node)
    return {node.op_type for node in nodes if node.domain in STANDARD_DOMAINS}


def _element_types(op_type: str, version: int) -> tuple[list[set[str]], list[set[str]]]:
    """The element types that each input and each output of an op may have."""
    try:
        schema = onnx.defs.get_schema(op_type, version, "")
    except onnx.defs.SchemaError:  # newer than this onnx, or a local function: not ours to judge
        return [], []
    allowed = {t.type_param_str: t.allowed_type_strs for t in schema.type_constraints}
    inputs, outputs = (
        [
            {text.removeprefix("tensor(").removesuffix(")") for text in allowed.get(name, [name])}
            for name in (parameter.type_str for parameter in ends)
        ]
        for ends in (schema.inputs, schema.outputs)
    )
    return inputs, outputs
