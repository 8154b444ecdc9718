"""A launch as planned and as ended, the state of its cell, and what all launches of a run share."""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from perf.backends import Backend
from perf.planning.form_choice import Readers
from perf.planning.targets import Planned
from perf.request.options import Options
from perf.results.native_stack import gdb_words
from perf.results.run_folder import RunFolder, make_place
from perf.schema import atomic_file, codec
from perf.schema.cell import Cell, Environment, write_cell
from perf.schema.fold import Expectation
from perf.schema.jobs import ArtefactJob, PrepareJob, StudyJob
from perf.schema.journal import MOST_RUNS, Event
from perf.schema.record import (
    Crashed,
    Ending,
    EnvironmentFailed,
    Launch,
    LaunchKind,
    Outcome,
    Passed,
)
from perf.schema.untrusted_file import file_version


@dataclass(frozen=True)
class LaunchRequest:
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
    writable: tuple[Path, ...] = ()  # folders besides its own that it may write in
    described: PrepareJob | ArtefactJob | StudyJob | None = (
        None  # what `job` holds, where it holds no cell
    )
    sources: tuple["MadeFiles", ...] = ()  # what it reads of other launches
    prefix: tuple[str, ...] = ()  # words before its command; --exec_prefix where there are none
    is_repeat: bool = (
        False  # it takes the place of one that ended, and is carried out whatever is stored
    )


@dataclass(frozen=True)
class MadeFiles:
    """Files that a launch made for others, and the launch that makes them again."""

    request: LaunchRequest
    files: tuple[Path, ...]

    @property
    def missing(self) -> bool:
        """Whether a worker took one of them away."""
        return not all(file.is_file() for file in self.files)


def write_job(root: Path, request: LaunchRequest) -> tuple[int, ...]:
    """Write what a launch is to do, below a root that is believed; the file's version. Raises OSError."""
    path = make_place(root, request.job)
    if request.described is not None:
        atomic_file.write_json(path, codec.encode(request.described), durable=False)
    elif request.cell is not None:
        write_cell(request.cell, path)
    return file_version(path)


@dataclass(frozen=True)
class LaunchResult:
    """What became of it."""

    request: LaunchRequest
    events: tuple[Event, ...]
    ending: Ending
    launch: Launch
    failed: str = ""  # the environment could not start it


LaunchGraph: TypeAlias = Generator[Sequence[LaunchRequest], Sequence[LaunchResult], None]


@dataclass
class CellState:
    """One planned cell on its way to a record."""

    planned: Planned
    cell: Cell
    backend: Backend
    outcome: Outcome = field(default_factory=Passed)
    launches: list[Launch] = field(default_factory=list)
    done: bool = False
    sources: tuple[MadeFiles, ...] = ()
    overflows: str | None = None  # of its converted model, as the converter's check found them

    @property
    def alive(self) -> bool:
        """Whether a launch of it may follow."""
        return not self.done and isinstance(self.outcome, Passed)

    def end(self, outcome: Outcome) -> None:
        """The first outcome other than Passed stands."""
        if isinstance(self.outcome, Passed):
            self.outcome = outcome

    def add(self, result: LaunchResult) -> None:
        """Take in a launch."""
        if result.failed:
            self.end(EnvironmentFailed(result.failed))
            return
        self.launches.append(result.launch)
        self.end(result.launch.outcome)


@dataclass(frozen=True)
class RunContext:
    """What every launch graph needs besides its model."""

    run: RunFolder
    options: Options
    own: Environment  # the wrapper's interpreter: it has onnx
    reference: tuple[Backend, Environment] | None  # the CPU EP's default environment
    devices: tuple[str, ...] = ()  # each GPU's name and driver: engines serve no other
    readers: Readers = field(default_factory=dict)  # who tells the inputs of what is no ONNX file


def expectation_of(cell: Cell) -> Expectation:
    """What the wrapper holds a launch of this cell against."""
    asked = cell.target.precision.value
    return Expectation(
        cell.provider, cell.tolerance.percent_mismatch, cell.min_ep_share,
        asked if asked != "fp32" else "", cell.protocol.runs or MOST_RUNS,
        prefix=next(iter(cell.protocol.instrumented.split()), ""),
    )  # fmt: skip


def trace_requests(context: RunContext, states: Iterable[CellState]) -> list[LaunchRequest]:
    """One launch under gdb for every cell that crashed, alike the one that did; none without --backtrace."""
    return [
        _trace_request(context, s)
        for s in states
        if context.options.backtrace and isinstance(s.outcome, Crashed) and s.launches
    ]


def _trace_request(context: RunContext, state: CellState) -> LaunchRequest:
    cell, folder = state.cell, context.run.launch(state.cell, "backtrace")
    return LaunchRequest(
        state.launches[-1].kind, "backtrace", context.run.cell(cell) / "cell.json", folder,
        cell.environment, (), cell, alone=state.backend.builds, gpu=state.backend.needs_gpu,
        writable=cache_of(cell), sources=state.sources, prefix=gdb_words(folder),
    )  # fmt: skip


def cache_of(cell: Cell) -> tuple[Path, ...]:
    """The folder of the engines that a cell builds or loads, where its backend does."""
    return (Path(cell.cache),) if cell.cache else ()


PREPARE_PRELOAD: tuple[str, ...] = ("numpy", "onnx", "perf.worker.prepare")
WORKER_PRELOAD = (
    "numpy",
    "perf.measure.tensor_io",
    "perf.worker.validate",
    "perf.measure.timing",
    "perf.measure.placement",
    "perf.measure.layer_precision",
)
