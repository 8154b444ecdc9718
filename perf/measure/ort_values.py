"""Single tensors between numpy and ONNX Runtime's own values, for the types that only one of the two has."""

import ctypes
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # backends are found by a wrapper, which has no numpy
    import numpy as np

# ONNX Runtime's names of types that numpy lacks
NO_NUMPY = re.compile(r"bfloat16|float[48]|int[42]\b")


def to_ort_value(array: "np.ndarray") -> Any:
    """An OrtValue on the host, of anything but strings; it may share the array's memory."""
    import numpy as np
    from onnxruntime import OrtValue

    from perf.measure.tensor_io import CODED_BITS, Coded

    if not isinstance(array, Coded):
        return OrtValue.ortvalue_from_numpy(array)
    plain = np.ascontiguousarray(np.asarray(array))
    bits = CODED_BITS[array.onnx_type]
    if bits >= 8:
        return OrtValue.ortvalue_from_numpy_with_onnx_type(plain, array.onnx_type)
    packed = pack(plain, bits)
    made = OrtValue.ortvalue_from_shape_and_type(list(plain.shape), array.onnx_type)
    ctypes.memmove(made.data_ptr(), packed.ctypes.data, packed.nbytes)
    return made


def to_array(given: Any) -> "np.ndarray":
    """A run's output as an array that owns its memory; types that numpy lacks as Coded."""
    import numpy as np

    from perf.measure.tensor_io import CODED_BITS, as_coded

    if isinstance(given, np.ndarray):
        return given
    onnx_type = given.element_type()
    if onnx_type not in CODED_BITS:
        plain: np.ndarray = given.numpy()
        return plain
    bits = CODED_BITS[onnx_type]
    size = given.tensor_size_in_bytes()
    raw = ctypes.string_at(given.data_ptr(), size) if size else b""
    codes = np.frombuffer(raw, np.uint16 if bits == 16 else np.uint8)
    shape = tuple(given.shape())
    if bits < 8:
        codes = unpack(codes, bits, int(np.prod(shape)))
    return as_coded(codes.reshape(shape), onnx_type)


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
