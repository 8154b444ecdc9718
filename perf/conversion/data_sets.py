"""Test data sets in the zoo's layout: test_data_set_N/{input,output}_M.pb, read and written."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper

from perf.conversion.errors import BadModel
from perf.conversion.signature import Signature, Value, type_name
from perf.measure import tensor_io

Tensors: TypeAlias = Mapping[str, np.ndarray]  # a sequence's elements as `name[0]`, `name[1]`, …
FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)


@dataclass(frozen=True)
class _Pb:
    """One .pb file, read: its tensors (several for a sequence) and what it is called inside."""

    path: Path
    name: str
    tensors: tuple[np.ndarray, ...]
    sequence: bool


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


def tensor_files(data_set: Path, kind: str) -> list[Path]:
    """The set's `input*.pb` or `output*.pb` files; input_10 comes after input_9."""
    return sorted(data_set.glob(f"{kind}*.pb"), key=lambda p: (_number(p.stem), p.name))


def read_inputs(data_set: Path, signature: Signature, *, cast: bool = False) -> Tensors:
    """The set's inputs by name, in the model's order; `cast` takes floats to the model's own float type.

    Raises BadModel for files that cannot be read, that fit no input, and for inputs that have none.
    """
    fed = _match(data_set, "input", signature, cast)
    missing = [v.name for v in signature.inputs if v.name not in fed and not v.optional]
    if missing:
        given = f"{len(fed)} of {len(signature.inputs)} given"
        raise BadModel(f"{data_set}: no data for input {missing[0]!r} ({given})")
    return _flat(signature.inputs, fed)


def read_outputs(data_set: Path, signature: Signature, *, cast: bool = False) -> Tensors:
    """The set's outputs, as many as are stored; else as `read_inputs`."""
    return _flat(signature.outputs, _match(data_set, "output", signature, cast))


def name_of(path: Path) -> str:
    """What a .pb file calls its tensor; "" where it says nothing, or is none."""
    try:
        return str(onnx.TensorProto.FromString(path.read_bytes()).name)
    except (OSError, DecodeError):
        return ""


def write_set(data_set: Path, inputs: Tensors, outputs: Tensors) -> None:
    """Write one set; each file carries its tensor's name, so that order never matters."""
    data_set.mkdir(parents=True, exist_ok=True)  # an archive may hold the folder and no data
    for kind, tensors in (("input", inputs), ("output", outputs)):
        for position, (name, array) in enumerate(tensors.items()):
            tensor = numpy_helper.from_array(uncarry(array), name)
            (data_set / f"{kind}_{position}.pb").write_bytes(tensor.SerializeToString())


def _number(name: str) -> int:
    digits = re.findall(r"\d+", name)
    return int(digits[-1]) if digits else -1


def _match(data_set: Path, kind: str, signature: Signature, cast: bool) -> dict[str, _Pb]:
    """Pair files with the graph's values: by the tensor's own name, the rest by position."""
    values = signature.inputs if kind == "input" else signature.outputs
    more = signature.overridable if kind == "input" else ()
    by_name = {v.name: v for v in (*values, *more)}
    files = tensor_files(data_set, kind)
    read = [_read(p, position, values, by_name) for position, p in enumerate(files)]
    out = {pb.name: pb for pb in read if pb.name in by_name}
    if len(out) != sum(pb.name in by_name for pb in read):
        raise BadModel(f"{data_set}: two {kind}*.pb files hold the same tensor name")
    free = iter([v for v in values if v.name not in out])
    for pb in (pb for pb in read if pb.name not in by_name):
        value = next(free, None)
        if value is None:
            raise BadModel(f"{pb.path}: the model has only {len(values)} {kind}s")
        out[value.name] = pb
    return {name: _fitted(pb, by_name[name], cast) for name, pb in out.items()}


def _read(path: Path, position: int, values: Sequence[Value], by_name: Mapping[str, Value]) -> _Pb:
    """Read a TensorProto; or, where the model says so, a SequenceProto or OptionalProto."""
    data = path.read_bytes()
    try:
        name = onnx.TensorProto.FromString(data).name
    except DecodeError:
        name = ""
    value = by_name.get(name) or (values[position] if position < len(values) else None)
    kind = value.kind if value else "tensor"
    try:
        match kind:
            case "sequence":
                proto = onnx.SequenceProto.FromString(data)
                held = tuple(proto.tensor_values)
            case "optional":
                proto = onnx.OptionalProto.FromString(data)
                held = (proto.tensor_value,) if proto.HasField("tensor_value") else ()
            case "optional sequence":
                proto = onnx.OptionalProto.FromString(data)
                held = tuple(proto.sequence_value.tensor_values)
            case _:
                proto = onnx.TensorProto.FromString(data)
                held = (proto,)
    except DecodeError as e:
        raise BadModel(f"{path}: truncated, or not a TensorProto ({e})") from e
    return _Pb(path, proto.name, tuple(_array(t, path) for t in held), "sequence" in kind)


def _array(tensor: onnx.TensorProto, path: Path) -> np.ndarray:
    try:
        array: np.ndarray = numpy_helper.to_array(tensor)
    except Exception as e:  # numpy's errors and those of onnx's checker share no other base
        raise BadModel(f"{path}: the tensor's data do not fit its type and shape ({e})") from e
    return carry(array, tensor.data_type)


def _fitted(pb: _Pb, value: Value, cast: bool) -> _Pb:
    """The data as the model takes them; raises BadModel where type, rank or a fixed dimension differ."""
    tensors = pb.tensors
    if cast and value.onnx_type in FLOATS:
        to = tensor_io.NUMPY_OF[value.onnx_type]
        tensors = tuple(t.astype(to) if t.dtype.kind == "f" else t for t in tensors)
    for t in tensors:
        if tensor_io.onnx_type_of(t) != value.onnx_type:
            raise BadModel(
                f"{pb.path}: {value.name!r} is {value.type_name} in the model, "
                f"{type_name(tensor_io.onnx_type_of(t))} in the test data"
            )
        if not value.fits(t.shape):
            raise BadModel(
                f"{pb.path}: {value.name!r} is {value.shape_text} in the model, "
                f"[{','.join(map(str, t.shape))}] in the test data"
            )
    return replace(pb, tensors=tensors)


def _flat(values: Sequence[Value], matched: Mapping[str, _Pb]) -> Tensors:
    """Tensors by name, the model's values first and in its order."""
    order = [v.name for v in values]
    names = [n for n in order if n in matched] + [n for n in matched if n not in order]
    return {
        f"{name}[{i}]" if matched[name].sequence else name: tensor
        for name in names
        for i, tensor in enumerate(matched[name].tensors)
    }
