"""What an ONNX model takes and gives, as its own file declares it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from perf.conversion import external_data
from perf.conversion.errors import CannotFeed


@dataclass(frozen=True)
class Value:
    """One input or output: its type, and its dimensions as numbers, names or None (unknown).

    A dimension of 0 stays 0, which ONNX Runtime and TensorRT insist on; but some exporters write it for
    "any", so other sizes fit it where data or a user give them. A negative one is unknown to everybody.
    """

    name: str
    onnx_type: int
    dims: tuple[int | str | None, ...] | None  # None: not even the rank is known
    kind: str = "tensor"  # or sequence, optional, optional sequence

    @property
    def optional(self) -> bool:
        """Whether nothing need be fed: an optional, or a sequence, which may be empty."""
        return self.kind != "tensor"

    @property
    def type_name(self) -> str:
        """float32, int64, bfloat16, …"""
        return type_name(self.onnx_type)

    @property
    def shape_text(self) -> str:
        """As users read it: [batch,3,224,224]."""
        if self.dims is None:
            return "of any rank"
        return f"[{','.join('?' if d is None else str(d) for d in self.dims)}]"

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether a tensor of this shape has the rank and the fixed dimensions of this value."""
        if self.dims is None:
            return True
        return len(shape) == len(self.dims) and all(
            not isinstance(d, int) or d in (0, n) for d, n in zip(self.dims, shape, strict=True)
        )


@dataclass(frozen=True)
class Signature:
    """A model's inputs that must be fed, those that may be, and its outputs, in its own order."""

    inputs: tuple[Value, ...]
    overridable: tuple[Value, ...]
    outputs: tuple[Value, ...]


def type_name(onnx_type: int) -> str:
    """The name of a TensorProto.DataType as numpy would spell it."""
    name = onnx.TensorProto.DataType.Name(onnx_type).lower()
    return str({"float": "float32", "double": "float64"}.get(name, name))


def read_signature(path: Path) -> Signature:
    """The signature of a model whose files are whole; raises BadModel, CannotFeed."""
    model = external_data.read_structure(path)
    external_data.external_files(path, model)
    return signature_of(model)


def signature_of(model: onnx.ModelProto) -> Signature:
    """A loaded model's signature; raises CannotFeed for maps and what is nested deeper than one level."""
    graph = model.graph
    given = {t.name for t in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
    return Signature(
        tuple(_value(v) for v in graph.input if v.name not in given),
        tuple(_value(v) for v in graph.input if v.name in given),
        tuple(_value(v) for v in graph.output),
    )


def _value(info: onnx.ValueInfoProto) -> Value:
    kind, proto = "", info.type
    while not proto.HasField("tensor_type"):
        what = str(proto.WhichOneof("value")).removesuffix("_type")
        kind = f"{kind} {what}".strip()
        if kind not in {"sequence", "optional", "optional sequence"}:
            raise CannotFeed(
                f"{info.name!r} is a {kind.replace(' ', ' of a ')}; only tensors, sequences of them, "
                "and optionals of either can be fed"
            )
        proto = getattr(proto, f"{what}_type").elem_type
    tensor = proto.tensor_type
    dims = tuple(_dim(d) for d in tensor.shape.dim) if tensor.HasField("shape") else None
    return Value(info.name, tensor.elem_type, dims, kind or "tensor")


def _dim(dim: onnx.TensorShapeProto.Dimension) -> int | str | None:
    if dim.HasField("dim_value"):
        return int(dim.dim_value) if dim.dim_value >= 0 else None
    return str(dim.dim_param) or None
