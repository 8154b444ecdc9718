"""Test data of one model, stored as .pb or drawn at random, made into .npy files that any worker reads."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from perf.backends import ModelInputs, Unsupported
from perf.measure import tensor_io
from perf.schema.cell import InputOverride, ModelFile, TensorFile, TestSet
from perf.worker import random_inputs
from perf.worker.model_signature import BadModel, Signature, Value, onnx_type_name, read_signature


@dataclass(frozen=True)
class PrepareRequest:
    """What to feed: stored sets, or `sets` random ones; `shapes` override the model list's."""

    input_data: Literal["zoo", "random"] | str
    seed: int = 0
    sets: int = 1
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    use_fp16_data: bool = False
    described: ModelInputs | None = None  # of a model that is no ONNX file


@dataclass(frozen=True)
class _Pb:
    """One .pb file, read: its tensors (several for a sequence) and what it is called inside."""

    path: Path
    name: str
    tensors: tuple[np.ndarray, ...]
    sequence: bool


def prepare_sets(
    model: ModelFile, request: PrepareRequest, destination: Path
) -> tuple[TestSet, ...]:
    """Write every set's inputs, and the outputs to expect where they are stored, below `destination`.

    Raises BadModel (one line) for a model or data that is wrong, Unsupported for inputs that cannot be fed.
    """
    half = request.use_fp16_data
    path = Path(model.path_fp16 if half and model.path_fp16 else model.path)
    data = model.test_data_fp16 if half and model.test_data_fp16 else model.test_data
    described = request.described
    signature = (
        _described(described, model) if described else read_signature(path, Path(model.folder))
    )
    examples = described.examples if described else {}
    folders = set_folders(Path(data)) if data else ()
    if request.input_data == "random":
        stored = _stored_set(folders[0], signature, half)[0] if folders else examples
        overrides = _overrides(model, request.shapes, signature)
        return tuple(
            _write(
                f"random_{i}",
                random_inputs.draw_inputs(signature.inputs, stored, overrides, request.seed, i),
                {},
                destination,
            )
            for i in range(request.sets)
        )
    if not folders and examples:
        return (_write("example", examples, {}, destination),)
    if not folders and signature.inputs:
        raise BadModel(f"{data or model.folder}: no test_data_set_N/input_M.pb; use -i random")
    _refuse_shapes(request, folders)
    return tuple(
        _write(f.name, *_stored_set(f, signature, half), destination) for f in folders
    ) or (_write("no_inputs", {}, {}, destination),)


def _described(described: ModelInputs, model: ModelFile) -> Signature:
    """A form's inputs as a signature; a type that the model list gives is taken for one that is not told."""
    values = []
    for spec in described.specs:
        override = model.inputs.get(spec.name, InputOverride())
        if override.type and override.type not in tensor_io.ONNX_OF:
            known = ", ".join(tensor_io.ONNX_OF)
            raise BadModel(f"input {spec.name!r}: type {override.type!r} is none of {known}")
        onnx_type = tensor_io.ONNX_OF[override.type] if override.type else spec.onnx_type
        values.append(Value(spec.name, onnx_type, spec.dims, "tensor"))
    return Signature(tuple(values), (), ())


def set_folders(data: Path) -> tuple[Path, ...]:
    """The test_data* folders below `data` (or `data` itself, if it is one), sorted by number."""
    if not data.is_dir():
        raise BadModel(f"{data}: no such folder of test data")
    found = [p for p in data.glob("test_data*") if p.is_dir()]
    if not found and next(data.glob("input*.pb"), None):
        found = [data]
    return tuple(sorted(found, key=lambda p: (_number(p.name), p.name)))


def _overrides(
    model: ModelFile, shapes: Mapping[str, tuple[int, ...]], signature: Signature
) -> dict[str, InputOverride]:
    """The model list's overrides, with the command line's shapes over them."""
    out = dict(model.inputs)
    for name, shape in shapes.items():
        out[name] = replace(out.get(name, InputOverride()), shape=shape)
    known = [v.name for v in signature.inputs]
    for name in out:
        if name not in known:
            raise BadModel(
                f"{model.path}: no input {name!r} to override; it has {', '.join(known)}"
            )
    return out


def _refuse_shapes(request: PrepareRequest, folders: Sequence[Path]) -> None:
    if request.shapes and folders:
        name = next(iter(request.shapes))
        raise Unsupported(
            f"--shape {name} needs random inputs (-i random): stored data have their own shape"
        )


def _number(name: str) -> int:
    digits = re.findall(r"\d+", name)
    return int(digits[-1]) if digits else -1


def _stored_set(
    folder: Path, signature: Signature, cast: bool
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    fed = _matched(folder, "input", signature.inputs, signature.overridable, cast)
    missing = [v.name for v in signature.inputs if v.name not in fed and not v.optional]
    if missing:
        raise BadModel(
            f"{folder}: no data for input {missing[0]!r} ({len(fed)} of {len(signature.inputs)} given)"
        )
    expected = _matched(folder, "output", signature.outputs, (), cast)
    return _flat(signature.inputs, fed), _flat(signature.outputs, expected)


def _matched(
    folder: Path, stem: str, values: Sequence[Value], more: Sequence[Value], cast: bool
) -> dict[str, _Pb]:
    """Pair files with the graph's values: by the tensor's own name, the rest by position."""
    by_name = {v.name: v for v in (*values, *more)}
    files = sorted(folder.glob(f"{stem}*.pb"), key=lambda p: (_number(p.stem), p.name))
    read = [_read_pb(p, position, values, by_name) for position, p in enumerate(files)]
    out = {pb.name: pb for pb in read if pb.name in by_name}
    if len(out) != sum(pb.name in by_name for pb in read):
        raise BadModel(f"{folder}: two {stem}*.pb files hold the same tensor name")
    free = iter([v for v in values if v.name not in out])
    for pb in (pb for pb in read if pb.name not in by_name):
        value = next(free, None)
        if value is None:
            raise BadModel(f"{pb.path}: the model has only {len(values)} {stem}s")
        out[value.name] = pb
    return {name: _fitted(pb, by_name[name], cast) for name, pb in out.items()}


def _read_pb(
    path: Path, position: int, values: Sequence[Value], by_name: Mapping[str, Value]
) -> _Pb:
    """Read a TensorProto; or, where the model says so, a SequenceProto or OptionalProto."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    data = path.read_bytes()
    try:
        name = onnx.TensorProto.FromString(data).name
    except DecodeError:
        name = ""
    value = by_name.get(name) or (values[position] if position < len(values) else None)
    try:
        match value.kind if value else "tensor":
            case "sequence":
                sequence = onnx.SequenceProto.FromString(data)
                arrays = tuple(_array(t, path) for t in sequence.tensor_values)
                return _Pb(path, sequence.name, arrays, True)
            case "optional":
                optional = onnx.OptionalProto.FromString(data)
                held = (optional.tensor_value,) if optional.HasField("tensor_value") else ()
                return _Pb(path, optional.name, tuple(_array(t, path) for t in held), False)
            case "optional sequence":
                maybe = onnx.OptionalProto.FromString(data)
                arrays = tuple(_array(t, path) for t in maybe.sequence_value.tensor_values)
                return _Pb(path, maybe.name, arrays, True)
            case _:
                return _Pb(path, name, (_array(onnx.TensorProto.FromString(data), path),), False)
    except DecodeError as e:
        raise BadModel(f"{path}: truncated, or not a TensorProto ({e})") from e


def _array(tensor: Any, path: Path) -> np.ndarray:
    from onnx import numpy_helper

    try:
        array: np.ndarray = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as e:
        raise BadModel(f"{path}: the tensor's data do not fit its type and shape ({e})") from e
    if tensor.data_type in tensor_io.CODED_BITS:
        bits = tensor_io.CODED_BITS[tensor.data_type]
        codes = array.view(np.uint16 if bits == 16 else np.uint8).astype(np.uint16)
        codes &= np.uint16((1 << bits) - 1)  # sub-byte types may fill the byte with their sign
        carried = codes if bits == 16 else codes.astype(np.uint8)
        return tensor_io.as_coded(carried, tensor.data_type)
    return array


def _fitted(pb: _Pb, value: Value, cast: bool) -> _Pb:
    """The data as the model takes them; raises BadModel where type, rank or a fixed dimension differ."""
    tensors = pb.tensors
    if cast:
        tensors = tuple(_cast(t, value.onnx_type) for t in tensors)
    for t in tensors:
        if tensor_io.onnx_type_of(t) != value.onnx_type:
            raise BadModel(
                f"{pb.path}: {value.name!r} is {value.type_name} in the model, "
                f"{onnx_type_name(tensor_io.onnx_type_of(t))} in the test data"
            )
        if not value.fits(t.shape):
            raise BadModel(
                f"{pb.path}: {value.name!r} is {value.shape_text} in the model, "
                f"[{','.join(map(str, t.shape))}] in the test data"
            )
    return _Pb(pb.path, value.name, tensors, pb.sequence)


def _cast(tensor: np.ndarray, onnx_type: int) -> np.ndarray:
    """A float tensor in the float type that a half-precision model takes; others unchanged."""
    if tensor.dtype.kind != "f" or onnx_type not in (1, 10, 11):
        return tensor
    return tensor.astype(tensor_io.NUMPY_OF[onnx_type])


def _flat(values: Sequence[Value], matched: Mapping[str, _Pb]) -> dict[str, np.ndarray]:
    """Tensors by name in the model's order; a sequence's elements as name[0], name[1], …"""
    order = [v.name for v in values]
    names = [n for n in order if n in matched] + [n for n in matched if n not in order]
    return dict(pair for n in names for pair in _elements(n, matched[n]))


def _elements(name: str, pb: _Pb) -> Iterator[tuple[str, np.ndarray]]:
    for i, tensor in enumerate(pb.tensors):
        yield (f"{name}[{i}]" if pb.sequence else name), tensor


def _write(
    name: str, fed: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], destination: Path
) -> TestSet:
    folder = destination / name
    ins: tuple[TensorFile, ...] = tensor_io.save_tensors(fed, folder, "input")
    return TestSet(name, ins, tensor_io.save_tensors(expected, folder, "output"))
