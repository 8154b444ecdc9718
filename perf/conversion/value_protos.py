"""A model's inputs and outputs as protobuf messages: tensors, and sequences, optionals and maps of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper

from perf.conversion.signature import Value
from perf.measure import tensor_io

_MESSAGES: Mapping[str, Any] = {
    "sequence": onnx.SequenceProto,
    "sequence map": onnx.SequenceProto,
    "optional": onnx.OptionalProto,
    "optional sequence": onnx.OptionalProto,
    "map": onnx.MapProto,
}


def carry(array: np.ndarray, onnx_type: int) -> np.ndarray:
    """An array of numpy's types or of ml_dtypes as it is fed and compared: of the latter, its codes."""
    if onnx_type not in tensor_io.CODED_BITS:
        return array
    bits = tensor_io.CODED_BITS[onnx_type]
    codes = array.view(np.uint16 if bits == 16 else np.uint8).astype(np.uint16)
    codes &= np.uint16((1 << bits) - 1)  # sub-byte types may fill the byte with their sign
    return tensor_io.as_coded(codes if bits == 16 else codes.astype(np.uint8), onnx_type)


def uncarry(array: np.ndarray) -> np.ndarray:
    """The inverse of `carry`: what onnx's own functions take."""
    onnx_type = tensor_io.onnx_type_of(array)
    if onnx_type not in tensor_io.CODED_BITS:
        return np.asarray(array)
    values: np.ndarray = tensor_io.decode(array)
    return values.astype(onnx.helper.tensor_dtype_to_np_dtype(onnx_type))


def find_value(data: bytes, by_name: Mapping[str, Value]) -> Value | None:
    """The value that a message names, read as the message which that value's kind asks for."""
    messages = {onnx.TensorProto, *(_message_of(v.kind) for v in by_name.values())}
    for message in messages:
        try:
            value = by_name.get(message.FromString(data).name)
        except DecodeError:
            continue
        if value is not None and _message_of(value.kind) is message:
            return value
    return None


def read_value(data: bytes, kind: str) -> tuple[str, dict[str, np.ndarray]]:
    """A message's name and its tensors, by the ends of the names that perf.measure.flat_values gives them.

    Raises DecodeError for other messages, anything for a tensor whose data do not fit its type.
    """
    proto = _message_of(kind).FromString(data)
    match kind:
        case "sequence":
            return proto.name, _elements(proto)
        case "optional":
            there = proto.HasField("tensor_value")
            return proto.name, {"": _array(proto.tensor_value)} if there else {}
        case "optional sequence":
            return proto.name, _elements(proto.sequence_value)
        case "map":
            return proto.name, _entries([proto])
        case "sequence map":
            maps = list(proto.map_values)
            counts = np.array([len(_keys(m)) for m in maps], np.int64)
            return proto.name, {"{counts}": counts, **_entries(maps)}
        case _:
            return proto.name, {"": _array(proto)}


def write_values(tensors: Mapping[str, np.ndarray], values: Sequence[Value]) -> Iterator[bytes]:
    """A message for each value, and for each tensor that is no part of one."""
    left = dict(tensors)
    for value in values:
        mine = {n: a for n, a in left.items() if n.startswith(value.name) and _is_part(n, value)}
        left = {n: a for n, a in left.items() if n not in mine}
        if mine or value.kind != "tensor":
            yield _write(value, mine).SerializeToString()
    for name, array in left.items():
        yield _proto(array, name).SerializeToString()


def _is_part(name: str, value: Value) -> bool:
    end = name.removeprefix(value.name)
    match value.kind:
        case "sequence" | "optional sequence":
            return end.startswith("[") and end.endswith("]") and end[1:-1].isdigit()
        case "map" | "sequence map":
            return end in ("{counts}", "{keys}", "{values}")
        case _:
            return not end


def _write(value: Value, parts: Mapping[str, np.ndarray]) -> Any:
    name = value.name
    match value.kind:
        case "sequence":
            return _sequence(name, parts.values())
        case "optional":
            if not parts:
                return onnx.OptionalProto(name=name, elem_type=onnx.OptionalProto.UNDEFINED)
            (array,) = parts.values()
            kind = onnx.OptionalProto.TENSOR
            return onnx.OptionalProto(name=name, elem_type=kind, tensor_value=_proto(array, ""))
        case "optional sequence":
            kind = onnx.OptionalProto.SEQUENCE
            return onnx.OptionalProto(
                name=name, elem_type=kind, sequence_value=_sequence("", parts.values())
            )
        case "map" | "sequence map":
            keys, values = parts[f"{name}{{keys}}"], parts[f"{name}{{values}}"]
            if value.kind == "map":
                return _map(name, keys, values)
            ends = np.cumsum(parts[f"{name}{{counts}}"])[:-1]
            maps = zip(np.split(keys, ends), np.split(values, ends), strict=True)
            return onnx.SequenceProto(
                name=name,
                elem_type=onnx.SequenceProto.MAP,
                map_values=[_map("", *m) for m in maps],
            )
        case _:
            (array,) = parts.values()
            return _proto(array, name)


def _message_of(kind: str) -> Any:
    return _MESSAGES.get(kind, onnx.TensorProto)


def _elements(proto: Any) -> dict[str, np.ndarray]:
    return {f"[{i}]": _array(t) for i, t in enumerate(proto.tensor_values)}


def _sequence(name: str, arrays: Any) -> Any:
    tensors = [_proto(a, "") for a in arrays]
    return onnx.SequenceProto(
        name=name, elem_type=onnx.SequenceProto.TENSOR, tensor_values=tensors
    )


def _map(name: str, keys: np.ndarray, values: np.ndarray) -> Any:
    texts = keys.dtype.kind in "OUS"
    held = {"string_keys": [str(k).encode() for k in keys]} if texts else {"keys": keys.tolist()}
    key_type = onnx.TensorProto.STRING if texts else tensor_io.onnx_type_of(keys)
    return onnx.MapProto(name=name, key_type=key_type, values=_sequence("", values), **held)


def _keys(proto: Any) -> list[Any]:
    return [k.decode() for k in proto.string_keys] or list(proto.keys)


def _entries(maps: Sequence[Any]) -> dict[str, np.ndarray]:
    """The keys, ascending in each map, and the values of several maps, one map after the other."""
    keys, values = list[Any](), list[np.ndarray]()
    for proto in maps:
        held = zip(_keys(proto), map(_array, proto.values.tensor_values), strict=True)
        for key, value in sorted(held, key=lambda item: item[0]):
            keys.append(key)
            values.append(value)
    texts = any(proto.key_type == onnx.TensorProto.STRING for proto in maps)
    return {
        "{keys}": np.array(keys, dtype=np.str_ if texts else np.int64),
        "{values}": np.stack(values) if values else np.zeros(0, np.float32),
    }


def _proto(array: np.ndarray, name: str) -> Any:
    return numpy_helper.from_array(uncarry(array), name)


def _array(tensor: onnx.TensorProto) -> np.ndarray:
    return carry(numpy_helper.to_array(tensor), tensor.data_type)
