"""What an ONNX file takes and gives, read without its weights, and whether its files are whole."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perf.backends import Unsupported


class BadModel(Exception):
    """A model or its test data is wrong; the message says what and where, in one line."""


@dataclass(frozen=True)
class Value:
    """One input or output: its type, and its dimensions as numbers, names or None (unknown)."""

    name: str
    onnx_type: int
    dims: tuple[int | str | None, ...] | None  # None: not even the rank is known
    kind: str  # tensor, sequence, optional, or optional sequence

    @property
    def optional(self) -> bool:
        """Whether nothing need be fed: an optional, or a sequence, which may be empty."""
        return self.kind != "tensor"

    @property
    def type_name(self) -> str:
        """float32, int64, bfloat16, …"""
        return onnx_type_name(self.onnx_type)

    @property
    def shape_text(self) -> str:
        """As users read it: [batch,3,224,224]."""
        return (
            "of any rank"
            if self.dims is None
            else f"[{','.join(str(d or '?') for d in self.dims)}]"
        )

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether a tensor of this shape has the rank and the fixed dimensions of this value."""
        if self.dims is None:
            return True
        return len(shape) == len(self.dims) and all(
            not isinstance(d, int) or d == n for d, n in zip(self.dims, shape, strict=True)
        )


@dataclass(frozen=True)
class Signature:
    """A model's inputs that must be fed, those that may be, and its outputs, in its own order."""

    inputs: tuple[Value, ...]
    overridable: tuple[Value, ...]
    outputs: tuple[Value, ...]


def onnx_type_name(onnx_type: int) -> str:
    """The name of a TensorProto.DataType as numpy would spell it."""
    import onnx

    name = onnx.TensorProto.DataType.Name(onnx_type).lower()
    return str({"float": "float32", "double": "float64"}.get(name, name))


def read_signature(path: Path, folder: Path) -> Signature:
    """Read a model; raises BadModel where it or its external data cannot be what they should be."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        data = path.read_bytes()
    except OSError as e:
        raise BadModel(f"{path}: {e.strerror}") from e
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError as e:
        raise BadModel(
            f"{path}: truncated, or not an ONNX model of {len(data)} bytes ({e})"
        ) from e
    if not model.HasField("graph") or not model.ir_version:
        raise BadModel(
            f"{path}: truncated, or not an ONNX model: no graph in its {len(data)} bytes"
        )
    if not model.opset_import and model.ir_version >= 3:
        raise BadModel(f"{path}: truncated, or not an ONNX model: it imports no opset")
    _check_external(model, path, folder)
    return _signature(model.graph)


def _signature(graph: Any) -> Signature:
    given = {t.name for t in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
    return Signature(
        tuple(_value(v) for v in graph.input if v.name not in given),
        tuple(_value(v) for v in graph.input if v.name in given),
        tuple(_value(v) for v in graph.output),
    )


_NESTED = {("tensor", "sequence"): "sequence", ("tensor", "optional"): "optional",
           ("optional", "sequence"): "optional sequence"}  # fmt: skip


def _value(info: Any) -> Value:
    kind, proto = "tensor", info.type
    while not proto.HasField("tensor_type"):
        what = str(proto.WhichOneof("value")).removesuffix("_type")
        if (kind, what) not in _NESTED:
            raise Unsupported(
                f"{info.name!r} holds a {what} in a {kind}; only tensors, sequences of them, and "
                "optionals of either can be fed"
            )
        kind = _NESTED[kind, what]
        proto = getattr(proto, f"{what}_type").elem_type
    tensor = proto.tensor_type
    dims = tuple(_dim(d) for d in tensor.shape.dim) if tensor.HasField("shape") else None
    return Value(info.name, tensor.elem_type, dims, kind)


def _dim(dim: Any) -> int | str | None:
    if dim.HasField("dim_value"):
        value: int = dim.dim_value
        return value if value >= 0 else None
    name: str = dim.dim_param
    return name or None


def _check_external(model: Any, path: Path, folder: Path) -> None:
    """Every external file exists, is long enough, and lies in the model's folder.

    "In the folder" is where the links lead, beside the model's own file or its folder: caches keep models as
    links to files that lie together elsewhere.
    """
    homes = (folder.resolve(), path.resolve().parent)
    sizes: dict[str, int] = {}
    for tensor in _external_tensors(model):
        fields = {e.key: e.value for e in tensor.external_data}
        location = fields.get("location", "")
        if location not in sizes:
            sizes[location] = _external_size(path, homes, location)
        needed = int(fields.get("offset", 0)) + int(fields.get("length", 0))
        if needed > sizes[location]:
            raise BadModel(
                f"{path}: external data {location!r} has {sizes[location]} bytes, "
                f"{tensor.name!r} needs {needed}"
            )


def _external_size(path: Path, homes: tuple[Path, ...], location: str) -> int:
    file = path.parent / location
    outside = Path(location).is_absolute() or ".." in Path(location).parts or not location
    if outside or not any(file.resolve().is_relative_to(h) for h in homes):
        raise BadModel(f"{path}: external data {location!r} lies outside the model's folder")
    try:
        return file.stat().st_size
    except OSError as e:
        raise BadModel(
            f"{path}: external data {location!r} is missing; copy it beside the model"
        ) from e


def _external_tensors(model: Any) -> Iterator[Any]:
    graphs, nodes = [model.graph], [n for f in model.functions for n in f.node]
    while graphs:
        graph = graphs.pop()
        yield from (t for t in graph.initializer if t.data_location == t.EXTERNAL)
        nodes.extend(graph.node)
        while nodes:
            for attribute in nodes.pop().attribute:
                if attribute.HasField("g"):
                    graphs.append(attribute.g)
                graphs.extend(attribute.graphs)
                held = [attribute.t] if attribute.HasField("t") else []
                yield from (
                    t for t in (*held, *attribute.tensors) if t.data_location == t.EXTERNAL
                )
    return
