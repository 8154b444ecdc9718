"""Test tensors between .npy files and arrays, types that numpy lacks (bf16, fp8, int4) included."""

import time
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from perf.schema.cell import TensorFile, TestSet, base_name

Feed: TypeAlias = dict[str, np.ndarray]  # a sequence input is fed as its elements, `name[0]`, …

# onnx.TensorProto.DataType: the wire's numbers, which cannot change
STRING, BFLOAT16, FLOAT4E2M1, FLOAT8E8M0 = 8, 16, 23, 24
NUMPY_OF = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64",
    9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64",
    15: "complex128",
}  # fmt: skip
ONNX_OF = {v: k for k, v in NUMPY_OF.items()}
CODED_BITS = {16: 16, 17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2}
# significant bits after the leading one: half a unit in the last place is 2**-(bits + 1)
MANTISSA_BITS = {
    1: 23,
    10: 10,
    11: 52,
    14: 23,
    15: 52,
    16: 7,
    17: 3,
    18: 3,
    19: 2,
    20: 2,
    23: 1,
    24: 0,
}
# What need not be told from zero: the smallest normal number; of fp16 and fp8, the smallest
SMALLEST = {
    1: 2.0**-126, 10: 2.0**-24, 11: 2.0**-1022, 14: 2.0**-126, 15: 2.0**-1022, 16: 2.0**-126,
    17: 2.0**-9, 18: 2.0**-10, 19: 2.0**-16, 20: 2.0**-17, 23: 0.5,
}  # fmt: skip
# fp8: exponent bits, mantissa bits, bias, kind (IEEE Inf/NaN; FN: NaN only; FNUZ: NaN at -0)
_FLOAT8 = {
    17: (4, 3, 7, "fn"),
    18: (4, 3, 8, "fnuz"),
    19: (5, 2, 15, "ieee"),
    20: (5, 2, 16, "fnuz"),
}


_SMALL_BYTES = 1 << 16
# A file written anew within a tick of its file system's clock cannot be told from what it was
_SETTLED_NS = 1_000_000_000


class Coded(np.ndarray):
    """Codes (uint16 or uint8, one an element) of the ONNX type `onnx_type`, which numpy lacks."""

    onnx_type: int = 0

    def __array_finalize__(self, source: Any) -> None:
        self.onnx_type = getattr(source, "onnx_type", 0)


def as_coded(codes: np.ndarray, onnx_type: int) -> Coded:
    """View codes as tensor of an ONNX type that numpy lacks."""
    out = codes.view(Coded)
    out.onnx_type = onnx_type
    return out


def onnx_type_of(array: np.ndarray) -> int:
    """The TensorProto.DataType of an array; raises KeyError for what ONNX has no type for."""
    if isinstance(array, Coded) and array.onnx_type:
        return array.onnx_type
    return STRING if array.dtype.kind in "OUS" else ONNX_OF[array.dtype.name]


def decode(array: np.ndarray) -> np.ndarray:
    """Values that can be compared: bf16 and fp8 as float32, 4- and 2-bit integers as int8."""
    if not isinstance(array, Coded) or not array.onnx_type:
        return array
    codes = np.asarray(array)
    if array.onnx_type == BFLOAT16:  # the upper half of a float32
        return (codes.astype(np.uint32) << 16).view(np.float32)
    values: np.ndarray = _values(array.onnx_type)[codes]
    return values


@cache
def _values(onnx_type: int) -> np.ndarray:
    """Every value of a type of at most 8 bits, by code (ONNX: docs/technical/float8, float4, int4)."""
    bits = CODED_BITS[onnx_type]
    codes = np.arange(1 << bits)
    if onnx_type in _FLOAT8:
        return np.array([_float8(int(c), *_FLOAT8[onnx_type]) for c in codes], np.float32)
    if onnx_type == FLOAT4E2M1:
        magnitudes = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
        return np.array(magnitudes + [-m for m in magnitudes], np.float32)
    if onnx_type == FLOAT8E8M0:
        return np.array([2.0 ** (int(c) - 127) if c < 255 else np.nan for c in codes], np.float32)
    signed = onnx_type in (22, 26)
    return np.where(signed & (codes >> (bits - 1) == 1), codes - (1 << bits), codes).astype(
        np.int8
    )


def _float8(code: int, exponent_bits: int, mantissa_bits: int, bias: int, kind: str) -> float:
    sign = -1.0 if code >> 7 else 1.0
    exponent = (code >> mantissa_bits) & ((1 << exponent_bits) - 1)
    mantissa = code & ((1 << mantissa_bits) - 1)
    top = exponent == (1 << exponent_bits) - 1
    if kind == "fnuz" and code == 0x80:
        return float("nan")
    if kind == "fn" and code & 0x7F == 0x7F:
        return float("nan")
    if kind == "ieee" and top:
        return sign * float("inf") if mantissa == 0 else float("nan")
    fraction = mantissa / (1 << mantissa_bits)
    if exponent == 0:
        return float(sign * fraction * 2.0 ** (1 - bias))
    return float(sign * (1 + fraction) * 2.0 ** (exponent - bias))


def load_inputs(test_set: TestSet) -> Feed:
    """Read a set's inputs; raises OSError or ValueError naming the file that cannot be read."""
    return {t.name: _read(t) for t in test_set.inputs}


def load_expected(test_set: TestSet) -> Feed:
    """Read a set's reference outputs, as they are stored; `decode` makes them comparable."""
    return {t.name: _read(t) for t in test_set.outputs}


def load_exact(test_set: TestSet) -> Feed:
    """Read a set's outputs in fp64, where they were computed."""
    return {t.name: _read(t) for t in test_set.exact}


def load_drawn(test_set: TestSet) -> Feed:
    """Read what a set's outputs that chance decides were, draw by draw."""
    return {t.name: _read(t) for t in test_set.drawn}


def names_without(tensors: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
    """Those of `names` that no tensor is of, neither as itself nor as an element of a sequence."""
    held = {n for name in tensors for n in (name, base_name(name))}
    return tuple(n for n in names if n not in held)


def save_tensors(
    tensors: Mapping[str, np.ndarray], folder: Path, stem: str = "output"
) -> tuple[TensorFile, ...]:
    """Write tensors as folder/stem_N.npy; strings as fixed-width unicode, never pickled."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, (name, tensor) in enumerate(tensors.items()):
        path = folder / f"{stem}_{number}.npy"
        plain = np.asarray(tensor)
        if plain.dtype.kind == "O":
            plain = plain.astype(np.str_)
        np.save(path, plain, allow_pickle=False)
        files.append(TensorFile(name, str(path), onnx_type_of(tensor), tuple(plain.shape)))
    return tuple(files)


def _read(file: TensorFile) -> np.ndarray:
    found = Path(file.path).stat()
    if found.st_size > _SMALL_BYTES or time.time_ns() - found.st_ctime_ns < _SETTLED_NS:
        array = _load(file.path)
    else:
        version = found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns
        array = _load_small(file.path, version).copy()
    return as_coded(array, file.onnx_type) if file.onnx_type in CODED_BITS else array


@lru_cache(maxsize=64)  # a worker that waits for its cell has mostly read its files already
def _load_small(path: str, version: tuple[int, ...]) -> np.ndarray:
    return _load(path)


def _load(path: str) -> np.ndarray:
    try:
        array: np.ndarray = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as e:
        raise ValueError(f"{path}: not a whole .npy file ({e})") from e
    return array
