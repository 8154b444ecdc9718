"""Names, types and dimensions of an ONNX graph's inputs and outputs, read without the onnx package.

A worker of a TensorRT environment has numpy and its engine only, and must know which inputs are dynamic and
what types the outputs have. Field numbers are those of onnx.proto3; weights are skipped, never read. It tells
what perf.conversion.signature does where the onnx package is, names of dimensions aside; a test sees to it.
"""

import mmap
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

Span: TypeAlias = tuple[int, int]  # where a message lies in the file
_GRAPH = 7  # ModelProto.graph
_INITIALIZER, _SPARSE, _INPUT, _OUTPUT = 5, 15, 11, 12  # GraphProto
_TENSOR_NAME = 8  # TensorProto.name


@dataclass(frozen=True)
class HeaderValue:
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

    inputs: tuple[HeaderValue, ...]
    outputs: tuple[HeaderValue, ...]


def read(path: Path) -> Header:
    """Read a model's header; raises ValueError for what is no ONNX model, OSError."""
    with path.open("rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _header(data)
        except (IndexError, UnicodeDecodeError) as e:
            raise ValueError(f"{path}: truncated, or not an ONNX model") from e


def _header(data: mmap.mmap) -> Header:
    inputs: list[HeaderValue] = []
    outputs: list[HeaderValue] = []
    given: set[str] = set()
    for graph in _fields(data, (0, len(data))).messages[_GRAPH]:
        found = _fields(data, graph).messages
        inputs += [_value(data, m) for m in found[_INPUT]]
        outputs += [_value(data, m) for m in found[_OUTPUT]]
        sparse = [m for s in found[_SPARSE] for m in _fields(data, s).messages[1]]
        for tensor in (*found[_INITIALIZER], *sparse):
            given.add(_text(data, _fields(data, tensor).messages[_TENSOR_NAME]))
    if not outputs:
        raise IndexError("no graph with outputs in it")
    return Header(tuple(v for v in inputs if v.name not in given), tuple(outputs))


def _value(data: mmap.mmap, info: Span) -> HeaderValue:
    """ValueInfoProto: name 1, type 2; TypeProto: tensor_type 1; Tensor: elem_type 1, shape 2; its dim 1."""
    fields = _fields(data, info).messages
    name = _text(data, fields[1])
    for tensor in (t for kind in fields[2] for t in _fields(data, kind).messages[1]):
        found = _fields(data, tensor)
        shapes = [_fields(data, shape).messages[1] for shape in found.messages[2]]
        dims = tuple(_dim(_fields(data, dim)) for dim in shapes[0]) if shapes else None
        return HeaderValue(name, found.integers.get(1, 0), dims)
    return HeaderValue(name, 0, None)  # a sequence, a map or an optional


def _dim(fields: "_Fields") -> int | None:
    """Dimension: dim_value 1, dim_param 2; what is negative is unknown."""
    size = fields.integers.get(1)
    return size if size is None or size < 1 << 63 else None


def _text(data: mmap.mmap, spans: list[Span]) -> str:
    return data[slice(*spans[0])].decode() if spans else ""


@dataclass(frozen=True)
class _Fields:
    """A message's fields by number; fixed-width ones, which none of those wanted is, are skipped."""

    integers: dict[int, int]  # the first of each
    messages: defaultdict[int, list[Span]]


def _fields(data: mmap.mmap, within: Span) -> _Fields:
    out = _Fields({}, defaultdict(list))
    at, end = within
    while at < end:
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            out.integers.setdefault(number, value)
        elif wire == 2:
            length, at = _varint(data, at)
            if at + length > end:
                raise IndexError("a field ends beyond its message")
            out.messages[number].append((at, at + length))
            at += length
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            raise IndexError(f"wire type {wire} is not used by ONNX")
    return out


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
