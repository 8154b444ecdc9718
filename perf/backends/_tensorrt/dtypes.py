"""Element types of ONNX, numpy and TensorRT engines, and which of them an engine takes or gives."""

from typing import TYPE_CHECKING

from perf.backends import Tensors, Unsupported

if TYPE_CHECKING:
    import numpy as np

_OF_ENGINE = {
    "FLOAT": "float32", "HALF": "float16", "BF16": "uint16", "INT8": "int8", "UINT8": "uint8",
    "INT32": "int32", "INT64": "int64", "BOOL": "bool",
}  # fmt: skip
_ENGINE_INPUTS = frozenset(_OF_ENGINE.values())
_INT32 = (-(2**31), 2**31 - 1)


def name_of_onnx_type(onnx_type: int) -> str:
    """float32, int64, bfloat16, …; raises Unsupported for what no engine gives (strings, sequences)."""
    from perf.measure.tensor_io import BFLOAT16, NUMPY_OF  # numpy

    name = "bfloat16" if onnx_type == BFLOAT16 else NUMPY_OF.get(onnx_type, "")
    if not name or "complex" in name:
        raise Unsupported(f"TensorRT has no tensors of ONNX type {onnx_type}")
    return name


def numpy_of_engine_type(engine_type: str) -> str:
    """numpy's name for a trt.DataType's; bfloat16 as its bits. Raises Unsupported for what numpy lacks."""
    if engine_type not in _OF_ENGINE:
        raise Unsupported(f"an engine's tensor is {engine_type}, which numpy cannot hold")
    return _OF_ENGINE[engine_type]


def to_engine_inputs(feed: Tensors, *, native_int64: bool) -> dict[str, "np.ndarray"]:
    """The feed in types that an engine takes; before TensorRT 10 int64 is fed as the int32 it was parsed to.

    Raises Unsupported for other types, and for values that int32 cannot hold. bfloat16 comes as its bits.
    """
    import numpy as np

    out = {}
    for name, array in feed.items():
        kind = array.dtype.name
        if kind not in _ENGINE_INPUTS:
            raise Unsupported(f"input {name!r} is {kind}, which TensorRT does not take")
        if kind == "int64" and not native_int64:
            if array.size and not (_INT32[0] <= array.min() and array.max() <= _INT32[1]):
                raise Unsupported(
                    f"input {name!r} holds values beyond int32, which this TensorRT needs"
                )
            array = array.astype(np.int32)
        out[name] = np.ascontiguousarray(array)
    return out
