"""The converters themselves: fp32 graph in; fp16, bf16 or int8 graph out, inputs and outputs kept."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from perf.conversion import (
    bfloat16,
    cpu_reference,
    data_sets,
    external_data,
    graph_repair,
    model_inputs,
    op_schemas,
)
from perf.conversion.artifact import ConversionError, ConversionRequest
from perf.conversion.errors import UserError
from perf.request.programs import install_command

HALVES = frozenset({TensorProto.FLOAT16, TensorProto.BFLOAT16})


@dataclass(frozen=True)
class Conversion:
    """What a converter did: the op types it left alone, and remarks for the report."""

    op_block_list: tuple[str, ...]
    notes: tuple[str, ...]


def to_half(source: Path, draft: Path, request: ConversionRequest) -> Conversion:
    """fp16 (or bf16) by way of ONNX Runtime's converter or onnxconverter-common, then repaired.

    Raises ConversionError with the converter's own reason.
    """
    model = external_data.load_with_shapes(source, draft.parent)
    if _holds_half(model):
        raise ConversionError(f"{source} already holds half-precision tensors")
    lifted = graph_repair.lift_constants(model)
    original = model
    notes = [f"{lifted} Constants made initializers"] if lifted else []
    if request.precision == "bf16":
        bfloat16.require_able(model)
        original = onnx.ModelProto()
        original.CopyFrom(model)
    lacking = op_schemas.op_types_without(
        model, {"fp16": "float16", "bf16": "bfloat16"}[request.precision]
    )
    blocked = lacking | set(request.op_block_list)
    if lacking:
        version = f"opset {op_schemas.opset_of(model)} has no {request.precision} for them"
        notes.append(f"kept fp32, {version}: {', '.join(sorted(lacking))}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        converted, op_types = _fp16(model, request, sorted(blocked))
    if clamped := sum("truncated" in str(warning.message) for warning in caught):
        notes.append(f"{clamped} tensors had values clamped into fp16's range")
    dropped = sum(graph_repair.drop_duplicate_casts(each) for each in _graphs(converted))
    if dropped:
        notes.append(f"{dropped} duplicate Casts dropped")
    graph_repair.sort_nodes(converted.graph)
    if request.precision == "bf16":
        bfloat16.from_fp16(converted, original)
    casts = sum(node.op_type == "Cast" for each in _graphs(converted) for node in each.node)
    notes.append(f"{casts} Casts in {sum(len(each.node) for each in _graphs(converted))} nodes")
    external_data.save_model(converted, draft)
    return Conversion(tuple(op_types), tuple(notes))


def _fp16(
    model: onnx.ModelProto, request: ConversionRequest, blocked: Sequence[str]
) -> tuple[onnx.ModelProto, list[str]]:
    float16 = _module(request)
    op_types = sorted({*float16.DEFAULT_OP_BLOCK_LIST, *blocked})
    logging.getLogger(float16.__name__).setLevel(logging.ERROR)
    try:
        converted = float16.convert_float_to_float16(
            model,
            keep_io_types=True,
            disable_shape_infer=True,  # done by weights.load_with_shapes, past 2 GiB too
            op_block_list=op_types,
            node_block_list=list(request.node_block_list),
        )
    except Exception as error:  # a converter may raise anything on a graph it did not foresee
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise ConversionError(f"{request.converter} failed: {reason}") from error
    return converted, op_types


def _module(request: ConversionRequest) -> Any:
    if request.converter == "onnxruntime":
        from onnxruntime.transformers import float16

        return float16
    try:
        from onnxconverter_common import float16 as common
    except ImportError as error:
        raise ConversionError(
            "onnxconverter-common is not installed here; "
            f"`{install_command('onnxconverter-common', extra=True)}` fixes it"
        ) from error
    return common


def to_int8(source: Path, draft: Path, request: ConversionRequest) -> Conversion:
    """Static int8 in QDQ form, calibrated on every test set in `request.calibration`.

    Raises ConversionError without test sets, or with the quantizer's own reason.
    """
    from onnxruntime import quantization
    from onnxruntime.quantization.registry import QDQRegistry

    feeds = _calibration_feeds(source, request.calibration)
    op_types = sorted(set(QDQRegistry) - set(request.op_block_list))
    structure = external_data.read_structure(source)
    opset = op_schemas.opset_of(structure)
    cpu_reference.silence_engine()
    try:
        quantization.quantize_static(
            str(source),
            str(draft),
            _reader(feeds),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=op_types,
            nodes_to_exclude=list(request.node_block_list),
            per_channel=opset >= 13,  # QuantizeLinear has an axis from opset 13 on
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            use_external_data_format=bool(external_data.external_files(source, structure)),
        )
    except Exception as error:
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise ConversionError(f"onnxruntime.quantization failed: {reason}") from error
    made = onnx.load(str(draft), load_external_data=False)
    pairs = sum(node.op_type == "DequantizeLinear" for node in made.graph.node)
    if pairs == 0:
        raise ConversionError("nothing was quantised: no node of a quantisable type is left")
    notes = (
        f"calibrated on {len(feeds)} test sets",
        f"{pairs} DequantizeLinear nodes",
        "weights per channel" if opset >= 13 else f"weights per tensor (opset {opset})",
    )
    return Conversion(tuple(sorted(request.op_block_list)), notes)


def _calibration_feeds(source: Path, folder: Path | None) -> list[data_sets.Tensors]:
    if folder is None:
        raise ConversionError("int8 needs test sets to calibrate on: give --calibration FOLDER")
    names = [
        each.name for each in model_inputs.declared_inputs(external_data.read_structure(source))
    ]
    try:
        feeds = [
            data_sets.read_tensors(data_set, "input", names)
            for data_set in data_sets.find_sets(folder)
        ]
    except UserError as refusal:
        raise ConversionError(str(refusal)) from refusal
    if not feeds:
        raise ConversionError(f"{folder}: no test_data_set_* folder to calibrate on")
    return feeds


def _reader(feeds: Sequence[data_sets.Tensors]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Feeds(CalibrationDataReader):  # type: ignore[misc]
        """The test sets' inputs, one after another."""

        def __init__(self) -> None:
            self.left = iter(feeds)

        def get_next(self) -> data_sets.Tensors | None:
            return next(self.left, None)

    return Feeds()


def _holds_half(model: onnx.ModelProto) -> bool:
    for graph in _graphs(model):
        if any(tensor.data_type in HALVES for tensor in graph.initializer):
            return True
        for node in graph.node:
            for attribute in node.attribute:
                casts = node.op_type == "Cast" and attribute.name == "to"
                if (casts and attribute.i in HALVES) or attribute.t.data_type in HALVES:
                    return True
    return False


def _graphs(model: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    return graph_repair.all_graphs(model.graph)
