"""Reference outputs for seeded inputs: the CPU EP unoptimised, cross-checked by onnx.reference."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from perf.conversion import external_data, graph_repair
from perf.conversion.cpu_reference import open_session, output_distance, run_session
from perf.conversion.data_sets import Tensors, uncarry, write_set
from perf.conversion.errors import UserError, describe_error, raise_as
from perf.conversion.model_inputs import Overrides, fill_inputs, resolve_shapes
from perf.conversion.signature import signature_of
from perf.measure.tensor_io import decode

SEED = 20_240_601
# onnx.reference runs node by node in Python: past these it takes minutes.
CROSS_CHECK_NODES = 150
CROSS_CHECK_INPUT_ELEMENTS = 200_000
CROSS_CHECK_WEIGHT_BYTES = 64 << 20
# Both compute in fp32 in a different order of summation; a wrong kernel is far beyond this.
CROSS_CHECK_DIFFERENCE = 1e-3


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

    Raises UserError where the CPU EP cannot run the model, gives NaN, or differs from onnx.reference.
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
        write_set(folder / f"test_data_set_{number}", feed, outputs[-1])
        if number == 0 and options.cross_check:
            notes = [_cross_check(path, model, feed, outputs[0])]
    again = outputs[1] if options.sets > 1 else {}
    if inputs and again and all(np.array_equal(outputs[0][name], again[name]) for name in again):
        notes.append("the outputs are the same for different inputs: such a model checks little")
    given = {name: tuple(array.shape) for name, array in outputs[0].items()}
    return SetReport(options.sets, shapes, given, tuple(notes))


def _cross_check(path: Path, model: onnx.ModelProto, feed: Tensors, expected: Tensors) -> str:
    nodes = sum(len(graph.node) for graph in graph_repair.all_graphs(model.graph))
    elements = sum(array.size for array in feed.values())
    if not any(array.size for array in expected.values()):
        return "not cross-checked: no output has an element, so that a run will have nothing to compare"
    if nodes > CROSS_CHECK_NODES or elements > CROSS_CHECK_INPUT_ELEMENTS:
        return f"not cross-checked: {nodes} nodes and {elements} input elements are too many"
    if path.stat().st_size > CROSS_CHECK_WEIGHT_BYTES or external_data.external_files(path, model):
        return "not cross-checked: the weights are too large"
    try:
        with np.errstate(all="ignore"):
            found = ReferenceEvaluator(model).run(
                list(expected), {name: uncarry(array) for name, array in feed.items()}
            )
    except Exception as error:  # an op it lacks, or a bug of its own: no verdict either way
        why = describe_error(error)[:120]
        return f"not cross-checked: onnx.reference cannot run it ({why})"
    worst = 0.0
    for (name, want), got in zip(expected.items(), found, strict=True):
        distance = output_distance(np.asarray(got), decode(want))
        if distance is None or distance.relative > CROSS_CHECK_DIFFERENCE:
            what = "another shape"
            if distance is not None:
                what = f"a relative difference of {distance.relative:.2g}"
            raise UserError(
                f"{path}: onnx.reference gives {what} for output {name!r}: one of the two runs the "
                "model wrongly, so its outputs are no reference; add --no_cross_check to take them"
            )
        worst = max(worst, distance.relative)
    return f"cross-checked by onnx.reference: relative difference {worst:.1g}"
