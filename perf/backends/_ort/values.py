"""Tensors between numpy and ONNX Runtime's own values, for the types that only one of the two has."""

import ctypes
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from perf.backends import Unsupported

if TYPE_CHECKING:
    import numpy as np


def values_of_feed(feed: Mapping[str, Any]) -> dict[str, Any]:
    """OrtValues of a feed; an absent optional (None) is left out. Raises Unsupported for a sequence."""
    for name, given in feed.items():
        if isinstance(given, list):
            raise Unsupported(f"input {name!r} is a sequence in a model of types that numpy lacks")
    return {n: to_ort_value(a) for n, a in feed.items() if a is not None}


def to_ort_value(array: "np.ndarray") -> Any:
    """An OrtValue on the host; it may share the array's memory. Raises Unsupported for strings."""
    import numpy as np
    from onnxruntime import OrtValue

    from perf.measure import tensor_io

    if array.dtype.kind in "OUS":
        raise Unsupported("onnxruntime makes no value of its own from strings: use -b off")
    if not isinstance(array, tensor_io.Coded):
        return OrtValue.ortvalue_from_numpy(array)
    plain = np.ascontiguousarray(np.asarray(array))
    bits = tensor_io.CODED_BITS[array.onnx_type]
    if bits >= 8:
        return OrtValue.ortvalue_from_numpy_with_onnx_type(plain, array.onnx_type)
    packed = pack(plain, bits)
    made = OrtValue.ortvalue_from_shape_and_type(list(plain.shape), array.onnx_type)
    ctypes.memmove(made.data_ptr(), packed.ctypes.data, packed.nbytes)
    return made


def to_device_value(name: str, array: Any, device: str, number: int) -> Any:
    """An OrtValue in the device's memory; raises Unsupported for what cannot be bound."""
    from onnxruntime import OrtValue

    from perf.measure import tensor_io

    if array is None or isinstance(array, list):
        raise Unsupported(f"input {name!r} is no tensor and cannot be bound: use -b off")
    if device == "cpu":
        return to_ort_value(array)
    if isinstance(array, tensor_io.Coded):
        raise Unsupported(f"input {name!r} is of a type that numpy lacks: use -b off")
    return OrtValue.ortvalue_from_numpy(array, device, number)


def to_array(given: Any) -> "np.ndarray":
    """A run's output as an array that owns its memory; types that numpy lacks as inputs.Coded."""
    import numpy as np

    from perf.measure import tensor_io

    if isinstance(given, np.ndarray):
        return given
    onnx_type = given.element_type()
    if onnx_type not in tensor_io.CODED_BITS:
        plain: np.ndarray = given.numpy()
        return plain
    bits = tensor_io.CODED_BITS[onnx_type]
    size = given.tensor_size_in_bytes()
    raw = ctypes.string_at(given.data_ptr(), size) if size else b""
    codes = np.frombuffer(raw, np.uint16 if bits == 16 else np.uint8)
    shape = tuple(given.shape())
    if bits < 8:
        codes = unpack(codes, bits, int(np.prod(shape)))
    return tensor_io.as_coded(codes.reshape(shape), onnx_type)


def pack(codes: "np.ndarray", bits: int) -> "np.ndarray":
    """Codes of 2 or 4 bits, one a byte, as ONNX packs them: the first in the lowest bits."""
    import numpy as np

    per_byte = 8 // bits
    flat = np.zeros(-(-codes.size // per_byte) * per_byte, np.uint8)
    flat[: codes.size] = codes.ravel() & ((1 << bits) - 1)
    shifts = (np.arange(per_byte) * bits).astype(np.uint8)
    packed: np.ndarray = np.bitwise_or.reduce(flat.reshape(-1, per_byte) << shifts, axis=1)
    return packed


def unpack(packed: "np.ndarray", bits: int, count: int) -> "np.ndarray":
    """The inverse of `pack`: `count` codes, one a byte."""
    import numpy as np

    shifts = (np.arange(8 // bits) * bits).astype(np.uint8)
    spread = (packed[:, None] >> shifts) & np.uint8((1 << bits) - 1)
    codes: np.ndarray = spread.ravel()[:count]
    return codes
