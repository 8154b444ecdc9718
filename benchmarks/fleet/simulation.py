"""Hosts, their queue and their launches on a virtual clock, around the real dispatcher, scheduler and run folders.

A launch is one of a real run, its time stretched for its model; some crash. A host that is lost stops at that
moment, whatever it did: what its run made durable is there for whoever resumes it.
"""

import heapq
import os
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from perf.backends import ProbeResult, TargetSpec, discover_backends
from perf.execution.run_lifecycle import RunPlan, run_session
from perf.fleet.dispatch import ShardState
from perf.fleet.shard_folder import ShardFolder
from perf.planning.launch import LaunchRequest, LaunchResult
from perf.planning.plan import HOST_CANARY
from perf.planning.targets import Offer, Planned, ProbedEnvironment
from perf.request import options as command_line
from perf.request.environments import EnvironmentSpec
from perf.results import run_folder
from perf.results.run_folder import RunFolder
from perf.schema.cell import Cell, ModelFile, Precision, Target, seal
from perf.schema.journal import Prepared, Stage
from perf.schema.record import Crashed, Launch, LaunchKind, Passed, Record, measure_launches
from perf.schema.whole_plan import Column, WholePlan

RUN_ID = "simulated"
LAUNCHES = 5
BEFORE_FIRST_S = 2.0  # a shard's own start: interpreter, probes, plan
NOTICED_S = 420.0  # until a lost host's shard may start elsewhere: Slurm's SlurmdTimeout, and two minutes more


class HostLost(Exception):
    """The host is gone, in the middle of whatever it did."""


@dataclass(frozen=True)
class Recorded:
    """A real run of a shard: a record for each kind of model, and what else a shard takes."""

    records: tuple[Record, ...]
    prepare_s: float  # a model's inputs
    canary_s: float  # the host's canary, first and last

    @classmethod
    def of(cls, run: RunFolder) -> "Recorded":
        """Those of its records that passed with all launches."""
        found = tuple(run_folder.read_records(run))
        whole = [
            r for r in found if isinstance(r.outcome, Passed) and r.cell.model.name != HOST_CANARY
        ]
        canaries = [r for r in found if r.cell.model.name == HOST_CANARY]
        prepared = [
            x.ending.wall_s
            for x in run_folder.read_finished_launches(run)
            if x.kind is LaunchKind.PREPARE
        ]
        return cls(
            tuple(r for r in whole if len(measure_launches(r)) == LAUNCHES),
            sum(prepared) / len(prepared),
            sum(x.ending.wall_s for r in canaries for x in r.launches),
        )


@dataclass(frozen=True)
class Work:
    """What every host may be given: models, each with a real record that it is like, and how much slower."""

    recorded: Recorded
    names: tuple[str, ...]
    columns: tuple[Column, ...]
    like: Mapping[str, tuple[Record, ...]]  # model -> a record for each column
    slower: Mapping[str, float]
    failing: float  # share of launches that crash
    seed: int

    @property
    def whole(self) -> WholePlan:
        """The plan over all shards."""
        return WholePlan("5" * 16, self.names, self.columns)

    def launch(self, model: str, column: int, request: LaunchRequest) -> Launch:
        """What a launch would tell: always the same for the same cell and name."""
        rng = random.Random(f"{self.seed}:{model}:{column}:{request.name}")
        real = self.like[model][column].launches
        same = [x for x in real if x.kind is request.kind]
        told = same[rng.randrange(len(same))]
        wall_s = told.ending.wall_s * self.slower[model]
        ending = replace(told.ending, wall_s=wall_s)
        if rng.random() < self.failing:
            crashed = Crashed(Stage.RUN, "SIGSEGV")
            return Launch(
                request.name, request.kind, crashed, replace(ending, status=None, signal=11)
            )
        return replace(told, name=request.name, ending=ending, round=request.round)

    def cost_s(self, model: str) -> float:
        """What a model takes where nothing is lost: its launches one after the other, until one crashes."""
        total = self.prepare_s(model)
        for column in range(len(self.columns)):
            for kind, name in (
                (LaunchKind.CHECK, "check"),
                *((LaunchKind.MEASURE, f"measure_{i}") for i in range(LAUNCHES)),
            ):
                told = self.launch(
                    model,
                    column,
                    LaunchRequest(
                        kind, name, Path(), Path(), self.recorded.records[0].cell.environment, ()
                    ),
                )
                total += told.ending.wall_s
                if not isinstance(told.outcome, Passed):
                    break
        return total

    def prepare_s(self, model: str) -> float:
        """What preparing a model's inputs takes."""
        return self.recorded.prepare_s * self.slower[model]


def make_work(recorded: Recorded, models: int, columns: int, failing: float, seed: int) -> Work:
    """Models like those of a real run, their times spread over a wide range, as in any lab."""
    rng = random.Random(seed)
    names = tuple(f"net_{i:05d}" for i in range(models))
    made = tuple(
        Column(Target(f"Target{j}", Precision.FP32, "current", f"Target{j}"))
        for j in range(columns)
    )
    by_model: dict[str, list[Record]] = {}
    for record in recorded.records:
        by_model.setdefault(record.cell.model.name, []).append(record)
    kinds = sorted(by_model)
    like = {}
    for name in names:
        same = by_model[rng.choice(kinds)]
        like[name] = tuple(same[j % len(same)] for j in range(columns))
    slower = {n: rng.lognormvariate(0.0, 0.7) for n in names}
    return Work(recorded, names, made, like, slower, failing, seed)


@dataclass
class VirtualLauncher:
    """Carries launches out at once, and moves the host's clock by what they take."""

    work: Work
    now_s: float
    lost_at_s: float
    spent: "Spent"
    jobs: int = 2
    batch: int = 16
    in_flight: int = 0
    _order: int = 0

    def start(self, request: LaunchRequest) -> LaunchResult:
        """A launch, from start to end; raises HostLost where the host does not see its end."""
        if request.kind is LaunchKind.PREPARE:
            model = request.folder.parent.parent.name
            wall_s = self.work.prepare_s(model) / self.jobs
            launch = Launch(
                "prepare", request.kind, Passed(), self.work.recorded.records[0].launches[0].ending
            )
            sets = self.work.like[model][0].cell.sets
            self._pass(request, wall_s)
            return LaunchResult(request, (Prepared(sets),), launch.ending, launch)
        if request.cell is None:
            raise AssertionError(f"{request.kind} is not simulated")
        column = int(request.cell.target.name.removeprefix("Target"))
        launch = self.work.launch(request.cell.model.name, column, request)
        self._pass(request, launch.ending.wall_s)
        self._order += 1
        launch = replace(launch, began_s=self.now_s - launch.ending.wall_s, order=self._order)
        return LaunchResult(request, (), launch.ending, launch)

    def watch_host(self) -> None:
        """The canary's launches at one end of a shard, half of all."""
        wall_s = self.work.recorded.canary_s / 2
        self._go_on(wall_s)
        self.spent.canary_s += wall_s

    def _pass(self, request: LaunchRequest, wall_s: float) -> None:
        """Let a launch's time go by."""
        self._go_on(wall_s)
        self.spent.took(request, wall_s)

    def _go_on(self, wall_s: float) -> None:
        if self.now_s + wall_s > self.lost_at_s:
            self.spent.lost_s += self.lost_at_s - self.now_s
            raise HostLost
        self.now_s += wall_s

    def wait(self) -> LaunchResult:
        """Never called: a launch has ended when `start` returns."""
        raise AssertionError("nothing is in flight")

    def pause(self, seconds: float) -> None:
        """Nobody waits here."""

    def continue_after(self, launches: Iterable[Launch]) -> None:
        """A virtual launch leaves no file of its own."""


@dataclass
class Spent:
    """Seconds of all hosts, and those that were spent in vain."""

    all_s: float = 0.0  # without the canary's
    canary_s: float = 0.0
    repeated_s: float = 0.0  # launches that had been made before, by a host that was lost
    lost_s: float = 0.0  # of launches in flight as a host was lost
    launches: int = 0
    repeated: int = 0
    _seen: set[Path] = field(default_factory=set)

    def took(self, request: LaunchRequest, wall_s: float) -> None:
        """Count a launch."""
        self.all_s += wall_s
        self.launches += 1
        if request.folder in self._seen:
            self.repeated += 1
            self.repeated_s += wall_s
        self._seen.add(request.folder)


@dataclass
class VirtualHosts:
    """An engine of many hosts, as Slurm is one: the shard of a lost host goes back into the queue by itself.

    The queue is in the order of the shards' numbers, so that one begins on whichever host is free first.
    """

    work: Work
    results: Path
    parts: Mapping[int, Sequence[str]]  # the models of each shard
    free: list[tuple[float, int]]  # when each host is free, a heap
    lost_at_s: Mapping[int, float]
    spent: Spent
    now_s: float = 0.0
    begun: int = 0  # attempts
    last_end_s: float = 0.0
    _queue: dict[int, float] = field(default_factory=dict)  # shard -> when it may begin
    _ends: dict[int, float] = field(default_factory=dict)

    def submit(self, shards: Sequence[int]) -> None:
        """Into the queue, in order."""
        self._queue |= dict.fromkeys(shards, self.now_s)
        self._start()

    def poll(self) -> Mapping[int, ShardState]:
        """Every shard as it is seen now."""
        self._start()
        ended = {s for s, at_s in self._ends.items() if at_s <= self.now_s}
        return {
            s: ShardState.ENDED if s in ended else ShardState.IN_FLIGHT
            for s in (*self._ends, *self._queue)
        }

    def _start(self) -> None:
        """Give the first in the queue to the first host that is free by now, and live out what comes of it."""
        while self._queue and self.free and self.free[0][0] <= self.now_s:
            free_s, host = heapq.heappop(self.free)
            shard = min(self._queue, key=lambda s: (max(free_s, self._queue[s]), s))
            began_s = max(free_s, self._queue[shard])
            if began_s > self.now_s:
                heapq.heappush(self.free, (began_s, host))
                return
            if self.lost_at_s.get(host, float("inf")) <= began_s:
                continue  # it never came back
            del self._queue[shard]
            self.begun += 1
            end_s, whole = self._live(shard, host, began_s)
            if whole:
                self._ends[shard] = end_s
                self.last_end_s = max(self.last_end_s, end_s)
                heapq.heappush(self.free, (end_s, host))
            else:
                self._queue[shard] = end_s + NOTICED_S

    def _live(self, shard: int, host: int, began_s: float) -> tuple[float, bool]:
        """One attempt at a shard on a host, by the real scheduler; when it ended, and whether it came to its end."""
        folder = ShardFolder(self.results, RUN_ID, shard)
        lost_at_s = self.lost_at_s.get(host, float("inf"))
        launcher = VirtualLauncher(self.work, began_s + BEFORE_FIRST_S, lost_at_s, self.spent)
        os.environ["EP_PERF_HOST"] = f"host{host:03d}"
        plan = shard_plan(self.work, folder, f"{shard}/{len(self.parts)}", self.parts[shard])
        try:
            launcher.watch_host()
            with run_session(plan) as session:
                session.run(launcher)
            launcher.watch_host()
        except HostLost:
            return lost_at_s, False
        return launcher.now_s, True


def shard_plan(work: Work, folder: ShardFolder, shard: str, models: Sequence[str]) -> RunPlan:
    """A shard's cells, as planning would make them."""
    folder.results.mkdir(parents=True, exist_ok=True)
    how = ["--resume", RUN_ID] if folder.has_begun() else []
    options = command_line.parse(
        ["-q", "-q", "-i", "zoo", "--run_id", RUN_ID, "--shard", shard, "-o", str(folder.results), *how]
    )  # fmt: skip
    backend = next(b for b in discover_backends() if b.reference)
    probed = ProbedEnvironment(
        EnvironmentSpec("current"), work.recorded.records[0].cell.environment, ProbeResult()
    )
    planned = []
    for model in models:
        for column, like in zip(work.columns, work.like[model], strict=True):
            offer = Offer(
                TargetSpec(column.target.name, Precision.FP32), backend, probed, "", first=True
            )
            planned.append(Planned(_cell(model, column, like.cell), offer))
    whole = replace(work.whole, shard=shard)
    return RunPlan(
        tuple(planned), (), options, folder.results, ("benchmark_wrapper.py",), whole=whole
    )


def _cell(model: str, column: Column, like: Cell) -> Cell:
    return seal(
        replace(
            like, id=f"{model}::{column.name}", target=column.target, sets=(), provider="",
            model=ModelFile(model, f"/models/{model}/model.onnx", f"{model:0>64}", f"/models/{model}"),
        )
    )  # fmt: skip
