"""The check an artefact passes before it is offered: loaded, run and compared with fp32."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import onnx

from perf.conversion import bfloat16, cpu_reference, data_sets, external_data, model_inputs
from perf.conversion.artifact import Check, ConversionError
from perf.conversion.errors import UserError

CHECK_SEED = 20_240_601


def check_converted(source: Path, artefact: Path, calibration: Path | None) -> Check:
    """Run both models on the CPU EP on one set of inputs and compare every output.

    The inputs are the first of the `calibration` sets, else seeded ones where every shape is
    known. Raises ConversionError if the artefact does not load, does not run where fp32 runs, or
    changes the names or types of its inputs and outputs.
    """
    fp32 = cpu_reference.open_session(source)
    try:
        made = cpu_reference.open_session(artefact)
    except Exception as error:  # onnxruntime's exceptions share no public base
        why = cpu_reference.describe_error(error)
        raise ConversionError(f"the converted model does not load: {why}") from error
    require_same_ends(_ends(fp32), _ends(made))
    feed, named = _feed(source, calibration)
    if feed is None:
        return Check("loaded on the CPU EP", named)
    try:
        expected = cpu_reference.run_session(fp32, feed)
    except Exception as error:
        if named.startswith("test_data"):
            why = cpu_reference.describe_error(error)
            raise ConversionError(f"fp32 itself does not run on {named}: {why}") from error
        return Check("loaded on the CPU EP", f"not run: fp32 fails on {named}")
    try:
        found = cpu_reference.run_session(made, feed)
    except Exception as error:
        why = cpu_reference.describe_error(error)
        raise ConversionError(f"the converted model does not run: {why}") from error
    return _compare(found, expected, named)


def check_converted_bf16(source: Path, artefact: Path, calibration: Path | None) -> Check:
    """The check of a bf16 artefact, for which the CPU EP has no kernels.

    Its types were inferred when it was made; here its twin runs, whose weights are rounded to bf16
    and whose arithmetic is fp32.
    """
    require_same_ends(_declared(source), _declared(artefact))
    model = onnx.load(str(artefact))
    bfloat16.widen(model)
    twin = artefact.with_name(f"{artefact.name}.twin")
    try:
        external_data.save_model(model, twin)
        found = check_converted(source, twin, calibration)
    finally:
        for path in (twin, twin.with_name(f"{twin.name}.data")):
            path.unlink(missing_ok=True)
    kind = f"{found.kind}, weights rounded to bf16 and arithmetic in fp32: no bf16 kernels there"
    return dataclasses.replace(found, kind=kind)


def require_same_ends(fp32: dict[str, str], made: dict[str, str]) -> None:
    """Refuse an artefact that asks for or gives anything but what the fp32 model does."""
    if fp32 != made:
        changed = sorted(set(fp32.items()) ^ set(made.items()))
        names = ", ".join(sorted({name for name, _ in changed}))
        raise ConversionError(f"the converted model changed its inputs or outputs: {names}")


def _compare(found: dict[str, Any], expected: dict[str, Any], named: str) -> Check:
    outputs: dict[str, float | str] = {}
    worst: cpu_reference.Distance | None = None
    for name, want in expected.items():
        distance = cpu_reference.output_distance(found[name], want)
        if distance is None:  # as many boxes as the scores say: rounding changes the count
            outputs[name] = f"shape {list(found[name].shape)} instead of {list(want.shape)}"
            continue
        outputs[name] = distance.relative
        if worst is None or distance.relative > worst.relative:
            worst = distance
    kind = "run on the CPU EP beside fp32"
    if worst is None:
        return Check(kind, named, outputs=outputs)
    return Check(kind, named, worst.relative, worst.rms, outputs)


def _feed(source: Path, calibration: Path | None) -> tuple[data_sets.Tensors | None, str]:
    """What both are fed, and what to call it; None with the reason where nothing can be made."""
    declared = model_inputs.declared_inputs(external_data.read_structure(source))
    sets = data_sets.find_sets(calibration) if calibration is not None else []
    if sets:
        try:
            names = [each.name for each in declared]
            return data_sets.read_tensors(sets[0], "input", names), sets[0].name
        except UserError as refusal:
            raise ConversionError(str(refusal)) from refusal
    try:
        shapes = model_inputs.resolve_shapes(declared, model_inputs.Overrides())
        filled = model_inputs.fill_inputs(declared, shapes, model_inputs.Overrides(), CHECK_SEED)
        return filled, f"seeded inputs (seed {CHECK_SEED})"
    except UserError as refusal:
        return None, f"not run: {refusal}"


def _ends(session: Any) -> dict[str, str]:
    ends = {f"input {each.name}": each.type for each in session.get_inputs()}
    return ends | {f"output {each.name}": each.type for each in session.get_outputs()}


def _declared(path: Path) -> dict[str, str]:
    graph = external_data.read_structure(path).graph
    stored = {tensor.name for tensor in graph.initializer}
    fed = [value for value in graph.input if value.name not in stored]
    ends = {f"input {value.name}": str(value.type.tensor_type.elem_type) for value in fed}
    for value in graph.output:
        ends[f"output {value.name}"] = str(value.type.tensor_type.elem_type)
    return ends
