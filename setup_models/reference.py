"""Reference outputs for seeded inputs: the CPU EP unoptimised, cross-checked by onnx.reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from perf.conversion import cpu_reference, data_sets, external_data, graph_repair, model_inputs
from perf.conversion.errors import UserError

Array = npt.NDArray[np.generic]

# onnx.reference runs node by node in Python: past these it takes minutes.
CROSS_CHECK_NODES = 150
CROSS_CHECK_INPUT_ELEMENTS = 200_000
CROSS_CHECK_WEIGHT_BYTES = 64 << 20
# Both compute in fp32 in a different order of summation; a wrong kernel is far beyond this.
CROSS_CHECK_DIFFERENCE = 1e-3


@dataclass(frozen=True)
class Made:
    """What was made: how many sets, the shapes fed and given, and remarks for the user."""

    sets: int
    input_shapes: dict[str, tuple[int, ...]]
    output_shapes: dict[str, tuple[int, ...]]
    notes: tuple[str, ...]


def make_sets(
    path: Path,
    folder: Path,
    overrides: model_inputs.Overrides,
    *,
    sets: int,
    seed: int,
    cross_check: bool = True,
) -> Made:
    """Write `sets` test data sets for the model at `path` into `folder`.

    Set k is filled from seed + k. Raises UserError where dims are open, where the CPU EP
    cannot run the model on such inputs, for a NaN in an output, and where onnx.reference
    disagrees.
    """
    model = external_data.read_structure(path)
    external_data.external_files(
        path, model
    )  # a missing data file is named before an engine fails on it
    declared = model_inputs.declared_inputs(model)
    shapes = model_inputs.resolve_shapes(declared, overrides)
    try:
        session = cpu_reference.open_session(path)
    except Exception as error:  # onnxruntime's exceptions share no public base
        raise UserError(
            f"{path}: the CPU EP cannot load it: {cpu_reference.describe_error(error)}"
        ) from error
    outputs: list[dict[str, Array]] = []
    for number in range(sets):
        feed = model_inputs.fill_inputs(declared, shapes, overrides, seed + number)
        try:
            outputs.append(cpu_reference.run_session(session, feed))
        except Exception as error:
            raise UserError(
                f"{path}: fails on the generated inputs: {cpu_reference.describe_error(error)}; "
                "give --shape, --range or --value for the inputs at fault"
            ) from error
        _require_numbers(path, outputs[-1])
        data_sets.write_set(folder / f"test_data_set_{number}", feed, outputs[-1])
    notes = ["not cross-checked: --no_cross_check"]
    if cross_check:
        first = model_inputs.fill_inputs(declared, shapes, overrides, seed)
        notes = [_cross_check(path, model, first, outputs[0])]
    if sets > 1 and declared and _all_equal(outputs[0], outputs[1]):
        notes.append("the outputs are the same for different inputs: such a model checks little")
    given = {name: tuple(array.shape) for name, array in outputs[0].items()}
    return Made(sets, shapes, given, tuple(notes))


def _require_numbers(path: Path, outputs: Mapping[str, Array]) -> None:
    for name, array in outputs.items():
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise UserError(
                f"{path}: output {name!r} holds NaN on the generated inputs; give --range or "
                "--value so that the model gets inputs it is made for"
            )


def _cross_check(
    path: Path, model: onnx.ModelProto, feed: Mapping[str, Array], expected: Mapping[str, Array]
) -> str:
    nodes = sum(len(graph.node) for graph in graph_repair.all_graphs(model.graph))
    elements = sum(array.size for array in feed.values())
    if nodes > CROSS_CHECK_NODES or elements > CROSS_CHECK_INPUT_ELEMENTS:
        return f"not cross-checked: {nodes} nodes and {elements} input elements are too many"
    if path.stat().st_size > CROSS_CHECK_WEIGHT_BYTES or external_data.external_files(path, model):
        return "not cross-checked: the weights are too large"
    from onnx.reference import ReferenceEvaluator

    try:
        with np.errstate(all="ignore"):
            found = ReferenceEvaluator(model).run(list(expected), dict(feed))
    except Exception as error:  # an op it lacks, or a bug of its own: no verdict either way
        why = cpu_reference.describe_error(error)[:120]
        return f"not cross-checked: onnx.reference cannot run it ({why})"
    worst = 0.0
    for (name, want), got in zip(expected.items(), found, strict=True):
        distance = cpu_reference.output_distance(np.asarray(got), want)
        if distance is None or distance.relative > CROSS_CHECK_DIFFERENCE:
            what = (
                "another shape"
                if distance is None
                else f"a relative difference of {distance.relative:.2g}"
            )
            raise UserError(
                f"{path}: onnx.reference gives {what} for output {name!r}: one of the two runs the "
                "model wrongly, so its outputs are no reference; add --no_cross_check to take them"
            )
        worst = max(worst, distance.relative)
    return f"cross-checked by onnx.reference: relative difference {worst:.1g}"


def _all_equal(first: Mapping[str, Array], second: Mapping[str, Array]) -> bool:
    return all(np.array_equal(first[name], second[name]) for name in first)
