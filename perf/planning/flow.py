"""The launches a model needs, in the order they depend on each other, whoever carries them out."""

import hashlib
import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from perf.backends import Backend
from perf.core import cell as cells
from perf.core import codec, fold, outcomes, run_folder
from perf.core.cell import Cell, Environment, ModelFile, TestSet, safe_name
from perf.core.fold import Expectation
from perf.core.journal import Event, Wrote
from perf.core.options import Options
from perf.core.record import (
    ArtefactFailed,
    Ending,
    EnvironmentFailed,
    Launch,
    LaunchKind,
    NotRun,
    Outcome,
    Passed,
    Skipped,
)
from perf.core.run_folder import RunFolder
from perf.planning.jobs import PrepareJob
from perf.planning.plan import Planned


@dataclass(frozen=True)
class Ask:
    """One launch to be carried out."""

    kind: LaunchKind
    name: str
    job: Path
    folder: Path
    environment: Environment
    preload: tuple[str, ...]
    cell: Cell | None = None
    alone: bool = False  # it builds an engine: nothing may run beside it
    gpu: bool = False
    round: int = 0


@dataclass(frozen=True)
class Answer:
    """What became of it."""

    ask: Ask
    events: tuple[Event, ...]
    ending: Ending
    launch: Launch
    failed: str = ""  # the environment could not start it


Flow: TypeAlias = Generator[Sequence[Ask], Sequence[Answer], None]


@dataclass
class Progress:
    """One planned cell on its way to a record."""

    planned: Planned
    cell: Cell
    backend: Backend
    outcome: Outcome = field(default_factory=Passed)
    launches: list[Launch] = field(default_factory=list)
    done: bool = False

    @property
    def alive(self) -> bool:
        """Whether anything is left to be asked of it."""
        return not self.done and isinstance(self.outcome, Passed)

    def end(self, outcome: Outcome) -> None:
        """The first outcome other than Passed stands."""
        if isinstance(self.outcome, Passed):
            self.outcome = outcome

    def add(self, answer: Answer) -> None:
        """Take in a launch."""
        if answer.failed:
            self.end(EnvironmentFailed(answer.failed))
            return
        self.launches.append(answer.launch)
        self.end(answer.launch.outcome)


@dataclass(frozen=True)
class Kitchen:
    """What every flow needs besides its model."""

    run: RunFolder
    options: Options
    own: Environment  # the wrapper's interpreter: it has onnx
    reference: tuple[Backend, Environment] | None  # the CPU EP's default environment
    devices: tuple[str, ...] = ()  # each GPU's name and driver: engines serve no other


def expectation(cell: Cell) -> Expectation:
    """What the wrapper holds a launch of this cell against."""
    asked = cell.target.precision.value
    return Expectation(
        cell.provider, cell.tolerance.percent_mismatch, cell.min_ep_share,
        asked if asked != "fp32" else "",
    )  # fmt: skip


PREPARES = ("numpy", "onnx", "perf.worker.prepare")
WORKS = (
    "numpy",
    "perf.worker.inputs",
    "perf.worker.validate",
    "perf.worker.timing",
    "perf.worker.placement",
    "perf.worker.attest",
)


def set_up(kitchen: Kitchen, model: ModelFile, progress: Sequence[Progress]) -> Flow:
    """Prepare inputs, make references and artefacts, then check every target of one model."""
    for p in progress:
        if model.problem:
            p.end(ArtefactFailed(model.problem))
        elif p.planned.skip:
            p.end(Skipped(p.planned.skip))
    for half in (False, True):
        mine = [p for p in progress if p.alive and _uses_half_data(p) is half]
        if mine:
            yield from _fed(kitchen, model, mine, half=half)
    yield from _converted(kitchen, model, [p for p in progress if p.alive and _converts(p)])
    alive = [p for p in progress if p.alive]
    answers = yield [_check(kitchen, p, "check") for p in alive]
    for p, answer in zip(alive, answers, strict=True):
        p.add(answer)
    from perf.planning import shaping  # it speaks of asks and answers too

    yield from shaping.again(kitchen, model, alive, _check)


def _check(kitchen: Kitchen, p: Progress, name: str) -> Ask:
    if p.backend.builds:
        p.cell = replace(p.cell, cache=str(engine_cache(kitchen, p.cell)))
    cells.write(p.cell, _made(kitchen.run.cell(p.cell)) / "cell.json")
    return Ask(
        LaunchKind.CHECK, name, kitchen.run.cell(p.cell) / "cell.json",
        kitchen.run.launch(p.cell, name), p.cell.environment, WORKS + p.backend.preload, p.cell,
        alone=p.backend.builds, gpu=p.backend.needs_gpu,
    )  # fmt: skip


def _fed(kitchen: Kitchen, model: ModelFile, mine: Sequence[Progress], *, half: bool) -> Flow:
    """Give cells their test sets: prepared inputs, and references where none are stored."""
    key = _key(model.sha256, model.sha256_fp16, mine[0].cell.inputs_digest, half)
    folder = kitchen.run.inputs(model.name, key)
    o = kitchen.options
    job = PrepareJob(model, o.input_data, o.seed, 2, o.shape, str(folder), half)
    run_folder.write_json(folder / "prepare.json", codec.encode(job), durable=False)
    (answer,) = yield [
        Ask(
            LaunchKind.PREPARE,
            "prepare",
            folder / "prepare.json",
            folder / "prepare",
            kitchen.own,
            PREPARES,
        )
    ]
    prepared = fold.prepared(answer.events)
    if prepared is None or not isinstance(answer.launch.outcome, Passed):
        for p in mine:
            p.end(_unprepared(answer))
        return
    sets = prepared.sets
    if o.check and not all(s.outputs for s in sets):
        sets = yield from _referenced(kitchen, model, mine, sets, key, half=half)
    for p in mine:
        p.cell = replace(p.cell, sets=sets)


def _referenced(
    kitchen: Kitchen,
    model: ModelFile,
    mine: Sequence[Progress],
    sets: tuple[TestSet, ...],
    key: str,
    *,
    half: bool,
) -> Generator[Sequence[Ask], Sequence[Answer], tuple[TestSet, ...]]:
    if kitchen.reference is None:
        return sets
    backend, environment = kitchen.reference
    made_from = _key(key, environment.name, sorted(environment.versions.items()))
    folder = _made(kitchen.run.reference(model.name, made_from))
    like = mine[0].cell
    fed = model.path_fp16 if half and model.path_fp16 else model.path  # the one the inputs are for
    cell = replace(
        like, id=f"{model.name}::reference", provider="", environment=environment, options={}, sets=sets,
        target=replace(like.target, name=backend.targets[0].name, precision=backend.targets[0].precision),
        graph_optimization="disable", plugin={}, variant="reference", io=cells.Io.HOST,
        model=replace(model, path=fed),
    )  # fmt: skip
    cells.write(cell, folder / "cell.json")
    (answer,) = yield [
        Ask(LaunchKind.REFERENCE, "reference", folder / "cell.json", folder / "launch", environment,
            WORKS + backend.preload, cell)
    ]  # fmt: skip
    made = next((e.outputs for e in answer.events if isinstance(e, Wrote)), None)
    if made is None or not isinstance(answer.launch.outcome, Passed):
        for p in mine:
            why = answer.failed or _said(answer.launch.outcome)
            p.end(ArtefactFailed(f"reference outputs on the CPU EP: {why}"))
        return sets
    return tuple(s if s.outputs else m for s, m in zip(sets, made, strict=True))


def _converted(kitchen: Kitchen, model: ModelFile, mine: Sequence[Progress]) -> Flow:
    """Give reduced-precision cells their converted model, made once per precision, kept by key."""
    from perf.planning.jobs import ArtefactJob

    for precision in dict.fromkeys(p.cell.target.precision for p in mine):
        same = [p for p in mine if p.cell.target.precision is precision]
        folder = kitchen.run.cache(f"{model.sha256[:16]}-{precision.value}")
        job = ArtefactJob(
            model, precision.value, str(artefacts(kitchen)), model.test_data or ""
        )  # fmt: skip
        run_folder.write_json(folder / "artefact.json", codec.encode(job), durable=False)
        (answer,) = yield [
            Ask(LaunchKind.ARTEFACT, "artefact", folder / "artefact.json", folder / "launch", kitchen.own,
                ("numpy", "onnx"))
        ]  # fmt: skip
        made = fold.artefact(answer.events)
        if not isinstance(answer.launch.outcome, Passed):
            made = None
        for p in same:
            if made is not None:
                p.cell = replace(p.cell, model=replace(p.cell.model, path_fp16=made.path))
            elif p.backend.half_artefact:
                why = answer.failed or _said(answer.launch.outcome)
                p.end(ArtefactFailed(f"{precision.value} model: {why}"))


def artefacts(kitchen: Kitchen) -> Path:
    """Where converted models are kept by key: the run's own folder, or the one that runs share."""
    shared = kitchen.options.keep_cache
    return Path(shared).absolute() if shared else kitchen.run.root / "cache"


def engine_cache(kitchen: Kitchen, cell: Cell) -> Path:
    """Where a cell's engines are kept: the run's own, or shared by all that can change an engine."""
    if not kitchen.options.keep_cache:
        return kitchen.run.cache(f"{safe_name(cell.target.label)}-{cell.digest}")
    identity = [
        cell.model.sha256, cell.target.name, cell.target.precision.value, cell.tf32, cell.variant,
        sorted(cell.options.items()), sorted(cell.environment.versions.items()),
        kitchen.devices[cell.device : cell.device + 1],
    ]  # fmt: skip
    key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
    return Path(kitchen.options.keep_cache).absolute() / f"{safe_name(cell.model.name)}-{key}"


def _key(*parts: object) -> str:
    """8 hex of all that something was made from, so that a changed model is not fed another's data."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]


def _converts(p: Progress) -> bool:
    reduced = p.cell.target.precision is not cells.Precision.FP32
    converted = p.backend.half_artefact or p.backend.half_wanted
    return reduced and converted and p.cell.model.path_fp16 is None


def _uses_half_data(p: Progress) -> bool:
    return (
        p.cell.target.precision is cells.Precision.FP16 and p.cell.model.test_data_fp16 is not None
    )


def _unprepared(answer: Answer) -> Outcome:
    match answer.launch.outcome:
        case Skipped() | NotRun():
            return answer.launch.outcome
        case other:
            return ArtefactFailed(f"inputs: {answer.failed or _said(other)}")


def _said(outcome: Outcome) -> str:
    told = [str(v) for v in vars(outcome).values()]
    return ": ".join((outcomes.name(outcome), *told))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
