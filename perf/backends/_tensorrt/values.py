"""What of a cell goes into a TensorRT engine: its model, profiles, and tensors in types that engines have."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from perf.backends import Tensors, Unsupported
from perf.backends._tensorrt.onnx_header import Header
from perf.request.programs import command_of
from perf.schema import shape_profiles
from perf.schema.cell import Cell, Precision
from perf.schema.shape_profiles import Shape, ShapeProfile

if TYPE_CHECKING:
    import numpy as np

# TensorProto.DataType by number, as numpy would spell them
_NAMES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string",
    9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16",
}  # fmt: skip
_FED = frozenset(("float32", "float16", "int32", "int64", "int8", "uint8", "bool", "uint16"))
_INT32 = (-(2**31), 2**31 - 1)


def onnx_name(onnx_type: int) -> str:
    """float32, int64, bfloat16, …; raises Unsupported for what no engine gives (strings, sequences)."""
    name = _NAMES.get(onnx_type, "")
    if name in ("", "string"):
        raise Unsupported(
            f"TensorRT has no tensors of ONNX type {onnx_type} ({name or 'no tensor'})"
        )
    return name


def fed(feed: Tensors, *, native_int64: bool) -> dict[str, "np.ndarray"]:
    """The feed in types that an engine takes; before TensorRT 10 int64 is fed as the int32 it was parsed to.

    Raises Unsupported for other types, and for values that int32 cannot hold. bfloat16 comes as its bits.
    """
    import numpy as np

    out = {}
    for name, array in feed.items():
        kind = array.dtype.name
        if kind not in _FED:
            raise Unsupported(f"input {name!r} is {kind}, which TensorRT does not take")
        if kind == "int64" and not native_int64:
            if array.size and not (_INT32[0] <= array.min() and array.max() <= _INT32[1]):
                raise Unsupported(
                    f"input {name!r} holds values beyond int32, which this TensorRT needs"
                )
            array = array.astype(np.int32)
        out[name] = np.ascontiguousarray(array)
    return out


def fed_shapes(cell: Cell) -> Sequence[Mapping[str, Shape]]:
    """The shapes of every set's inputs, by name."""
    return [{t.name: t.shape for t in s.inputs} for s in cell.sets]


def model_for(cell: Cell, weakly_typed: bool) -> str:
    """The file to build from: where types are the model's, half precision is the converted model.

    Raises Unsupported where that is needed and was not made.
    """
    if cell.target.precision is not Precision.FP16 or weakly_typed:
        return cell.model.path
    if not cell.model.path_fp16:
        raise Unsupported(
            "TensorRT 11 builds what the model's types say: it needs the fp16 artefact, and there is none "
            f"(model_path_fp16 in the model list, or {command_of('perf.conversion.convert')})"
        )
    return cell.model.path_fp16


def profiles_for(cell: Cell, header: Header) -> tuple[ShapeProfile, ...]:
    """Profiles of the dynamic inputs: those asked for, and for the others what covers the shapes fed.

    Raises Unsupported where one does not serve a shape that will be fed.
    """
    dynamic = {v.name for v in header.inputs if v.dynamic}
    try:
        given = shape_profiles.merge_profiles(
            shape_profiles.from_options(cell.options), fed_shapes(cell)
        )
    except ValueError as e:
        raise Unsupported(str(e)) from e
    return tuple(p for p in given if p.name in dynamic)


def first_feed(cell: Cell) -> Tensors:
    """The first set's inputs, read anew; empty where a cell has none."""
    import numpy as np

    inputs = cell.sets[0].inputs if cell.sets else ()
    return {t.name: np.load(Path(t.path), allow_pickle=False) for t in inputs}


def array_type(engine_type: str) -> str:
    """numpy's name for a trt.DataType's; bfloat16 as its bits. Raises Unsupported for what numpy lacks."""
    names = {
        "FLOAT": "float32", "HALF": "float16", "BF16": "uint16", "INT8": "int8", "UINT8": "uint8",
        "INT32": "int32", "INT64": "int64", "BOOL": "bool",
    }  # fmt: skip
    if engine_type not in names:
        raise Unsupported(f"an engine's tensor is {engine_type}, which numpy cannot hold")
    return names[engine_type]
