"""Reference outputs for seeded inputs: the CPU EP unoptimised, where no majority is against it."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from perf.conversion import external_data
from perf.conversion.cpu_reference import open_session, run_session
from perf.conversion.data_sets import Tensors, write_set
from perf.conversion.errors import UserError, raise_as
from perf.conversion.model_inputs import Overrides, fill_inputs, resolve_shapes
from perf.conversion.signature import signature_of
from perf.measure.tensor_io import decode
from setup_models.cross_check import cross_check

SEED = 20_240_601


@dataclass(frozen=True)
class SetOptions:
    """How test sets are to be made, and what their inputs are."""

    overrides: Overrides = field(default_factory=Overrides)
    sets: int = 2
    seed: int = SEED
    cross_check: bool = True


@dataclass(frozen=True)
class SetReport:
    """What was made: how many sets, the shapes fed and given, and remarks for the user."""

    sets: int
    input_shapes: dict[str, tuple[int, ...]]
    output_shapes: dict[str, tuple[int, ...]]
    notes: tuple[str, ...]


def make_sets(path: Path, folder: Path, options: SetOptions) -> SetReport:
    """Write test data sets for the model at `path` into `folder`; set k is filled from seed + k.

    Raises UserError where the CPU EP cannot run the model, or gives NaN.
    """
    model = external_data.read_structure(path)
    external_data.external_files(path, model)  # what is missing is named before an engine fails
    inputs = signature_of(model).inputs
    shapes = resolve_shapes(inputs, options.overrides)
    with raise_as(UserError, f"{path}: the CPU EP cannot load it"):
        session = open_session(path)
    outputs: list[Tensors] = []
    notes = ["not cross-checked: --no_cross_check"]
    hint = "; give --shape, --range or --value for the inputs at fault"
    for number in range(options.sets):
        feed = fill_inputs(inputs, shapes, options.overrides, options.seed + number)
        with raise_as(UserError, f"{path}: fails on the generated inputs", hint):
            outputs.append(run_session(session, feed))
        for name, array in outputs[-1].items():
            values = decode(array)
            if values.dtype.kind == "f" and np.isnan(values).any():
                raise UserError(f"{path}: output {name!r} holds NaN on the generated inputs{hint}")
        if number == 0 and options.cross_check:
            found = cross_check(path, model, session, feed, outputs[0])
            notes = [found.note]
            if found.instead is not None:
                session = found.instead
                outputs[0] = run_session(session, feed)
        write_set(folder / f"test_data_set_{number}", feed, outputs[-1])
    again = outputs[1] if options.sets > 1 else {}
    if inputs and again and all(np.array_equal(outputs[0][name], again[name]) for name in again):
        notes.append("the outputs are the same for different inputs: such a model checks little")
    given = {name: tuple(array.shape) for name, array in outputs[0].items()}
    return SetReport(options.sets, shapes, given, tuple(notes))
