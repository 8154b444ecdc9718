"""Test data of one model, stored as .pb or drawn at random, made into .npy files that any worker reads."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from perf.backends import ModelInputs, Unsupported
from perf.conversion import data_sets, model_inputs, random_ops
from perf.conversion.data_sets import Tensors
from perf.conversion.errors import BadModel, CannotFeed
from perf.conversion.model_inputs import BatchProof, OpenDims, Override, Overrides
from perf.conversion.signature import Signature, Value, read_signature
from perf.measure import tensor_io
from perf.request.given_data import find_given_sets
from perf.request.model_list import find_test_sets, is_ort_format
from perf.schema.cell import InputOverride, ModelFile, TestSet
from perf.schema.jobs import PrepareJob
from perf.worker.repeated_items import ITEMS, repeat


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
    model = job.model
    path = Path(_model_path(job))
    signature = (
        _described(described, model) if described else _read_signature(path, model.custom_ops)
    )
    outputs = None if described else [v.name for v in signature.outputs]
    examples = described.examples if described else {}
    data = model.test_data_fp16 if job.half and model.test_data_fp16 else model.test_data
    if job.given:
        folders = find_given_sets(Path(job.given), model.name)
    else:
        folders = _set_folders(Path(data)) if data else ()
    if job.input_data == "random" and not job.given:
        stored = examples
        if folders:
            stored = data_sets.read_inputs(folders[0], signature, cast=job.half)
        yield from _draw_sets(job, path, signature.inputs, outputs, stored)
    elif not folders and examples:
        yield _write(
            Path(job.destination) / "example", examples, {}, None, "the model's own example"
        )
    elif not folders and not signature.inputs:
        yield _write(Path(job.destination) / "no_inputs", {}, {}, outputs, "none")
    elif not folders:
        if data or job.given:
            where = job.given or data
            raise BadModel(f"{where}: no test_data_set_N/input_M.pb and no .npz; use -i random")
        yield from _draw_sets(job, path, signature.inputs, outputs, {})
    else:
        if job.batch:
            raise CannotFeed(
                "--batch_sizes needs random inputs (-i random): stored data have their own"
            )
        if name := next(iter(job.shapes), None):
            raise CannotFeed(
                f"--shape {name} needs random inputs (-i random): stored data have their own shape"
            )
        for folder in folders:
            yield _read_set(folder, signature, outputs, job)


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


def _read_signature(path: Path, custom_ops: Iterable[str]) -> Signature:
    if not is_ort_format(path):
        return read_signature(path)
    from perf.conversion.ort_format import read_ort_signature  # an engine, as in _prover

    return read_ort_signature(path, custom_ops)


def _read_set(
    folder: Path, signature: Signature, outputs: Sequence[str] | None, job: PrepareJob
) -> TestSet:
    fed = data_sets.pair_inputs(folder, signature, cast=job.half)
    expected = data_sets.pair_outputs(folder, signature, cast=job.half)
    origin = "; ".join(
        (f"given: {job.given}" if job.given else "stored", *fed.notes, *expected.notes)
    )
    name = folder.stem if folder.is_file() else folder.name
    made = _write(Path(job.destination) / name, fed.tensors, expected.tensors, outputs, origin)
    return replace(made, by_position=expected.by_position)


def _set_folders(data: Path) -> tuple[Path, ...]:
    """The test_data* folders below `data` (or `data` itself, if it is one), sorted by number."""
    if not data.is_dir():
        raise BadModel(f"{data}: no such folder of test data")
    alone = (data,) if list(data.glob("input*.pb")) else ()
    return find_test_sets(data) or alone


def _by_name(given: Mapping[str, InputOverride], names: Sequence[str]) -> dict[str, InputOverride]:
    """What a list says of inputs, where a place such as @0 may stand for the name of the input there."""
    places = {f"@{i}": name for i, name in enumerate(names)}
    return {places.get(key, key): override for key, override in given.items()}


def _overrides(job: PrepareJob, inputs: Sequence[Value]) -> Overrides:
    """The model list's overrides, with the command line's shapes over them."""
    listed = _by_name(job.model.inputs, [v.name for v in inputs])
    overrides = {name: Override(**vars(o)) for name, o in listed.items()}
    for name, shape in job.shapes.items():
        overrides[name] = replace(overrides.get(name, Override()), shape=shape)
    return Overrides(overrides)


def _draw_sets(
    job: PrepareJob, path: Path, declared: Sequence[Value], outputs: Sequence[str] | None,
    stored: Tensors,
) -> Iterator[TestSet]:  # fmt: skip
    """A run's random feeds; shapes and integers' ranges are those of set 0, if stored."""
    overrides = _overrides(job, declared)
    values = [v if model_inputs.find_parts(v, stored) else _opened(v, job.batch) for v in declared]
    try:
        prover = _prover(job, path, values, overrides)
        shapes = model_inputs.resolve_shapes(values, overrides, stored, prover)
    except OpenDims as e:
        raise CannotFeed(f"{e}; or store test data beside the model") from e
    for value in declared:
        if overrides.inputs.get(value.name, Override()).shape is None:
            shapes[value.name] = _batched(value, shapes[value.name], job, declared, stored)
    given = [
        (v, overrides.inputs.get(v.name, Override()), _stored_values(v, stored)) for v in values
    ]
    drawn = ", ".join(model_inputs.describe_values(*one) for one in given)
    assumed = model_inputs.assumed_batches(values, overrides, stored)
    repeated = f"{ITEMS} items, repeated" if job.batch > ITEMS else ""
    origin = "; ".join(filter(None, (f"random, seed {job.seed}: {drawn}", assumed, repeated)))
    for number in range(job.sets):
        fed: dict[str, np.ndarray] = {}
        for place, (value, override, like) in enumerate(given):
            rng = np.random.default_rng((job.seed, number, place))
            ranged = model_inputs.with_usual_range(value, override, like)
            fed |= _draw(job, value, shapes[value.name], ranged, rng, stored)
        yield _write(Path(job.destination) / f"random_{number}", fed, {}, outputs, origin)


def _draw(
    job: PrepareJob, value: Value, shape: tuple[int, ...], ranged: InputOverride,
    rng: np.random.Generator, stored: Tensors,
) -> Tensors:  # fmt: skip
    """One input; of a large batch a few items, repeated: more would cost their reference as much again."""
    if job.batch <= ITEMS or value.kind != "tensor" or shape[:1] != (job.batch,):
        return model_inputs.draw_value(value, shape, ranged, rng, stored)
    items = model_inputs.draw_value(value, (ITEMS, *shape[1:]), ranged, rng, stored)
    return {name: repeat(item, job.batch) for name, item in items.items()}


def _stored_values(value: Value, stored: Tensors) -> np.ndarray | None:
    """Numbers of a value that are stored: a tensor's, a sequence's first element's, a map's values."""
    parts = model_inputs.find_parts(value, stored)
    return next((a for n, a in reversed(list(parts.items())) if not n.endswith("{counts}")), None)


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


def _prover(
    job: PrepareJob, path: Path, values: Sequence[Value], overrides: Overrides
) -> BatchProof:
    """Proof by a session, which is opened where it is asked for: few models need one here."""

    def prove(shapes: Mapping[str, model_inputs.Shape], axes: Mapping[str, int]) -> bool:
        try:
            from perf.conversion import batch_proof, cpu_reference  # an engine
        except ImportError:
            return False
        session = cpu_reference.open_session(path, custom_ops=job.model.custom_ops)
        run = partial(cpu_reference.run_session, session)
        return batch_proof.batch_prover(run, values, overrides)(shapes, axes)

    return prove


def _write(
    folder: Path, fed: Tensors, expected: Tensors, outputs: Sequence[str] | None, origin: str
) -> TestSet:
    """`outputs` are the names of all that the model has; None where it does not tell."""
    return TestSet(
        folder.name,
        tensor_io.save_tensors(fed, folder, "input"),
        tensor_io.save_tensors(expected, folder, "output"),
        None if outputs is None else tensor_io.names_without(expected, outputs),
        origin=origin,
    )
