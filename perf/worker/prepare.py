"""Test data of one model, stored as .pb or drawn at random, made into .npy files that any worker reads."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from perf.backends import ModelInputs, Unsupported
from perf.conversion import data_sets, model_inputs, random_ops
from perf.conversion.data_sets import Tensors
from perf.conversion.errors import BadModel, CannotFeed
from perf.conversion.signature import Signature, Value, read_signature
from perf.measure import tensor_io
from perf.request.model_list import find_test_sets
from perf.schema.cell import InputOverride, ModelFile, TestSet
from perf.schema.jobs import PrepareJob


def prepare_sets(job: PrepareJob, described: ModelInputs | None = None) -> tuple[TestSet, ...]:
    """Write every set's inputs, and the outputs to expect where they are stored, below the job's destination.

    `described` is what a model takes that is no ONNX file. Raises BadModel for a model or data that is wrong,
    Unsupported for inputs that cannot be fed.
    """
    try:
        return tuple(_prepare(job, described))
    except CannotFeed as e:
        raise Unsupported(str(e)) from e


def find_random_ops(job: PrepareJob) -> tuple[str, ...]:
    """The model's ops that draw at random, or may."""
    return random_ops.read_random_ops(Path(_model_path(job)))


def _model_path(job: PrepareJob) -> str:
    return job.model.path_fp16 if job.half and job.model.path_fp16 else job.model.path


def _prepare(job: PrepareJob, described: ModelInputs | None) -> Iterator[TestSet]:
    model, destination = job.model, Path(job.destination)
    data = model.test_data_fp16 if job.half and model.test_data_fp16 else model.test_data
    signature = (
        _described(described, model) if described else read_signature(Path(_model_path(job)))
    )
    examples = described.examples if described else {}
    folders = _set_folders(Path(data)) if data else ()
    if job.input_data == "random":
        stored = examples
        if folders:
            stored = data_sets.read_inputs(folders[0], signature, cast=job.half)
        for number in range(job.sets):
            fed = _draw(job, signature.inputs, stored, number)
            yield _write(
                destination / f"random_{number}", fed, {}, None if described else signature
            )
        return
    if not folders and examples:
        yield _write(destination / "example", examples, {}, None)
        return
    if not folders and not signature.inputs:
        yield _write(destination / "no_inputs", {}, {}, signature)
        return
    if not folders:
        raise BadModel(f"{data or model.folder}: no test_data_set_N/input_M.pb; use -i random")
    if folders and job.batch:
        raise CannotFeed(
            "--batch_sizes needs random inputs (-i random): stored data have their own"
        )
    if folders and (name := next(iter(job.shapes), None)):
        raise CannotFeed(
            f"--shape {name} needs random inputs (-i random): stored data have their own shape"
        )
    for folder in folders:
        fed = data_sets.read_inputs(folder, signature, cast=job.half)
        expected = data_sets.read_outputs(folder, signature, cast=job.half)
        yield _write(destination / folder.name, fed, expected, signature)


def _described(described: ModelInputs, model: ModelFile) -> Signature:
    """A form's inputs as a signature; a type that the model list gives is taken for one that is not told."""
    values = []
    given = _by_name(model.inputs, [s.name for s in described.specs])
    for spec in described.specs:
        override = given.get(spec.name, InputOverride())
        if override.type and override.type not in tensor_io.ONNX_OF:
            known = ", ".join(tensor_io.ONNX_OF)
            raise BadModel(f"input {spec.name!r}: type {override.type!r} is none of {known}")
        onnx_type = tensor_io.ONNX_OF[override.type] if override.type else spec.onnx_type
        values.append(Value(spec.name, onnx_type, spec.dims))
    return Signature(tuple(values), (), ())


def _set_folders(data: Path) -> tuple[Path, ...]:
    """The test_data* folders below `data` (or `data` itself, if it is one), sorted by number."""
    if not data.is_dir():
        raise BadModel(f"{data}: no such folder of test data")
    alone = (data,) if next(data.glob("input*.pb"), None) else ()
    return find_test_sets(data) or alone


def _by_name(given: Mapping[str, InputOverride], names: Sequence[str]) -> dict[str, InputOverride]:
    """What a list says of inputs, where a place such as @0 may stand for the name of the input there."""
    places = {f"@{i}": name for i, name in enumerate(names)}
    return {places.get(key, key): override for key, override in given.items()}


def _overrides(job: PrepareJob, inputs: Sequence[Value]) -> dict[str, InputOverride]:
    """The model list's overrides, with the command line's shapes over them."""
    overrides = _by_name(job.model.inputs, [v.name for v in inputs])
    for name, shape in job.shapes.items():
        overrides[name] = replace(overrides.get(name, InputOverride()), shape=shape)
    known = [v.name for v in inputs]
    for name in overrides.keys() - known:
        what = f"no input {name!r} to override; it has {', '.join(known)}"
        raise BadModel(f"{job.model.path}: {what}")
    return overrides


def _draw(job: PrepareJob, values: Sequence[Value], stored: Tensors, number: int) -> Tensors:
    """Set `number` of a run's random feeds; shapes and integers' ranges are those of set 0, if stored."""
    out, overrides = {}, _overrides(job, values)
    for place, value in enumerate(values):
        model_inputs.require_drawable(value)
        rng = np.random.default_rng((job.seed, number, place))
        override, like = overrides.get(value.name, InputOverride()), stored.get(value.name)
        shape = override.shape
        if shape is None:
            resolved = _shape(_opened(value, job.batch), like)
            shape = _batched(value, resolved, job, values, stored)
        model_inputs.require_fit(value, shape)
        out[value.name] = model_inputs.draw(value, shape, override, rng, like=like)
    return out


def _opened(value: Value, batch: int) -> Value:
    """An input with the batch asked for where the model leaves its first dimension open."""
    if not batch or not value.dims or isinstance(value.dims[0], int):
        return value
    return replace(value, dims=(batch, *value.dims[1:]))


def _batched(
    value: Value, shape: tuple[int, ...], job: PrepareJob, values: Sequence[Value], stored: Tensors
) -> tuple[int, ...]:
    """A shape with the batch asked for, where its first dimension is one.

    It is where the model leaves it open; of a form that tells no dimensions, where it is the first input's.
    """
    if not job.batch or not shape or shape[0] == job.batch:
        return shape
    if value.dims is None:
        first = stored.get(values[0].name)
        return (job.batch, *shape[1:]) if first is None or first.shape[:1] == shape[:1] else shape
    if not isinstance(value.dims[0], int):
        return (job.batch, *shape[1:])
    if any(v.dims and not isinstance(v.dims[0], int) for v in values):
        return shape
    raise CannotFeed(
        f"input {value.name!r} is {value.shape_text}: its batch is fixed; to feed {job.batch}, "
        "export the model with an open one"
    )


def _shape(value: Value, like: np.ndarray | None) -> tuple[int, ...]:
    if like is not None:
        return like.shape
    dims = value.dims or ()
    fixed = tuple(d for d in dims if isinstance(d, int))
    if value.dims is None or len(fixed) != len(dims):
        spelled = "x".join(str(d) if isinstance(d, int) else "1" for d in dims) or "1x3x224x224"
        raise CannotFeed(
            f"input {value.name!r} is {value.shape_text} and no data are stored: give its shape, "
            f"as in --shape {value.name}={spelled}"
        )
    return fixed


def _write(folder: Path, fed: Tensors, expected: Tensors, signature: Signature | None) -> TestSet:
    return TestSet(
        folder.name,
        tensor_io.save_tensors(fed, folder, "input"),
        tensor_io.save_tensors(expected, folder, "output"),
        tensor_io.names_without(expected, [v.name for v in signature.outputs])
        if signature
        else None,
    )
