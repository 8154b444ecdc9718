"""Test data sets, in the zoo's layout or as one .npz a set, paired with a model's inputs and outputs."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from perf.conversion import npz_sets, value_protos
from perf.conversion.errors import BadModel
from perf.conversion.signature import Signature, Value, type_name
from perf.measure import tensor_io

Tensors: TypeAlias = Mapping[
    str, np.ndarray
]  # what is no tensor as perf.measure.flat_values tells it
FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)


@dataclass(frozen=True)
class Paired:
    """A set's inputs or outputs by the model's names, and what a user should know of the pairing."""

    tensors: Tensors
    notes: tuple[str, ...] = ()
    by_position: tuple[str, ...] = ()  # those whose stored names, if any, are not the model's


@dataclass(frozen=True)
class _Stored:
    """One value of a set: where it lies, its name there, and its tensors by the end of their names."""

    where: str
    name: str
    tensors: Mapping[str, np.ndarray]
    loose: bool = False  # of numpy's making, whose default types are 64 bits wide
    notes: tuple[str, ...] = field(default=())
    position: int = -1  # the number of its file; -1: it has none


def tensor_files(data_set: Path, kind: str) -> list[Path]:
    """The set's `input*.pb` or `output*.pb` files; input_10 comes after input_9. An .npz has none."""
    return sorted(data_set.glob(f"{kind}*.pb"), key=lambda p: (_number(p.stem), p.name))


def pair_inputs(data_set: Path, signature: Signature, *, cast: bool = False) -> Paired:
    """The set's inputs by name, in the model's order; `cast` takes floats to the model's own float type.

    Data of weights that no engine takes is left out. Raises BadModel for files that cannot be read, that fit
    no input, and for inputs that have none.
    """
    fed, notes = _match(data_set, "input", signature, cast)
    missing = [v.name for v in signature.inputs if v.name not in fed and not v.optional]
    if missing:
        given = f"{len(fed)} of {len(signature.inputs)} given"
        raise BadModel(f"{data_set}: no data for input {missing[0]!r} ({given})")
    return Paired(_flat(signature.inputs, fed), notes)


def pair_outputs(data_set: Path, signature: Signature, *, cast: bool = False) -> Paired:
    """The set's outputs, as many as are stored; else as `pair_inputs`.

    Their shapes are not held against the declared ones, since no engine does that.
    """
    found, notes = _match(data_set, "output", signature, cast)
    unnamed = tuple(name for name, stored in found.items() if stored.name != name)
    return Paired(_flat(signature.outputs, found), notes, unnamed)


def read_inputs(data_set: Path, signature: Signature, *, cast: bool = False) -> Tensors:
    """The tensors of `pair_inputs`."""
    return pair_inputs(data_set, signature, cast=cast).tensors


def read_outputs(data_set: Path, signature: Signature, *, cast: bool = False) -> Tensors:
    """The tensors of `pair_outputs`."""
    return pair_outputs(data_set, signature, cast=cast).tensors


def write_set(
    data_set: Path, inputs: Tensors, outputs: Tensors, signature: Signature | None = None
) -> None:
    """Write one set; each file carries its value's name, so that order never matters.

    A signature says which tensors are parts of a sequence, a map or an optional; without one none are.
    """
    data_set.mkdir(parents=True, exist_ok=True)  # an archive may hold the folder and no data
    for kind, tensors in (("input", inputs), ("output", outputs)):
        values: tuple[Value, ...] = ()
        if signature is not None:
            values = signature.inputs if kind == "input" else signature.outputs
        for position, proto in enumerate(value_protos.write_values(tensors, values)):
            (data_set / f"{kind}_{position}.pb").write_bytes(proto)


def _number(name: str) -> int:
    digits = re.findall(r"\d+", name)
    return int(digits[-1]) if digits else -1


def _match(
    data_set: Path, kind: str, signature: Signature, cast: bool
) -> tuple[dict[str, _Stored], tuple[str, ...]]:
    """Pair what is stored with the graph's values: by its own name, the rest by position."""
    values = signature.inputs if kind == "input" else signature.outputs
    more = signature.overridable if kind == "input" else ()
    by_name = {v.name: v for v in (*values, *more)}
    unfed = signature.weights - by_name.keys()
    read = [s for s in _read_all(data_set, kind, signature) if s.name not in unfed]
    named = [s for s in read if s.name in by_name]
    out = {s.name: s for s in named}
    if len(out) != len(named):
        raise BadModel(f"{data_set}: two {kind}*.pb files hold the same tensor name")
    notes = list[str]()
    for stored in (s for s in read if s.name not in by_name):
        free = [v for v in values if v.name not in out]
        at_its_number = [v for v in free if v in values[stored.position : stored.position + 1]]
        value = next(iter([*at_its_number, *free]), None)
        if value is None:
            raise BadModel(f"{stored.where}: the model has only {len(values)} {kind}s")
        if stored.name:
            notes.append(f"{kind} {value.name!r} is stored as {stored.name!r}, paired by position")
        out[value.name] = stored
    fitted = {
        name: _fitted(s, by_name[name], cast, checked=kind == "input") for name, s in out.items()
    }
    return fitted, (*notes, *(note for s in fitted.values() for note in s.notes))


def _read_all(data_set: Path, kind: str, signature: Signature) -> Iterator[_Stored]:
    values = signature.inputs if kind == "input" else signature.outputs
    if data_set.suffix.lower() == ".npz":
        for entry in npz_sets.read_entries(data_set, kind, signature):
            yield _Stored(entry.where, entry.name, entry.tensors, loose=True)
        return
    more = signature.overridable if kind == "input" else ()
    by_name = {v.name: v for v in (*values, *more)}
    paths = tensor_files(data_set, kind)
    numbers = [_number(p.stem) for p in paths]
    if len(set(numbers)) < len(numbers) or not all(0 <= n < len(values) for n in numbers):
        numbers = list(range(len(paths)))  # they count from one, or not at all
    for number, path in zip(numbers, paths, strict=True):
        yield _read(path, number, values, by_name)


def _read(
    path: Path, position: int, values: Sequence[Value], by_name: Mapping[str, Value]
) -> _Stored:
    """Read a TensorProto; or, where the model says so, a SequenceProto, OptionalProto or MapProto."""
    data = path.read_bytes()
    value = value_protos.find_value(data, by_name)
    if value is None and position < len(values):
        value = values[position]
    try:
        name, held = value_protos.read_value(data, value.kind if value else "tensor")
    except DecodeError as e:
        raise BadModel(f"{path}: truncated, or not a TensorProto ({e})") from e
    except Exception as e:  # numpy's errors and those of onnx's checker share no other base
        raise BadModel(f"{path}: the tensor's data do not fit its type and shape ({e})") from e
    return _Stored(str(path), name, held, position=position)


def _fitted(stored: _Stored, value: Value, cast: bool, *, checked: bool) -> _Stored:
    """The data as the model takes them; raises BadModel for another type or, if `checked`, shape."""
    tensors, notes = dict(stored.tensors), list(stored.notes)
    for end, tensor in tensors.items():
        if end in ("{keys}", "{counts}"):  # of a map: its values alone have the declared type
            continue
        if cast and value.onnx_type in FLOATS and tensor.dtype.kind == "f":
            tensors[end] = tensor.astype(tensor_io.NUMPY_OF[value.onnx_type])
        elif stored.loose:
            tensors[end] = _narrowed(tensor, value)
            if tensors[end].dtype != tensor.dtype:
                notes.append(f"{value.name!r} cast from {tensor.dtype.name} to {value.type_name}")
        _require_fit(stored.where, tensors[end], value, checked=checked)
    return replace(stored, tensors=tensors, notes=tuple(dict.fromkeys(notes)))


def _narrowed(array: np.ndarray, value: Value) -> np.ndarray:
    """The array in the value's type, where that is of the same kind and, for integers, holds every number."""
    if value.onnx_type in tensor_io.CODED_BITS:
        wide = tensor_io.CODED_BITS[value.onnx_type] == 16
        carrier = np.dtype(np.uint16 if wide else np.uint8)
        return tensor_io.as_coded(array, value.onnx_type) if array.dtype == carrier else array
    wanted = np.dtype(tensor_io.NUMPY_OF.get(value.onnx_type, array.dtype))
    kinds = {array.dtype.kind, wanted.kind}
    if kinds == {"f"}:
        return array.astype(wanted)
    if kinds <= {"i", "u"} and array.dtype != wanted:
        narrow = array.astype(wanted)
        return narrow if np.array_equal(narrow, array) else array
    return array


def _require_fit(where: str, tensor: np.ndarray, value: Value, *, checked: bool) -> None:
    try:
        stored_type = tensor_io.onnx_type_of(tensor)
    except KeyError:
        raise BadModel(f"{where}: {value.name!r} is of numpy's type {tensor.dtype}") from None
    if stored_type != value.onnx_type:
        raise BadModel(
            f"{where}: {value.name!r} is {value.type_name} in the model, "
            f"{type_name(stored_type)} in the test data; store it as {value.type_name}"
        )
    if checked and not value.fits(tensor.shape):
        raise BadModel(
            f"{where}: {value.name!r} is {value.shape_text} in the model, "
            f"[{','.join(map(str, tensor.shape))}] in the test data"
        )


def _flat(values: Sequence[Value], matched: Mapping[str, _Stored]) -> Tensors:
    """Tensors by name, the model's values first and in its order."""
    order = [v.name for v in values]
    names = [n for n in order if n in matched] + [n for n in matched if n not in order]
    return {
        f"{name}{end}": tensor for name in names for end, tensor in matched[name].tensors.items()
    }
