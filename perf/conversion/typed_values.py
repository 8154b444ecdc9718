"""What a user gave for an input as values of exactly its type, or refused by the input's name."""

import math
from typing import Any

import ml_dtypes
import numpy as np
from onnx import helper

from perf.conversion.errors import BadModel
from perf.conversion.signature import Value
from perf.measure.tensor_io import CODED_BITS, MANTISSA_BITS, STRING
from perf.request.input_numbers import read_number

_WORDS = {"true": 1, "false": 0}
_SIGNED = (22, 26)  # of the coded integers: int4 and int2


def dtype_of(value: Value) -> np.dtype:
    """numpy's type, or the one of ml_dtypes for what numpy lacks."""
    dtype: np.dtype = helper.tensor_dtype_to_np_dtype(value.onnx_type)
    return dtype


def fixed_value(value: Value, given: int | float | str) -> Any:
    """What was given as one value of the input's type; raises BadModel where that would be another one."""
    if value.onnx_type == STRING:
        if not isinstance(given, str):
            raise BadModel(f"input {value.name!r} holds strings: write its value in quotes")
        return given
    number = given if not isinstance(given, str) else _number(value, given)
    fixed = _exact(value, number, f"value {given}")
    if fixed and value.onnx_type in MANTISSA_BITS and not _held_float(dtype_of(value), fixed):
        raise BadModel(f"input {value.name!r}: value {given} would be 0 as {value.type_name}")
    return fixed


def fixed_range(
    value: Value, bounds: tuple[int | float, int | float]
) -> tuple[int | float, int | float]:
    """The least and the greatest value of the type in a range; raises BadModel where it holds an end not."""
    if value.onnx_type == STRING:
        raise BadModel(f"input {value.name!r} holds strings, and they have no range: give a value")
    what = f"range {bounds[0]:g}…{bounds[1]:g}"
    inside = bounds
    if value.onnx_type not in MANTISSA_BITS:
        inside = math.ceil(bounds[0]), math.floor(bounds[1])
    low, high = (_exact(value, bound, what) for bound in inside)
    if low > high or not math.isfinite(high - low):
        raise BadModel(f"input {value.name!r}: {what} holds no {value.type_name}, or too many")
    return low, high


def _number(value: Value, text: str) -> int | float:
    try:
        return _WORDS[text.lower()] if text.lower() in _WORDS else read_number(text)
    except ValueError as e:
        raise BadModel(f"input {value.name!r} is {value.type_name}: {e}") from e


def _exact(value: Value, number: int | float, what: str) -> int | float:
    """The number, where the type holds it: an integer exactly, a float within its range."""
    if value.onnx_type in MANTISSA_BITS:
        fits = math.isfinite(_held_float(dtype_of(value), float(number)))
    else:
        low, high = _integer_limits(value)
        fits = number == int(number) and low <= number <= high
        number = int(number)
    if not fits:
        raise BadModel(f"input {value.name!r}: {what} does not fit {value.type_name}")
    return number


def _integer_limits(value: Value) -> tuple[int, int]:
    dtype, bits = dtype_of(value), CODED_BITS.get(value.onnx_type)
    if dtype.kind == "b":
        return 0, 1
    if bits:
        signed = value.onnx_type in _SIGNED
        return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)


def _held_float(dtype: np.dtype, number: float) -> float:
    """The number as the type holds it: NaN or infinite beyond its range, also where a cast would saturate."""
    with np.errstate(all="ignore"):
        held = complex(np.asarray(number, np.float64).astype(dtype).astype(np.complex128)).real
    return held if abs(number) <= float(ml_dtypes.finfo(dtype).max) else math.inf
