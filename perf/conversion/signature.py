"""What an ONNX model takes and gives, as its own file declares it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    kind: str = (
        "tensor"  # or sequence, optional, optional sequence, map; an output's also sequence map
    )
    key_type: int = 0  # of a map
    vocabulary: tuple[str | int, ...] = ()  # keys of an input map that the model looks for

    @property
    def optional(self) -> bool:
        """Whether nothing need be fed: an optional, or a sequence, which may be empty."""
        return self.kind not in ("tensor", "map")

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
        """Whether ONNX Runtime takes a tensor of this shape: one of the rank and the fixed dimensions.

        It holds nobody to a declared scalar, nor to the declared shape of a sequence's elements.
        """
        if not self.dims or "sequence" in self.kind:
            return True
        return len(shape) == len(self.dims) and all(
            not isinstance(d, int) or d in (0, n) for d, n in zip(self.dims, shape, strict=True)
        )


@dataclass(frozen=True)
class Signature:
    """A model's inputs that must be fed, those that may be, and its outputs, in its own order.

    `weights` are its initializers, by name, that no engine takes data for: all before IR 4, where they had to
    be listed as inputs; later those that are not listed.
    """

    inputs: tuple[Value, ...]
    overridable: tuple[Value, ...]
    outputs: tuple[Value, ...]
    weights: frozenset[str] = frozenset()


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
    """A loaded model's signature; raises CannotFeed for inputs that are nested too deeply."""
    graph = model.graph
    given = {t.name for t in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
    listed = {v.name for v in graph.input} & given if model.ir_version >= 4 else set()
    return Signature(
        tuple(_with_vocabulary(_input(v), graph) for v in graph.input if v.name not in given),
        tuple(_input(v) for v in graph.input if v.name in listed),
        tuple(_value(v) for v in graph.output),
        frozenset(given - listed),
    )


def _input(info: onnx.ValueInfoProto) -> Value:
    value = _value(info)
    if value.kind not in {"tensor", "sequence", "optional", "optional sequence", "map"}:
        raise CannotFeed(
            f"input {value.name!r} is a {value.kind.replace(' ', ' of a ')}; only tensors, maps, "
            "sequences of tensors, and optionals of tensors or sequences can be fed"
        )
    return value


def _with_vocabulary(value: Value, graph: onnx.GraphProto) -> Value:
    """A map with the keys that a DictVectorizer looks for in it: it drops all others."""
    if value.kind != "map":
        return value
    readers = (n for n in graph.node if n.op_type == "DictVectorizer" and value.name in n.input)
    words = {a.name: a for n in readers for a in n.attribute}
    texts, numbers = words.get("string_vocabulary"), words.get("int64_vocabulary")
    keys = (
        [*(s.decode() for s in texts.strings)] if texts else [*(numbers.ints if numbers else ())]
    )
    return replace(value, vocabulary=tuple(keys))


def _value(info: onnx.ValueInfoProto) -> Value:
    """An input or output; of a map the type of its values, of what holds no tensors none."""
    kinds, proto, key_type = list[str](), info.type, 0
    while not proto.HasField("tensor_type"):
        what = str(proto.WhichOneof("value") or "value of no type").removesuffix("_type")
        kinds.append(what.replace("_", " "))
        if what == "map":
            key_type = proto.map_type.key_type
            proto = proto.map_type.value_type
        elif what in {"sequence", "optional"}:
            proto = getattr(proto, f"{what}_type").elem_type
        else:
            return Value(info.name, 0, None, " ".join(kinds))
    tensor = proto.tensor_type
    dims = tuple(_dim(d) for d in tensor.shape.dim) if tensor.HasField("shape") else None
    return Value(info.name, tensor.elem_type, dims, " ".join(kinds) or "tensor", key_type)


def _dim(dim: onnx.TensorShapeProto.Dimension) -> int | str | None:
    if dim.HasField("dim_value"):
        return int(dim.dim_value) if dim.dim_value >= 0 else None
    return str(dim.dim_param) or None
