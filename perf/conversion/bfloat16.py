"""bf16 graphs made from the fp16 converter's: same Casts, weights rounded anew from fp32."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from perf.conversion import op_schemas
from perf.conversion.artifact import ConversionError
from perf.conversion.errors import raise_as
from perf.conversion.graph_repair import all_graphs

BFLOAT16 = helper.tensor_dtype_to_np_dtype(TensorProto.BFLOAT16)


def require_able(model: onnx.ModelProto) -> None:
    """ConversionError below opset 13, and where no op of the model could run in bf16 at all."""
    version = op_schemas.opset_of(model)
    if version < 13:  # the first whose Cast, MatMul and Add know bfloat16
        raise ConversionError(
            f"bf16 needs opset 13 or later, the model has {version}: export anew"
        )
    if not op_schemas.op_types_knowing(model, "bfloat16"):
        raise ConversionError(f"no op of the model knows bf16 in opset {version}")


def from_fp16(model: onnx.ModelProto, original: onnx.ModelProto) -> None:
    """Turn every float16 in `model` into bfloat16, in place; raises ConversionError if types do not fit.

    Weights and constants are rounded from `original`'s fp32 values where the tensor is found there by
    name, so that nothing passes through fp16's narrower range.
    """
    known = _float_tensors(original)
    renamed = {
        node.input[0]: node.output[0]
        for node in model.graph.node
        if node.op_type == "Cast" and node.name.startswith("graph_output_cast")
    }
    for graph in all_graphs(model.graph):
        for tensor in graph.initializer:
            _round(tensor, known.get(tensor.name))
        for node in graph.node:
            outputs = tuple(renamed.get(name, name) for name in node.output)
            for attribute in node.attribute:
                _round(attribute.t, known.get(f"{outputs}.{attribute.name}"))
        _retype(graph, TensorProto.FLOAT16, TensorProto.BFLOAT16)
    if model.ByteSize() < 2_000_000_000:
        with raise_as(ConversionError, "the bf16 graph's types do not fit"):
            onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)


def widen(model: onnx.ModelProto) -> None:
    """Turn every bfloat16 back into float, in place, keeping the rounded values.

    Such a twin shows what rounding the weights does, and that the graph still is the same function.
    """
    for graph in all_graphs(model.graph):
        tensors = [attribute.t for node in graph.node for attribute in node.attribute]
        for tensor in (*graph.initializer, *tensors):
            if tensor.data_type == TensorProto.BFLOAT16:
                values = numpy_helper.to_array(tensor).astype(np.float32)
                tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        _retype(graph, TensorProto.BFLOAT16, TensorProto.FLOAT)


def _retype(graph: onnx.GraphProto, before: int, after: int) -> None:
    """What nodes are told to make, and what values are declared as."""
    for attribute in (a for node in graph.node for a in node.attribute):
        if attribute.name in {"to", "dtype"} and attribute.i == before:
            attribute.i = after
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == before:
            value.type.tensor_type.elem_type = after


def _round(tensor: onnx.TensorProto, fp32: np.ndarray | None) -> None:
    if tensor.data_type == TensorProto.FLOAT16:
        values = numpy_helper.to_array(tensor).astype(np.float32) if fp32 is None else fp32
        tensor.CopyFrom(numpy_helper.from_array(values.astype(BFLOAT16), tensor.name))


def _float_tensors(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Every fp32 tensor by its name, or by its node's outputs and its attribute's name."""
    named = []
    for graph in all_graphs(model.graph):
        named += [(tensor.name, tensor) for tensor in graph.initializer]
        for node in graph.node:
            named += [(f"{tuple(node.output)}.{a.name}", a.t) for a in node.attribute]
    return {
        name: numpy_helper.to_array(tensor)
        for name, tensor in named
        if tensor.data_type == TensorProto.FLOAT
    }
