"""bf16 graphs made from the fp16 converter's: same Casts, weights rounded anew from fp32."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper

from perf.conversion import graph_repair, op_schemas
from perf.conversion.artifact import ConversionError

FIRST_OPSET = 13  # the first whose Cast, MatMul and Add know bfloat16


def require_able(model: onnx.ModelProto) -> None:
    """ConversionError below opset 13, and where no op of the model could run in bf16 at all."""
    version = op_schemas.opset_of(model)
    if version < FIRST_OPSET:
        raise ConversionError(
            f"bf16 needs opset {FIRST_OPSET} or later, the model has {version}: export it anew"
        )
    if not op_schemas.op_types_knowing(model, "bfloat16"):
        raise ConversionError(f"no op of the model knows bf16 in opset {version}")


def from_fp16(model: onnx.ModelProto, original: onnx.ModelProto) -> None:
    """Turn every float16 in `model` into bfloat16, in place.

    Weights and constants are rounded from `original`'s fp32 values where the tensor is found
    there by name, so that nothing passes through fp16's narrower range. Raises ConversionError if
    the result's types do not fit together.
    """
    known = _float_tensors(original)
    renamed = {
        node.input[0]: node.output[0]
        for node in model.graph.node
        if node.op_type == "Cast" and node.name.startswith("graph_output_cast")
    }
    for graph in graph_repair.all_graphs(model.graph):
        for tensor in graph.initializer:
            _round(tensor, known.get(tensor.name))
        for node in graph.node:
            outputs = tuple(renamed.get(name, name) for name in node.output)
            for attribute in node.attribute:
                _retype(attribute, known.get(f"{outputs}.{attribute.name}"))
        for value in (*graph.input, *graph.output, *graph.value_info):
            if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
                value.type.tensor_type.elem_type = TensorProto.BFLOAT16
    if model.ByteSize() < 2_000_000_000:
        try:
            onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
        except Exception as error:  # onnx's InferenceError is a RuntimeError of its C extension
            raise ConversionError(f"the bf16 graph's types do not fit: {error}") from error


def widen(model: onnx.ModelProto) -> None:
    """Turn every bfloat16 back into float, in place, keeping the rounded values.

    Such a twin runs where no bf16 kernels are: it shows what rounding the weights does, and that
    the graph is still the same function; not what bf16 arithmetic does.
    """
    for graph in graph_repair.all_graphs(model.graph):
        tensors = [attribute.t for node in graph.node for attribute in node.attribute]
        for tensor in (*graph.initializer, *tensors):
            if tensor.data_type == TensorProto.BFLOAT16:
                bits = np.frombuffer(tensor.raw_data, "<u2").astype("<u4") << 16
                tensor.raw_data = bits.tobytes()
                tensor.data_type = TensorProto.FLOAT
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.name in {"to", "dtype"} and attribute.i == TensorProto.BFLOAT16:
                    attribute.i = TensorProto.FLOAT
        for value in (*graph.input, *graph.output, *graph.value_info):
            if value.type.tensor_type.elem_type == TensorProto.BFLOAT16:
                value.type.tensor_type.elem_type = TensorProto.FLOAT


def _retype(attribute: onnx.AttributeProto, fp32: npt.NDArray[np.float32] | None) -> None:
    if attribute.name in {"to", "dtype"} and attribute.i == TensorProto.FLOAT16:
        attribute.i = TensorProto.BFLOAT16
    if attribute.t.data_type == TensorProto.FLOAT16:
        _round(attribute.t, fp32)


def _round(tensor: onnx.TensorProto, fp32: npt.NDArray[np.float32] | None) -> None:
    if tensor.data_type != TensorProto.FLOAT16:
        return
    values = fp32 if fp32 is not None else numpy_helper.to_array(tensor).astype(np.float32)
    name, dims = tensor.name, list(tensor.dims)
    tensor.Clear()
    tensor.name = name
    tensor.dims.extend(dims)
    tensor.data_type = TensorProto.BFLOAT16
    tensor.raw_data = round_to_bfloat16(values).tobytes()


def round_to_bfloat16(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """The bfloat16 bit patterns of fp32 values, rounded to nearest, ties to even; NaN stays NaN."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16
    quiet = (bits >> 16) | 0x40
    return np.where(np.isnan(values), quiet, rounded).astype("<u2")


def _float_tensors(model: onnx.ModelProto) -> dict[str, npt.NDArray[np.float32]]:
    return dict(_named_tensors(model))


def _named_tensors(model: onnx.ModelProto) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    for graph in graph_repair.all_graphs(model.graph):
        for tensor in graph.initializer:
            if tensor.data_type == TensorProto.FLOAT:
                yield tensor.name, numpy_helper.to_array(tensor)
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.t.data_type == TensorProto.FLOAT:
                    name = f"{tuple(node.output)}.{attribute.name}"
                    yield name, numpy_helper.to_array(attribute.t)
