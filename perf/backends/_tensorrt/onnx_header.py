"""Names, types and dimensions of an ONNX graph's inputs and outputs, read without the onnx package.

A worker of a TensorRT environment has numpy and its engine only, and must know which inputs are dynamic and
what types the outputs have. Field numbers are those of onnx.proto3; weights are skipped, never read. It tells
what perf.conversion.signature does where the onnx package is, names of dimensions aside; a test sees to it.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

Span: TypeAlias = tuple[int, int]  # where a message lies in the file
_GRAPH = 7  # ModelProto.graph
_INITIALIZER, _SPARSE, _INPUT, _OUTPUT = 5, 15, 11, 12  # GraphProto
_TENSOR_NAME = 8  # TensorProto.name


@dataclass(frozen=True)
class Value:
    """One input or output: TensorProto.DataType, and its dimensions, None where they are not fixed."""

    name: str
    onnx_type: int
    dims: tuple[int | None, ...] | None

    @property
    def dynamic(self) -> bool:
        """Whether its shape is known only when it is fed."""
        return self.dims is None or None in self.dims


@dataclass(frozen=True)
class Header:
    """What a model takes and gives, initialisers not counted as inputs, in the model's own order."""

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]


def read(path: Path) -> Header:
    """Read a model's header; raises ValueError for what is no ONNX model, OSError."""
    with path.open("rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _header(data)
        except (IndexError, UnicodeDecodeError) as e:
            raise ValueError(f"{path}: truncated, or not an ONNX model") from e


def _header(data: mmap.mmap) -> Header:
    inputs: list[Value] = []
    outputs: list[Value] = []
    given: set[str] = set()
    for graph in _messages(data, (0, len(data)), _GRAPH):
        inputs += [_value(data, m) for m in _messages(data, graph, _INPUT)]
        outputs += [_value(data, m) for m in _messages(data, graph, _OUTPUT)]
        given.update(_text(data, m, _TENSOR_NAME) for m in _messages(data, graph, _INITIALIZER))
        for sparse in _messages(data, graph, _SPARSE):
            given.update(_text(data, m, _TENSOR_NAME) for m in _messages(data, sparse, 1))
    if not outputs:
        raise IndexError("no graph with outputs in it")
    return Header(tuple(v for v in inputs if v.name not in given), tuple(outputs))


def _value(data: mmap.mmap, info: Span) -> Value:
    """ValueInfoProto: name 1, type 2; TypeProto: tensor_type 1; Tensor: elem_type 1, shape 2."""
    name = _text(data, info, 1)
    for kind in _messages(data, info, 2):
        for tensor in _messages(data, kind, 1):
            onnx_type = _integer(data, tensor, 1) or 0
            shape = next(_messages(data, tensor, 2), None)
            return Value(name, onnx_type, None if shape is None else _dims(data, shape))
    return Value(name, 0, None)  # a sequence, a map or an optional


def _dims(data: mmap.mmap, shape: Span) -> tuple[int | None, ...]:
    """TensorShapeProto: dim 1; Dimension: dim_value 1, dim_param 2."""
    fixed = (_integer(data, dim, 1) for dim in _messages(data, shape, 1))
    return tuple(n if n is None or n < 1 << 63 else None for n in fixed)  # negative: unknown


def _messages(data: mmap.mmap, within: Span, wanted: int) -> Iterator[Span]:
    return (v for n, v in _fields(data, within) if n == wanted and isinstance(v, tuple))


def _integer(data: mmap.mmap, within: Span, wanted: int) -> int | None:
    found = (v for n, v in _fields(data, within) if n == wanted and isinstance(v, int))
    return next(found, None)


def _text(data: mmap.mmap, within: Span, wanted: int) -> str:
    span = next(_messages(data, within, wanted), None)
    return data[slice(*span)].decode() if span else ""


def _fields(data: mmap.mmap, within: Span) -> Iterator[tuple[int, int | Span]]:
    """Each field's number and value; fixed-width fields, which none of those wanted is, are skipped."""
    at, end = within
    while at < end:
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
        elif wire == 2:
            length, at = _varint(data, at)
            if at + length > end:
                raise IndexError("a field ends beyond its message")
            yield number, (at, at + length)
            at += length
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            raise IndexError(f"wire type {wire} is not used by ONNX")


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError("a number longer than ten bytes")
