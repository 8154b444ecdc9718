"""Feeds as ONNX Runtime's own values on the host or a device, or why they cannot be."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from perf.backends import Unsupported
from perf.measure import ort_values

if TYPE_CHECKING:
    import numpy as np


def values_of_feed(feed: Mapping[str, Any]) -> dict[str, Any]:
    """OrtValues of a feed without absent optionals (None); raises Unsupported for a sequence or map."""
    for name, given in feed.items():
        if isinstance(given, list | dict):
            kind = "sequence" if isinstance(given, list) else "map"
            raise Unsupported(f"input {name!r} is a {kind} in a model of types that numpy lacks")
    return {n: to_ort_value(a) for n, a in feed.items() if a is not None}


def to_ort_value(array: "np.ndarray") -> Any:
    """An OrtValue on the host; it may share the array's memory. Raises Unsupported for strings."""
    if array.dtype.kind in "OUS":
        raise Unsupported("onnxruntime makes no value of its own from strings: use -b off")
    return ort_values.to_ort_value(array)


def to_device_value(name: str, array: Any, device: str, number: int) -> Any:
    """An OrtValue in the device's memory; raises Unsupported for what cannot be bound."""
    from onnxruntime import OrtValue

    from perf.measure import tensor_io

    if array is None or isinstance(array, list | dict):
        raise Unsupported(f"input {name!r} is no tensor and cannot be bound: use -b off")
    if device == "cpu":
        return to_ort_value(array)
    if isinstance(array, tensor_io.Coded):
        raise Unsupported(f"input {name!r} is of a type that numpy lacks: use -b off")
    return OrtValue.ortvalue_from_numpy(array, device, number)
