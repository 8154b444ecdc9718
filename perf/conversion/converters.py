"""The converters themselves: fp32 graph in; fp16, bf16 or int8 graph out, inputs and outputs kept."""

import contextlib
import importlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import onnx
from onnx import TensorProto

from perf.conversion import bfloat16, cpu_reference, graph_repair, op_schemas
from perf.conversion.artifact import ConversionError, ConversionRequest, Converter
from perf.conversion.data_sets import Tensors, read_inputs
from perf.conversion.errors import raise_as
from perf.conversion.external_data import (
    external_files,
    load_with_shapes,
    read_structure,
    save_model,
)
from perf.conversion.random_ops import KNOWN_DOMAINS
from perf.conversion.signature import signature_of
from perf.request.model_list import find_test_sets

MODULES: dict[Converter, str] = {
    "onnxruntime": "onnxruntime.transformers.float16",
    "onnxconverter-common": "onnxconverter_common.float16",
}
_ELEMENT = {  # ONNX Runtime's words for what converters ask of a value
    "tensor(float)": TensorProto.FLOAT, "tensor(double)": TensorProto.DOUBLE,
    "tensor(int64)": TensorProto.INT64, "tensor(int32)": TensorProto.INT32,
    "tensor(bool)": TensorProto.BOOL, "tensor(float16)": TensorProto.FLOAT16,
}  # fmt: skip
HALVES = frozenset({TensorProto.FLOAT16, TensorProto.BFLOAT16})


@dataclass(frozen=True)
class Conversion:
    """What a converter did: the op types it left alone, and remarks for the report."""

    op_block_list: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Feeds:
    """The test sets' inputs, one after another: a CalibrationDataReader."""

    left: Iterator[Tensors]

    def get_next(self) -> Tensors | None:
        return next(self.left, None)


def to_half(source: Path, draft: Path, request: ConversionRequest) -> Conversion:
    """fp16 (or bf16) by a converter, then repaired; raises ConversionError with its own reason."""
    model = load_with_shapes(source, draft.parent)
    if _holds_half(model):
        raise ConversionError(f"{source} already holds half-precision tensors")
    foreign = _type_custom_ops(model, draft.parent, request.custom_ops)
    lifted = graph_repair.lift_constants(model)
    original = model
    notes = [f"{lifted} Constants made initializers"] if lifted else []
    if foreign:
        notes.append(f"custom ops kept fp32: {', '.join(sorted(foreign))}")
    element = "float16"
    if request.precision == "bf16":
        element = "bfloat16"
        bfloat16.require_able(model)
        original = onnx.ModelProto()
        original.CopyFrom(model)
    if lacking := op_schemas.op_types_without(model, element):
        version = f"opset {op_schemas.opset_of(model)} has no {request.precision} for them"
        notes.append(f"kept fp32, {version}: {', '.join(sorted(lacking))}")
    float16 = importlib.import_module(MODULES[request.converter])
    op_types = sorted({*float16.DEFAULT_OP_BLOCK_LIST, *lacking, *foreign, *request.op_block_list})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        converted = _fp16(float16, model, op_types, request)
    if clamped := sum("truncated" in str(warning.message) for warning in caught):
        notes.append(f"{clamped} tensors had values clamped into fp16's range")
    graphs = list(graph_repair.all_graphs(converted.graph))
    if dropped := sum(map(graph_repair.drop_duplicate_casts, graphs)):
        notes.append(f"{dropped} duplicate Casts dropped")
    graph_repair.sort_nodes(converted.graph)
    if request.precision == "bf16":
        bfloat16.from_fp16(converted, original)
    op_type_of_nodes = [
        node.op_type for g in graph_repair.all_graphs(converted.graph) for node in g.node
    ]
    notes.append(f"{op_type_of_nodes.count('Cast')} Casts in {len(op_type_of_nodes)} nodes")
    save_model(converted, draft)
    return Conversion(tuple(op_types), tuple(notes))


def _type_custom_ops(model: onnx.ModelProto, scratch: Path, libraries: Sequence[str]) -> set[str]:
    """Give the outputs of ops that libraries register the types that ONNX Runtime gives them, and infer on.

    A converter puts no Cast behind a node that it leaves alone where it does not know what type comes out.
    Returns the names of these ops.
    """
    if not libraries:
        return set()
    local = {(f.domain, f.name) for f in model.functions}
    nodes = [
        n
        for n in model.graph.node
        if n.domain not in KNOWN_DOMAINS and (n.domain, n.op_type) not in local
    ]
    known = {v.name for v in (*model.graph.value_info, *model.graph.output)}
    asked = [name for n in nodes for name in n.output if name and name not in known]
    if asked:
        probe = onnx.ModelProto()
        probe.CopyFrom(model)
        probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in asked)
        path = scratch / "probe.onnx"
        with raise_as(ConversionError, "the model does not load with its custom ops"):
            save_model(probe, path)
            session = cpu_reference.open_session(path, custom_ops=libraries)
        for value in session.get_outputs():
            if value.name in asked and (element := _ELEMENT.get(str(value.type))):
                made = onnx.helper.make_tensor_value_info(value.name, element, None)
                model.graph.value_info.append(made)
        for part in scratch.glob("probe.onnx*"):
            part.unlink()
        with contextlib.suppress(Exception):  # shapes are a help; past 2 GiB there are none
            inferred = onnx.shape_inference.infer_shapes(model)
            del model.graph.value_info[:]
            model.graph.value_info.extend(inferred.graph.value_info)
    return {n.op_type for n in nodes}


def _fp16(
    float16: ModuleType, model: onnx.ModelProto, op_types: list[str], request: ConversionRequest
) -> onnx.ModelProto:
    logging.getLogger(float16.__name__).setLevel(logging.ERROR)
    with raise_as(ConversionError, f"{request.converter} failed"):
        converted: onnx.ModelProto = float16.convert_float_to_float16(
            model,
            keep_io_types=True,
            disable_shape_infer=True,  # done by load_with_shapes, past 2 GiB too
            op_block_list=op_types,
            node_block_list=list(request.node_block_list),
        )
    return converted


def to_int8(source: Path, draft: Path, request: ConversionRequest) -> Conversion:
    """Static int8 in QDQ form, calibrated on every test set in `request.calibration`; raises UserError."""
    from onnxruntime import quantization
    from onnxruntime.quantization.registry import QDQRegistry

    structure = read_structure(source)
    feeds = _calibration_feeds(structure, request.calibration)
    opset = op_schemas.opset_of(structure)
    cpu_reference.silence_engine()
    with raise_as(ConversionError, "onnxruntime.quantization failed"):
        quantization.quantize_static(
            str(source),
            str(draft),
            _Feeds(iter(feeds)),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=sorted(set(QDQRegistry) - set(request.op_block_list)),
            nodes_to_exclude=list(request.node_block_list),
            per_channel=opset >= 13,  # QuantizeLinear has an axis from opset 13 on
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            use_external_data_format=bool(external_files(source, structure)),
        )
    quantised = onnx.load(str(draft), load_external_data=False)
    pairs = sum(node.op_type == "DequantizeLinear" for node in quantised.graph.node)
    if pairs == 0:
        raise ConversionError("nothing was quantised: no node of a quantisable type is left")
    notes = (
        f"calibrated on {len(feeds)} test sets",
        f"{pairs} DequantizeLinear nodes",
        "weights per channel" if opset >= 13 else f"weights per tensor (opset {opset})",
    )
    return Conversion(tuple(sorted(request.op_block_list)), notes)


def _calibration_feeds(model: onnx.ModelProto, folder: Path | None) -> list[Tensors]:
    if folder is None:
        raise ConversionError("int8 needs test sets to calibrate on: give --calibration FOLDER")
    feeds = [read_inputs(data_set, signature_of(model)) for data_set in find_test_sets(folder)]
    if not feeds:
        raise ConversionError(f"{folder}: no test_data_set_* folder to calibrate on")
    return feeds


def _holds_half(model: onnx.ModelProto) -> bool:
    for graph in graph_repair.all_graphs(model.graph):
        attributes = [(node.op_type, a) for node in graph.node for a in node.attribute]
        types = {tensor.data_type for tensor in graph.initializer}
        types |= {a.t.data_type for _, a in attributes}
        types |= {a.i for op_type, a in attributes if op_type == "Cast" and a.name == "to"}
        if types & HALVES:
            return True
    return False
