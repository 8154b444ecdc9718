"""Tensors as a TensorRT engine takes and gives them: which types it knows, and what stands for the others."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from perf.backends import Tensors, Unsupported
from perf.core.cell import Cell
from perf.core.profiles import Shape

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


def first_feed(cell: Cell) -> Tensors:
    """The first set's inputs, read anew; empty where a cell has none."""
    import numpy as np

    inputs = cell.sets[0].inputs if cell.sets else ()
    return {t.name: np.load(Path(t.path), allow_pickle=False) for t in inputs}
