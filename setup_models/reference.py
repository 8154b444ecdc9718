"""Reference outputs for seeded inputs: the CPU EP unoptimised, where no majority is against it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from perf.conversion import external_data
from perf.conversion.batch_proof import batch_prover
from perf.conversion.cpu_reference import open_session, output_distance, run_session
from perf.conversion.data_sets import Tensors, pair_inputs, pair_outputs, write_set
from perf.conversion.errors import UserError, raise_as
from perf.conversion.model_inputs import (
    Overrides,
    assumed_batches,
    fill_inputs,
    resolve_shapes,
)
from perf.conversion.ort_format import signature_of_session
from perf.conversion.signature import Signature, Value, signature_of
from perf.measure.tensor_io import decode
from perf.request.model_list import is_ort_format
from setup_models.cross_check import DIFFERENCE, cross_check

SEED = 20_240_601


@dataclass(frozen=True)
class SetOptions:
    """How test sets are to be made, and what their inputs are."""

    overrides: Overrides = field(default_factory=Overrides)
    sets: int = 2
    seed: int = SEED
    cross_check: bool = True
    custom_ops: tuple[str, ...] = ()  # libraries, by absolute path
    given: tuple[Path, ...] = ()  # the user's own sets, in place of drawn ones


@dataclass(frozen=True)
class SetReport:
    """What was made: how many sets, the shapes fed and given, and remarks for the user."""

    sets: int
    input_shapes: dict[str, tuple[int, ...]]
    output_shapes: dict[str, tuple[int, ...]]
    notes: tuple[str, ...]
    inputs: tuple[Value, ...]


def make_sets(path: Path, folder: Path, options: SetOptions) -> SetReport:
    """Write test data sets for the model at `path` into `folder`; set k is filled from seed + k, or given.

    Raises UserError where the CPU EP cannot run the model, or gives NaN.
    """
    model = None if is_ort_format(path) else external_data.read_structure(path)
    if model is not None:  # what is missing is named before an engine fails
        external_data.external_files(path, model)
    with raise_as(UserError, f"{path}: the CPU EP cannot load it"):
        session = open_session(path, custom_ops=options.custom_ops)
    signature = signature_of_session(session) if model is None else signature_of(model)
    run = partial(run_session, session)
    outputs: list[Tensors] = []
    shapes: dict[str, tuple[int, ...]] = {}
    notes = [] if options.cross_check else ["not cross-checked: --no_cross_check"]
    for number, (feed, stored) in enumerate(_feeds(signature, options, run, notes)):
        computed = _run_checked(path, run, feed, "given" if options.given else "generated")
        if number == 0:
            shapes = {name: tuple(array.shape) for name, array in feed.items()}
        if number == 0 and options.cross_check:
            found = cross_check(path, model, session, feed, computed, options.custom_ops)
            notes.insert(0, found.note)
            if found.instead is not None:
                run = partial(run_session, found.instead)
                computed = run(feed)
        notes += _differences(stored, computed, number)
        outputs.append({**computed, **stored})
        write_set(folder / f"test_data_set_{number}", feed, outputs[-1], signature)
    if shapes and len(outputs) > 1 and _are_equal(*outputs[:2]):
        notes.append("the outputs are the same for different inputs: such a model checks little")
    given = {name: tuple(array.shape) for name, array in outputs[0].items()}
    told = tuple(dict.fromkeys(notes))
    return SetReport(len(outputs), shapes, given, told, signature.inputs)


def _are_equal(one: Tensors, other: Tensors) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(a, other[n]) for n, a in one.items())


def _feeds(
    signature: Signature, options: SetOptions, run: Callable[[Tensors], Tensors], notes: list[str]
) -> Iterator[tuple[Tensors, Tensors]]:
    """Inputs, and outputs that came with them: the user's own sets, else drawn ones; notes what was taken."""
    for data_set in options.given:
        fed, expected = pair_inputs(data_set, signature), pair_outputs(data_set, signature)
        notes += (f"{data_set.name}: {note}" for note in (*fed.notes, *expected.notes))
        yield fed.tensors, expected.tensors
    if options.given:
        return
    inputs, overrides = signature.inputs, options.overrides
    proof = batch_prover(run, inputs, overrides)
    shapes = resolve_shapes(inputs, overrides, prove_batch=proof)
    if assumed := assumed_batches(inputs, overrides):
        notes.append(assumed)
    for number in range(options.sets):
        yield fill_inputs(inputs, shapes, overrides, options.seed + number), {}


def _run_checked(
    path: Path, run: Callable[[Tensors], Tensors], feed: Tensors, which: str
) -> Tensors:
    hint = "; give --shape, --range or --value for the inputs at fault"
    if which == "given":
        hint = ""
    with raise_as(UserError, f"{path}: fails on the {which} inputs", hint):
        outputs = run(feed)
    for name, array in outputs.items():
        values = decode(array)
        if values.dtype.kind == "f" and np.isnan(values).any():
            raise UserError(f"{path}: output {name!r} holds NaN on the {which} inputs{hint}")
    return outputs


def _differences(stored: Tensors, computed: Tensors, number: int) -> Iterator[str]:
    """What is given as outputs and is not what the CPU EP computes."""
    for name, want in stored.items():
        found = computed.get(name)
        distance = None if found is None else output_distance(decode(found), decode(want))
        if distance is None or distance.relative > DIFFERENCE:
            far = "of another shape" if distance is None else f"{distance.relative:.2g} away"
            yield f"set {number}: the given output {name!r} is {far} from the CPU EP's, and kept"
