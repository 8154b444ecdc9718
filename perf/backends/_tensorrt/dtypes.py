"""Element types of ONNX, numpy and TensorRT engines, and which of them an engine takes or gives."""

from typing import TYPE_CHECKING

from perf.backends import Tensors, Unsupported

if TYPE_CHECKING:
    import numpy as np

# TensorProto.DataType by number, as numpy would spell them
_OF_ONNX = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool",
    10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16",
}  # fmt: skip
_OF_ENGINE = {
    "FLOAT": "float32", "HALF": "float16", "BF16": "uint16", "INT8": "int8", "UINT8": "uint8",
    "INT32": "int32", "INT64": "int64", "BOOL": "bool",
}  # fmt: skip
_ENGINE_INPUTS = frozenset(_OF_ENGINE.values())
_INT32 = (-(2**31), 2**31 - 1)


def name_of_onnx_type(onnx_type: int) -> str:
    """float32, int64, bfloat16, …; raises Unsupported for what no engine gives (strings, sequences)."""
    if onnx_type not in _OF_ONNX:
        raise Unsupported(f"TensorRT has no tensors of ONNX type {onnx_type}")
    return _OF_ONNX[onnx_type]


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
