"""The check an artefact passes before it is offered: loaded, run and compared with fp32."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import onnx

from perf.conversion import bfloat16, external_data
from perf.conversion.artifact import Check, ConversionError
from perf.conversion.batch_proof import batch_prover
from perf.conversion.cpu_reference import open_session, output_distance, run_session
from perf.conversion.data_sets import Tensors, read_inputs
from perf.conversion.errors import UserError, describe_error, raise_as
from perf.conversion.half_precision import run_in_half
from perf.conversion.model_inputs import Overrides, fill_inputs, resolve_shapes
from perf.conversion.signature import read_signature
from perf.request.model_list import find_test_sets

CHECK_SEED = 20_240_601


def check_converted(
    source: Path, artefact: Path, calibration: Path | None, custom_ops: Sequence[str] = ()
) -> Check:
    """Run both models on the CPU EP on one set of inputs, stored or seeded, and compare every output.

    Raises ConversionError if the artefact does not load, does not run where fp32 runs, or changes the
    names or types of its inputs and outputs; BadModel for test data that does not fit.
    """
    _require_same_ends(source, artefact)
    fp32 = open_session(source, custom_ops=custom_ops)
    with raise_as(ConversionError, "the converted model does not load"):
        converted = open_session(artefact, custom_ops=custom_ops)
    feed, inputs = _feed(source, calibration, partial(run_session, fp32))
    if feed is None:
        return Check("loaded on the CPU EP", inputs)
    try:
        expected = run_session(fp32, feed)
    except Exception as error:  # onnxruntime's exceptions share no public base
        if not inputs.startswith("test_data"):
            return Check("loaded on the CPU EP", f"not run: fp32 fails on {inputs}")
        why = describe_error(error)
        raise ConversionError(f"fp32 itself does not run on {inputs}: {why}") from error
    with raise_as(ConversionError, "the converted model does not run"):
        found = run_session(converted, feed)
    return _compare(found, expected, inputs)


def check_converted_fp16(
    source: Path, artefact: Path, calibration: Path | None, custom_ops: Sequence[str] = ()
) -> Check:
    """The check of an fp16 artefact: on the CPU EP, which computes it in fp32, and in two arithmetics."""
    found = check_converted(source, artefact, calibration, custom_ops)
    run = partial(run_session, open_session(source, custom_ops=custom_ops))
    feed, _ = _feed(source, calibration, run)
    if feed is None or found.relative_difference is None:
        return found
    runs = run_in_half(artefact, feed, run(feed))
    return replace(found, kind=f"{found.kind} (which computes in fp32 there)", arithmetics=runs)


def check_converted_bf16(
    source: Path, artefact: Path, calibration: Path | None, custom_ops: Sequence[str] = ()
) -> Check:
    """The check of a bf16 artefact: the CPU EP has no kernels for it, so its twin runs, in fp32."""
    model = onnx.load(str(artefact))
    bfloat16.widen(model)
    with tempfile.TemporaryDirectory(dir=artefact.parent) as folder:
        twin = Path(folder) / artefact.name
        external_data.save_model(model, twin)
        found = check_converted(source, twin, calibration, custom_ops)
    kind = f"{found.kind}, weights rounded to bf16 and arithmetic in fp32: no bf16 kernels there"
    return replace(found, kind=kind)


def _require_same_ends(source: Path, artefact: Path) -> None:
    """Refuse an artefact that asks for or gives anything but what the fp32 model does."""
    fp32, converted = (
        {(v.name, v.onnx_type) for v in (*signature.inputs, *signature.outputs)}
        for signature in (read_signature(source), read_signature(artefact))
    )
    if changed := {name for name, _ in fp32 ^ converted}:
        names = ", ".join(sorted(changed))
        raise ConversionError(f"the converted model changed its inputs or outputs: {names}")


def _compare(found: Tensors, expected: Tensors, inputs: str) -> Check:
    check = Check("run on the CPU EP beside fp32", inputs)
    for name, want in expected.items():
        distance = output_distance(found[name], want)
        if distance is None:  # as many boxes as the scores say: rounding changes the count
            check.outputs[name] = f"shape {[*found[name].shape]} instead of {[*want.shape]}"
            continue
        check.outputs[name] = distance.relative
        if distance.relative > (check.relative_difference or -1.0):
            check = Check(check.kind, inputs, distance.relative, distance.rms, check.outputs)
    return check


def _feed(
    source: Path, calibration: Path | None, run: Callable[[Tensors], Tensors]
) -> tuple[Tensors | None, str]:
    """What both are fed, and what to call it; None with the reason where nothing can be made."""
    signature = read_signature(source)
    sets = find_test_sets(calibration) if calibration else ()
    if sets:
        return read_inputs(sets[0], signature), sets[0].name
    try:
        proof = batch_prover(run, signature.inputs, Overrides())
        shapes = resolve_shapes(signature.inputs, Overrides(), prove_batch=proof)
        feed = fill_inputs(signature.inputs, shapes, Overrides(), CHECK_SEED)
    except UserError as refusal:
        return None, f"not run: {refusal}"
    return feed, f"seeded inputs (seed {CHECK_SEED})"
