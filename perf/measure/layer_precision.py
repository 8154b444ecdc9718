"""The precision that an engine's layers really run in, read from what the engine tells of itself."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from perf.schema.cell import Cell
from perf.schema.journal import PrecisionEvidence

# Layers that move, shape or synchronise data compute nothing whose precision could be asked about
_NO_ARITHMETIC = re.compile(
    r"reformat|noop|constant|shape|signal|wait|shuffle|slice|concat|copy|memcpy|host|device", re.I
)
# "Row major linear FP16 format", "Half", "Thirty-two wide … Int8 format.", "BFloat16", "FP8 E4M3"
_TYPES = (
    ("bf16", re.compile(r"bf16|bfloat16", re.I)),
    ("fp16", re.compile(r"fp16|half|float16", re.I)),
    ("fp8", re.compile(r"fp8|e4m3|e5m2", re.I)),
    ("int8", re.compile(r"\bint8|\bi8", re.I)),
    ("fp32", re.compile(r"fp32|\bfloat\b|float32", re.I)),
)
# Kernel names of NVIDIA's libraries spell operand types: i8i8_i8i32, f16f16_f16f32, tf32tf32, f32f32
_TACTICS = (
    ("bf16", re.compile(r"bf16bf16|_bf16_", re.I)),
    ("fp8", re.compile(r"e4m3|e5m2", re.I)),
    ("int8", re.compile(r"i8i8|i8f32_i8i32|_s8_|imma", re.I)),
    ("fp16", re.compile(r"f16f16|_h\d{3,4}|hmma|_fp16_|h884|h1688", re.I)),
    ("tf32", re.compile(r"tf32", re.I)),
    ("fp32", re.compile(r"f32f32|scudnn|_sgemm|_fp32_|ffma", re.I)),
)


@dataclass(frozen=True)
class Layer:
    """A layer of an engine and what it computes in; "" where the engine does not say."""

    name: str
    kind: str
    precision: str


def evidence_of_engine(
    layer_info: str, layer_times: str, cell: Cell, regime: str
) -> PrecisionEvidence | None:
    """`precision_of_engine` for a cell; what tells nothing that can be read is logged, and proves nothing."""
    try:
        precision = cell.target.precision.value
        return precision_of_engine(layer_info, layer_times, precision, regime, tf32=cell.tf32)
    except ValueError as e:
        print(f"precision not attested: {e}", flush=True)
        return None


def precision_of_engine(
    layer_info: str, layer_times: str, precision: str, regime: str, *, tf32: bool = False
) -> PrecisionEvidence | None:
    """Shares of an engine's layers, and of their time, that run in `asked` (fp32, fp16, bf16, int8).

    `layer_info` is the engine inspector's JSON (also trtexec --exportLayerInfo), `layer_times` trtexec's
    --exportProfile or "". Counted are layers that compute and whose precision is known; None where there is
    none, as in an engine built without detailed verbosity. Where TF32 is allowed, it counts as fp32.
    Raises ValueError for what is no such JSON.
    """
    known = [layer for layer in read_layers(layer_info) if layer.precision]
    if not known:
        return None
    times = _times(layer_times) if layer_times else {}
    wanted = {precision, "tf32"} if precision == "fp32" and tf32 else {precision}
    hits = [layer for layer in known if layer.precision in wanted]
    total_ms = sum(times.get(layer.name, 0.0) for layer in known)
    hit_ms = sum(times.get(layer.name, 0.0) for layer in hits)
    return PrecisionEvidence(
        precision=precision,
        layer_share=len(hits) / len(known),
        time_share=hit_ms / total_ms if total_ms else None,
        source=f"engine inspector: {_census(known)}",
        regime=regime,
    )


def precision_of_profile(
    profile: str, precision: str, regime: str = ""
) -> PrecisionEvidence | None:
    """Shares of ONNX Runtime's kernels, and of their host time, whose tensors are of the type asked for.

    Read from a profile's input and output types; kernels without a floating-point tensor are not counted.
    Raises ValueError for what is no profile.
    """
    events = [e for e in json.loads(profile) if str(e.get("name", "")).endswith("_kernel_time")]
    known: dict[str, tuple[str, float]] = {}
    for event in events:  # of a node's runs the last counts: the first allocates and tunes
        if kind := _kernel_precision(event.get("args", {})):
            known[event["name"]] = (kind, float(event.get("dur", 0)))
    if not known:
        return None
    hits = [us for kind, us in known.values() if kind == precision]
    total_us = sum(us for _, us in known.values())
    return PrecisionEvidence(
        precision=precision,
        layer_share=len(hits) / len(known),
        time_share=sum(hits) / total_us if total_us else None,
        source="onnxruntime profile: tensor types of kernels",
        regime=regime,
    )


def read_layers(layer_info: str) -> tuple[Layer, ...]:
    """The layers of inspector JSON that compute, in the engine's order; raises ValueError."""
    try:
        told = json.loads(layer_info)
    except json.JSONDecodeError as e:
        raise ValueError(f"layer info is torn at character {e.pos}") from e
    rows = told.get("Layers", told.get("layers")) if isinstance(told, dict) else told
    if not isinstance(rows, list):
        raise ValueError("layer info holds no list of layers")
    # names alone are what an engine built without detailed verbosity tells
    return tuple(layer for row in rows if isinstance(row, dict) and (layer := _layer(row)))


def _layer(row: Mapping[str, Any]) -> Layer | None:
    row = {k.lower(): v for k, v in row.items()}  # 8.2 wrote keys in small letters
    name, kind = str(row.get("name", "")), str(row.get("layertype", ""))
    if kind and _NO_ARITHMETIC.search(kind):
        return None
    return Layer(name, kind, _precision(row))


def _precision(row: Mapping[str, Any]) -> str:
    """What a layer computes in: by its weights, else by its kernel's name, else by its float inputs.

    A kernel that reads one fp32 tensor computes on fp32 values, whatever its other inputs are.
    """
    weights = row.get("weights")
    if isinstance(weights, Mapping):
        told = _type_of(str({k.lower(): v for k, v in weights.items()}.get("type", "")))
        if told and told != "fp32":  # fp32 weights may yet be multiplied as TF32
            return told
    if tactic := _first_match(_TACTICS, str(row.get("tacticname", ""))):
        return tactic
    for side in ("inputs", "outputs"):
        if types := _float_types(row.get(side)):
            return types.pop() if len(types) == 1 else "fp32" if "fp32" in types else ""
    return ""


def _float_types(tensors: Any) -> set[str]:
    if not isinstance(tensors, list):
        return set()
    told = set()
    for tensor in (t for t in tensors if isinstance(t, Mapping)):
        low = {k.lower(): v for k, v in tensor.items()}
        told.add(_type_of(str(low.get("format/datatype") or low.get("datatype") or "")))
    return told - {""}


def _type_of(text: str) -> str:
    return "" if text.startswith("N/A") else _first_match(_TYPES, text)


def _first_match(table: Iterable[tuple[str, re.Pattern[str]]], text: str) -> str:
    return next((name for name, pattern in table if pattern.search(text)), "")


def _times(text: str) -> dict[str, float]:
    """Average ms by layer of --exportProfile; its first row is a count, a name may come more than once."""
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as e:
        raise ValueError(f"layer times are torn at character {e.pos}") from e
    out: dict[str, float] = {}
    for row in rows:
        if "name" in row:
            out[row["name"]] = out.get(row["name"], 0.0) + float(row["averageMs"])
    return out


def _census(known: Iterable[Layer]) -> str:
    counts: dict[str, int] = {}
    for layer in known:
        counts[layer.precision] = counts.get(layer.precision, 0) + 1
    return ", ".join(f"{n} {p}" for p, n in sorted(counts.items(), key=lambda c: -c[1]))


def _kernel_precision(args: Mapping[str, Any]) -> str:
    """The type of a kernel's floating-point inputs, else outputs; mixed ones compute in the wider."""
    for side in ("input_type_shape", "output_type_shape"):
        types = {str(t) for tensor in args.get(side, ()) for t in tensor}
        for onnx, name in (("float", "fp32"), ("float16", "fp16"), ("bfloat16", "bf16")):
            if onnx in types:
                return name
    return ""
