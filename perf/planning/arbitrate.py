"""Launches that tell chance, rounding and other people's faults from an EP's, for cells that mismatch."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

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
    expectation_of,
)
from perf.planning.reference_cell import make_reference_cell
from perf.request.programs import command_of
from perf.schema.cause import Findings, find_cause
from perf.schema.cell import Cell, ModelFile, Precision, ReferenceQuality, base_name
from perf.schema.fold import is_wrong
from perf.schema.jobs import StudyJob
from perf.schema.journal import Compared, ReferenceStudied
from perf.schema.model_form import Format
from perf.schema.record import Launch, LaunchKind, Mismatched, Passed

CHEAP_S = 1.0  # a probe that takes less is made without being asked for
LEVELS = ("disable", "basic")
BUDGET_S, EXPLAIN_BUDGET_S = 10.0, 120.0  # of fp64
DIAGNOSE = "perf.cli.diagnose"


@dataclass(frozen=True)
class _Study:
    """What a study found, and the launch that finds it again."""

    found: ReferenceStudied
    request: LaunchRequest


Studying: TypeAlias = Generator[Sequence[LaunchRequest], Sequence[LaunchResult], _Study | None]
Probing: TypeAlias = Generator[Sequence[LaunchRequest], Sequence[LaunchResult], dict[str, bool]]


def study_chance(
    context: RunContext,
    model: ModelFile,
    mine: Sequence[CellState],
    random_ops: Sequence[str],
    *,
    half: bool,
) -> LaunchGraph:
    """Before the check: a model whose ops draw at random, or may, is run to learn which outputs repeat."""
    if not random_ops or not mine or not context.options.check:
        return
    study = yield from _study(context, model, mine[0], half=half, arbitrate=False)
    if study is not None:
        _take_in(mine, study)


def arbitrate(
    context: RunContext, model: ModelFile, checked: Sequence[CellState], *, half: bool
) -> LaunchGraph:
    """After the check: cells that mismatch are checked again by what a study finds their reference worth.

    What still mismatches gets its cause.
    """
    wrong = [p for p in checked if isinstance(p.outcome, Mismatched)]
    if not wrong:
        return
    study = yield from _study(context, model, wrong[0], half=half, arbitrate=True)
    if study is not None:
        _take_in(wrong, study)
        yield from _check_again(context, wrong)
    for p in wrong:
        yield from _explain(context, p, study.found if study else None)


def _study(
    context: RunContext, model: ModelFile, like: CellState, *, half: bool, arbitrate: bool
) -> Studying:
    """What studies of the reference find, in processes of their own; None where they fail."""
    if context.reference is None or model.eager_form or model.format is not Format.ONNX:
        return None  # a study runs the model on the CPU EP, which made no reference of these
    backend, _ = context.reference
    cell = make_reference_cell(backend, context.own, model, like.cell, like.cell.sets, half=half)
    home = context.run.cell(like.cell) / ("study" if arbitrate else "chance")
    budget_s = EXPLAIN_BUDGET_S if context.options.explain else BUDGET_S
    job = StudyJob(cell, "", False, budget_s)
    first = yield from _launch_study(context, like, home / "first", job)
    if first is None:
        return None
    job = replace(job, earlier=first.found.made, arbitrate=arbitrate)
    if arbitrate:
        flushing = replace(cell, session_config={"session.set_denormal_as_zero": "1"})
        alone = replace(job, cell=flushing, arbitrate=False)
        flushed = yield from _launch_study(context, like, home / "flushed", alone)
        job = replace(job, flushed=flushed.found.made if flushed else ())
    return (yield from _launch_study(context, like, home / "second", job))


def _launch_study(context: RunContext, like: CellState, folder: Path, job: StudyJob) -> Studying:
    """One study, in a process of its own."""
    outputs = folder / "outputs"
    request = LaunchRequest(
        LaunchKind.STUDY, "study", folder / "study.json", folder / "launch", context.own,
        PREPARE_PRELOAD, writable=(outputs,), described=replace(job, destination=str(outputs)),
        sources=like.sources,
    )  # fmt: skip
    (result,) = yield [request]
    found = next((e for e in result.events if isinstance(e, ReferenceStudied)), None)
    if found is None or not isinstance(result.launch.outcome, Passed):
        return None
    return _Study(found, request)


def _take_in(states: Sequence[CellState], study: _Study) -> None:
    """Give cells what is known of their references."""
    known = {s.name: s for s in study.found.sets}
    files = tuple(Path(t.path) for s in study.found.sets for t in (*s.exact, *s.drawn))
    for p in states:
        sets = tuple(
            replace(
                s,
                quality=known[s.name].quality,
                exact=known[s.name].exact,
                drawn=known[s.name].drawn,
            )
            if s.name in known
            else s
            for s in p.cell.sets
        )
        p.cell = replace(p.cell, sets=sets)
        p.sources += (MadeFiles(study.request, files),)


def _check_again(context: RunContext, wrong: Sequence[CellState]) -> LaunchGraph:
    """One more check, in which the reference counts for what it is worth.

    A target that is right now, and not by what was learnt, gives other outputs on equal inputs: it stays
    wrong.
    """
    results = yield [_check_request(context, p, p.cell, "check_again") for p in wrong]
    for p, result in zip(wrong, results, strict=True):
        outcome, compared = result.launch.outcome, result.launch.compared
        learnt = any(c.within_noise or not c.reproducible for c in compared)
        if isinstance(outcome, Mismatched) or (isinstance(outcome, Passed) and learnt):
            p.launches[:] = [x for x in p.launches if x.kind is not LaunchKind.CHECK]
            p.launches.append(result.launch)
            p.outcome = outcome
        elif isinstance(outcome, Passed) and isinstance(p.outcome, Mismatched):
            flaky = "chance: the target was right when it was run again on equal inputs"
            p.outcome = replace(p.outcome, cause=flaky)


def _explain(context: RunContext, p: CellState, found: ReferenceStudied | None) -> LaunchGraph:
    """Find the cause of a cell that mismatches by the probes that are cheap, or by all with --explain."""
    launch = next((x for x in p.launches if x.kind is LaunchKind.CHECK), None)
    if not isinstance(p.outcome, Mismatched) or p.outcome.cause or launch is None:
        return
    wrong = next((c for c in launch.compared if is_wrong(c, expectation_of(p.cell))), None)
    if wrong is None:
        return
    facts = _known_facts(p, wrong, found)
    if find_cause(facts).startswith("the EP") or find_cause(facts).startswith("not diagnosed"):
        not_tried = []
        if _levels_of(p.cell) and (context.options.explain or _is_cheap(launch, p)):
            facts = replace(facts, levels=(yield from _probe_levels(context, p)))
        elif _levels_of(p.cell):
            command = f"{command_of(DIAGNOSE)} {p.cell.id}"
            not_tried.append(f"other optimisation levels (`{command}` does)")
        if found is None:
            not_tried.append("the reference run again")
        if p.cell.target.precision is Precision.FP16 and p.overflows is None:
            not_tried.append("an overflow in half precision")
        facts = replace(facts, not_tried=not_tried)
    p.outcome = replace(p.outcome, cause=find_cause(facts))


def _known_facts(p: CellState, wrong: Compared, found: ReferenceStudied | None) -> Findings:
    """What needs no launch of its own."""
    precision = p.cell.target.precision
    stored = next(
        (
            c
            for c in (found.stored if found else ())
            if (c.set, c.output) == (wrong.set, wrong.output)
        ),
        None,
    )
    quality = _quality_of(p.cell, wrong)
    return Findings(
        wrong,
        reference_disagrees=None if stored is None else is_wrong(stored, expectation_of(p.cell)),
        swapped_with=wrong.fits,
        by_position=base_name(wrong.output) in (found.by_position if found else ()),
        reproducible=quality.reproducible if quality else None,
        flushed=quality.flushed if quality else None,
        flush_breaks=bool(quality and quality.flush_breaks),
        optimiser=quality.optimiser if quality else None,
        reduced="" if precision is Precision.FP32 else precision.value,
        overflows=p.overflows,
        fp64=found.fp64 if found else "",
    )


def _quality_of(cell: Cell, wrong: Compared) -> ReferenceQuality | None:
    given = next((s for s in cell.sets if s.name == wrong.set), None)
    known = given.quality if given else ()
    return next((q for q in known if q.output == wrong.output), None)


def _levels_of(cell: Cell) -> list[str]:
    """Levels that a cell was not run at; none where no session of ONNX Runtime optimises its graph."""
    return [x for x in LEVELS if x != cell.graph_optimization] if cell.provider else []


def _is_cheap(launch: Launch, p: CellState) -> bool:
    return launch.ending.wall_s < CHEAP_S and not p.backend.builds


def _probe_levels(context: RunContext, p: CellState) -> Probing:
    """Whether the cell passes with less optimisation; the first level at which it does is the last tried."""
    out: dict[str, bool] = {}
    for level in _levels_of(p.cell):
        cell = replace(p.cell, graph_optimization=level, profile=False)
        (result,) = yield [_check_request(context, p, cell, f"explain_{level}")]
        if not isinstance(result.launch.outcome, (Passed, Mismatched)):
            continue  # it tells nothing of the outputs
        out[level] = isinstance(result.launch.outcome, Passed)
        if out[level]:
            break
    return out


def _check_request(context: RunContext, p: CellState, cell: Cell, name: str) -> LaunchRequest:
    """A check launch of a cell as it is now, or of one made from it, beside its own."""
    return LaunchRequest(
        LaunchKind.CHECK, name, context.run.cell(p.cell) / f"{name}.json", context.run.launch(p.cell, name),
        cell.environment, WORKER_PRELOAD + p.backend.preload, cell, alone=p.backend.builds,
        gpu=p.backend.needs_gpu, writable=cache_of(cell), sources=p.sources,
    )  # fmt: skip
