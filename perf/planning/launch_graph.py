"""The launches a model needs, in the order they depend on each other, whoever carries them out."""

import hashlib
import json
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path

from perf.planning.arbitrate import arbitrate, study_chance
from perf.planning.launch import (
    PREPARE_PRELOAD,
    WORKER_PRELOAD,
    CellState,
    LaunchGraph,
    LaunchRequest,
    LaunchResult,
    MadeFiles,
    RunContext,
    cache_of,
    trace_requests,
)
from perf.planning.reference_cell import make_reference_cell
from perf.schema import cell as cells
from perf.schema import codec, fold, outcomes
from perf.schema.cell import Cell, ModelFile, TensorFile, TestSet, base_name, safe_name
from perf.schema.jobs import ArtefactJob, PrepareJob
from perf.schema.journal import OutputsSaved
from perf.schema.model_form import DESCRIPTIONS, Format, ModelForm
from perf.schema.record import (
    ArtefactFailed,
    LaunchKind,
    NotRun,
    Outcome,
    Passed,
    Raised,
    Skipped,
)


def set_up_model(
    context: RunContext, model: ModelFile, states: Sequence[CellState]
) -> LaunchGraph:
    """Prepare inputs, make references and artefacts, then check every target of one model."""
    for p in states:
        if model.problem:
            p.end(ArtefactFailed(model.problem))
        elif p.planned.failed:
            p.launches.append(p.planned.failed)
            p.end(p.planned.failed.outcome)
        elif p.planned.skip:
            p.end(Skipped(p.planned.skip))
    fed_alike: dict[tuple[bool, int, str], list[CellState]] = {}
    for p in (p for p in states if p.alive):
        shapes = json.dumps(codec.encode(p.cell.shapes))
        fed_alike.setdefault((_uses_half_data(p), p.cell.batch, shapes), []).append(p)
    for (half, _, _), mine in sorted(fed_alike.items(), key=lambda alike: alike[0][:2]):
        yield from _prepare_inputs(context, model, mine, half=half)
    yield from _convert_models(
        context, model, [p for p in states if p.alive and _needs_conversion(p)]
    )
    alive = [p for p in states if p.alive]
    results = yield [_check_request(context, p, "check") for p in alive]
    for p, result in zip(alive, results, strict=True):
        p.add(result)
    yield from retry_with_inferred_shapes(context, model, alive)
    for half in (False, True):
        mine = [p for p in alive if _uses_half_data(p) is half]
        yield from arbitrate(context, model, mine, half=half)
    if traces := trace_requests(context, alive):
        yield traces  # what they found lies in their folders


def _check_request(context: RunContext, p: CellState, name: str) -> LaunchRequest:
    if p.backend.builds:
        p.cell = replace(p.cell, cache=str(engine_cache_folder(context, p.cell)))

    return LaunchRequest(
        LaunchKind.CHECK, name, context.run.cell(p.cell) / "cell.json",
        context.run.launch(p.cell, name), p.cell.environment, WORKER_PRELOAD + p.backend.preload, p.cell,
        alone=p.backend.builds, gpu=p.backend.needs_gpu or bool(p.cell.gpu), writable=cache_of(p.cell),
        sources=p.sources,
    )  # fmt: skip


def _prepare_inputs(
    context: RunContext, model: ModelFile, mine: Sequence[CellState], *, half: bool
) -> LaunchGraph:
    """Give cells their test sets: prepared inputs, and references where none are stored."""
    key = _key(model.sha256, model.sha256_fp16, mine[0].cell.inputs_digest, half)
    folder = context.run.inputs(model.name, key)
    o = context.options
    form = model.forms[0] if model.format is not Format.ONNX else None
    reader = context.readers.get(form.format) if form else None
    if form and reader is None:
        for p in mine:
            p.end(ArtefactFailed(f"inputs: {no_reader(form)}"))
        return
    environment, preload = context.own, PREPARE_PRELOAD
    if reader:
        environment, preload = reader[1], (*reader[0].preload, "perf.worker.prepare")
    fed = mine[0].cell
    given = str(Path(o.inputs).absolute()) if o.inputs else ""
    job = PrepareJob(
        model, o.input_data, o.seed, 2, fed.shapes, str(folder), half, given, fed.batch, form
    )
    request = LaunchRequest(
        LaunchKind.PREPARE, "prepare", folder / "prepare.json", folder / "prepare", environment,
        preload, writable=(folder,), described=job,
    )  # fmt: skip
    (result,) = yield [request]
    prepared = fold.find_prepared(result.events)
    if prepared is None or not isinstance(result.launch.outcome, Passed):
        for p in mine:
            p.end(_preparation_failure(result))
        return
    sets = prepared.sets
    if model.eager_form:
        # what was stored is another engine's: all targets are held to the model itself
        sets = tuple(replace(s, outputs=()) for s in sets)
    _add_source(mine, request, sets)
    if o.check and (model.eager_form or any(s.unreferenced for s in sets)):
        sets = yield from _make_references(context, model, mine, sets, key, half=half)
    for p in mine:
        p.cell = replace(p.cell, sets=sets)
    alive = [p for p in mine if p.alive]
    yield from study_chance(context, model, alive, prepared.random_ops, half=half)


def _make_references(
    context: RunContext,
    model: ModelFile,
    mine: Sequence[CellState],
    sets: tuple[TestSet, ...],
    key: str,
    *,
    half: bool,
) -> Generator[Sequence[LaunchRequest], Sequence[LaunchResult], tuple[TestSet, ...]]:
    eager = model.eager_form
    maker = context.readers.get(eager.format) if eager else context.reference
    if maker is None or (eager is None and model.format is not Format.ONNX):
        for p in mine if eager else ():
            p.end(ArtefactFailed(f"reference outputs: {no_reader(eager)}"))
        return sets
    backend, environment = maker
    parts = [key, environment.name, sorted(environment.versions.items())]
    made_from = _key(*parts, *([eager.sha256] if eager else ()))
    folder = context.run.reference(model.name, made_from)
    like = mine[0].cell
    cell = make_reference_cell(backend, environment, model, like, sets, half=half)
    request = LaunchRequest(
        LaunchKind.REFERENCE, "reference", folder / "cell.json", folder / "launch", environment,
        WORKER_PRELOAD + backend.preload, cell, sources=mine[0].sources,
    )  # fmt: skip
    (result,) = yield [request]
    made = next((e.outputs for e in result.events if isinstance(e, OutputsSaved)), None)
    if made is None or not isinstance(result.launch.outcome, Passed):
        why = result.failed or _describe_outcome(result.launch.outcome)
        where = "by eager PyTorch" if eager else "on the CPU EP"
        for p in (
            mine if not any(s.outputs for s in sets) else ()
        ):  # else what is stored is compared
            p.end(ArtefactFailed(f"reference outputs {where}: {why}"))
        return sets
    _add_source(mine, request, made)
    if eager:
        return tuple(
            _held_to(s, m, backend.targets[0].name) for s, m in zip(sets, made, strict=True)
        )
    by = f"{cell.target.name} unoptimised"
    return tuple(_complete(s, m, by) for s, m in zip(sets, made, strict=True))


def _held_to(given: TestSet, made: TestSet, made_by: str) -> TestSet:
    """The set with all outputs as the model itself gave them."""
    outputs = tuple(replace(t, made_by=_how(f"{made_by} eagerly", t)) for t in made.outputs)
    return replace(given, outputs=outputs, unreferenced=())


def _how(made_by: str, output: TensorFile) -> str:
    """What made a reference, with what its launch says of how."""
    return f"{made_by}, {output.made_by}" if output.made_by else made_by


def _complete(given: TestSet, made: TestSet, made_by: str) -> TestSet:
    """The set with the outputs that it lacks, as they were made; what is stored stands."""
    stored = {t.name: t for t in given.outputs}
    lacking = {
        t.name: replace(t, made_by=_how(made_by, t))
        for t in made.outputs
        if base_name(t.name) in (given.unreferenced or ())
    }
    return replace(given, outputs=tuple((stored | lacking).values()), unreferenced=())


def _convert_models(
    context: RunContext, model: ModelFile, mine: Sequence[CellState]
) -> LaunchGraph:
    """Give reduced-precision cells their converted model, made once per precision, kept by key."""
    for precision in dict.fromkeys(p.cell.target.precision for p in mine):
        same = [p for p in mine if p.cell.target.precision is precision]
        folder = context.run.cache(f"{model.sha256[:16]}-{precision.value}")
        job = ArtefactJob(
            model, precision.value, str(artifact_folder(context)), model.test_data or ""
        )  # fmt: skip
        request = _artifact_request(context, folder, job)
        (result,) = yield [request]
        made = fold.find_artifact(result.events)
        if not isinstance(result.launch.outcome, Passed):
            made = None
        for p in same:
            if made is not None:
                p.cell = replace(p.cell, model=replace(p.cell.model, path_fp16=made.path))
                p.sources += (MadeFiles(request, (Path(made.path),)),)
                p.overflows = made.report.get("overflows")
            elif p.backend.half_artefact:
                why = result.failed or _describe_outcome(result.launch.outcome)
                p.end(ArtefactFailed(f"{precision.value} model: {why}"))


def retry_with_inferred_shapes(
    context: RunContext,
    model: ModelFile,
    checked: Sequence[CellState],
) -> LaunchGraph:
    """Infer shapes symbolically and check once more; without them the engine's own words stand.

    TensorRT's parser does not know the output shapes of custom ops and of some subgraphs, and ONNX
    Runtime's provider then refuses the session. The copy lies in the cache, never beside the model.
    """
    mine = [
        p for p in checked if p.cell.model.path_fp16 is None and wants_inferred_shapes(p.outcome)
    ]
    if not mine:
        return
    folder = context.run.cache(f"{model.sha256[:16]}-shapes")
    job = ArtefactJob(model, "shapes", str(artifact_folder(context)))
    request = _artifact_request(context, folder, job)
    (result,) = yield [request]
    made = fold.find_artifact(result.events)
    if made is None or not isinstance(result.launch.outcome, Passed):
        return
    for p in mine:
        shaped = replace(p.cell.model, path=made.path, folder=str(Path(made.path).parent))
        p.cell = replace(p.cell, model=shaped)
        p.sources += (MadeFiles(request, (Path(made.path),)),)
        p.outcome = Passed()
        p.launches.clear()  # of the model as it was; its folder stays
    results = yield [_check_request(context, p, "check_shaped") for p in mine]
    for p, result in zip(mine, results, strict=True):
        p.add(result)


def wants_inferred_shapes(outcome: Outcome) -> bool:
    """Whether an engine ended with ONNX Runtime's request to run shape inference first."""
    return isinstance(outcome, Raised) and "run shape inference" in outcome.message


def artifact_folder(context: RunContext) -> Path:
    """Where converted models are kept by key: the run's own folder, or the one that runs share."""
    shared = context.options.keep_cache
    return Path(shared).absolute() if shared else context.run.root / "cache"


def engine_cache_folder(context: RunContext, cell: Cell) -> Path:
    """Where a cell's engines are kept: the run's own, or shared by all that can change an engine."""
    if not context.options.keep_cache:
        return context.run.cache(f"{safe_name(cell.target.label)}-{cell.digest}")
    identity = [
        cell.model.sha256, cell.target.name, cell.target.precision.value, cell.tf32, cell.variant,
        *([cell.form.sha256] if cell.form else ()),
        sorted(cell.options.items()), sorted(cell.environment.versions.items()),
        context.devices[cell.device : cell.device + 1],
    ]  # fmt: skip
    key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
    return Path(context.options.keep_cache).absolute() / f"{safe_name(cell.model.name)}-{key}"


def _key(*parts: object) -> str:
    """8 hex of all that something was made from, so that a changed model is not fed another's data."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]


def no_reader(form: ModelForm | None) -> str:
    """What is wrong where no environment reads a form."""
    what = DESCRIPTIONS[form.format] if form else "the model"
    return f"no environment here runs {what}; --list says why"


def _needs_conversion(p: CellState) -> bool:
    reduced = p.cell.target.precision is not cells.Precision.FP32
    converted = p.backend.half_artefact or p.backend.half_wanted
    return reduced and converted and p.cell.model.path_fp16 is None


def _uses_half_data(p: CellState) -> bool:
    return (
        p.cell.target.precision is cells.Precision.FP16 and p.cell.model.test_data_fp16 is not None
    )


def _preparation_failure(result: LaunchResult) -> Outcome:
    match result.launch.outcome:
        case Skipped() | NotRun():
            return result.launch.outcome
        case other:
            return ArtefactFailed(f"inputs: {result.failed or _describe_outcome(other)}")


def _describe_outcome(outcome: Outcome) -> str:
    return f"{outcomes.reason(outcome)} ({outcomes.exact(outcome)})"


def _artifact_request(context: RunContext, folder: Path, job: ArtefactJob) -> LaunchRequest:
    return LaunchRequest(
        LaunchKind.ARTEFACT, "artefact", folder / "artefact.json", folder / "launch", context.own,
        ("numpy", "onnx"), writable=(artifact_folder(context),), described=job,
    )  # fmt: skip


def _add_source(
    mine: Sequence[CellState], request: LaunchRequest, sets: Sequence[TestSet]
) -> None:
    """Cells that read test sets remember who made them."""
    files = tuple(Path(t.path) for s in sets for t in (*s.inputs, *s.outputs))
    for p in mine:
        p.sources += (MadeFiles(request, files),)
