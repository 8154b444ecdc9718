"""ONNX files read from protobuf's wire, without onnx: which files of external data they name.

Field numbers are onnx.proto's; messages that are not looked into are skipped by their length.
"""

import mmap
from collections.abc import Iterator

Span = tuple[int, int]
_DEEPEST = 64  # graphs within graphs
# From a message to those in it that may hold tensors: {kind: {field: kind}}
_INSIDE = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}


def external_names(data: mmap.mmap | bytes) -> frozenset[str]:
    """The `location` of every tensor with external data; raises ValueError for what is no such file."""
    found: set[str] = set()
    todo: list[tuple[str, Span, int]] = [("model", (0, len(data)), 0)]
    while todo:
        kind, span, depth = todo.pop()
        if depth > _DEEPEST * 4:
            raise ValueError("nested too deeply")
        if kind == "entry":
            texts = {
                n: bytes(data[slice(*v)]) for n, v in fields(data, span) if isinstance(v, tuple)
            }
            if texts.get(1) == b"location":
                found.add(texts.get(2, b"").decode("utf-8", "surrogateescape"))
            continue
        inside = _INSIDE[kind]
        todo += [
            (inside[n], v, depth + 1)
            for n, v in fields(data, span)
            if n in inside and isinstance(v, tuple)
        ]
    return frozenset(found)


def fields(data: mmap.mmap | bytes, within: Span) -> Iterator[tuple[int, int | Span]]:
    """Each field of a message: its number, and its integer or where its bytes lie.

    Fixed-width ones are skipped. Raises ValueError for what is no protobuf message.
    """
    at, end = within
    while at < end:
        key, at = _varint(data, at, end)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at, end)
            yield number, value
        elif wire == 2:
            length, at = _varint(data, at, end)
            if at + length > end:
                raise ValueError("a field ends beyond its message")
            yield number, (at, at + length)
            at += length
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire} is not used by ONNX")


def _varint(data: mmap.mmap | bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            break
    raise ValueError("a number is torn, or longer than ten bytes")
