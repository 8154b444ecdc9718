"""The order of a run: set-up side by side, then measuring alone, and a record as each cell ends."""

import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from perf.execution.host_canary import HostCanary
from perf.execution.lanes import (
    GAP_S,
    ROUNDS,
    LaneTrial,
    Launches,
    Round,
    carry_out,
    devices_of,
)
from perf.execution.launcher import Interrupted, Launcher
from perf.execution.quarantine import Quarantine
from perf.execution.records import make_record
from perf.planning import launch_graph, measure_order
from perf.planning.launch import (
    CellState,
    LaunchGraph,
    LaunchRequest,
    LaunchResult,
    MadeFiles,
    RunContext,
    trace_requests,
)
from perf.planning.plan import CANARY, HOST_CANARY, LANE_TRIAL, group_by_model
from perf.planning.targets import Planned
from perf.report.screen import Screen
from perf.request.options import Options
from perf.results import run_folder
from perf.results.log_tail import read_log_tail
from perf.results.native_stack import read_native_stack
from perf.results.record_store import RecordStore
from perf.schema import fold
from perf.schema.cell import ModelFile
from perf.schema.record import Crashed, Passed, Raised, Record, Skipped


class ModelTask:
    """One model's launch graph on its way: the requests it waits for, and the results it has."""

    def __init__(self, states: list[CellState], graph: LaunchGraph) -> None:
        self.states = states
        self.finished = False
        self._graph = graph
        self._waiting: tuple[LaunchRequest, ...] = ()
        self._results: dict[Path, LaunchResult] = {}

    def begin(self) -> tuple[LaunchRequest, ...]:
        """The first launches that the model needs."""
        return self._advance(first=True)

    def take(self, result: LaunchResult) -> tuple[LaunchRequest, ...]:
        """Give the graph a result; what it asks for next, once it has all that it waits for."""
        self._results[result.request.folder] = result
        return self._advance() if len(self._results) == len(self._waiting) else ()

    def _advance(self, *, first: bool = False) -> tuple[LaunchRequest, ...]:
        while True:
            results = [self._results[r.folder] for r in self._waiting]
            self._results.clear()
            try:
                requests = next(self._graph) if first else self._graph.send(results)
            except StopIteration:
                self.finished = True
                return ()
            first, self._waiting = False, tuple(requests)
            if requests:
                return self._waiting


@dataclass
class Scheduler:
    """A run in flight: every planned cell has a record in `store` at its end."""

    context: RunContext
    launcher: Launcher
    quarantine: Quarantine
    screen: Screen
    store: RecordStore
    canaries: list[CellState] = field(default_factory=list)
    host_canary: HostCanary = field(default_factory=HostCanary)
    begun_s: float = field(default_factory=time.monotonic)

    @property
    def options(self) -> Options:
        """What was asked for."""
        return self.context.options

    def run(self, planned: Sequence[Planned]) -> None:
        """Run every cell; raises Interrupted with what is finished in `store`.

        One SIGINT lets the launches in flight end: they are durable, and a resumed run goes on after them.
        """
        try:
            self._run(planned)
        except Interrupted:
            while self.launcher.in_flight:
                self.launcher.wait()
            raise

    def _run(self, planned: Sequence[Planned]) -> None:
        if self.options.resume:
            self.launcher.continue_after(run_folder.read_finished_launches(self.context.run))
        canaries = [p for p in planned if p.cell.model.name == CANARY]
        watching = [p for p in planned if p.cell.model.name == HOST_CANARY]
        trial = [p for p in planned if p.cell.model.name == LANE_TRIAL]
        beside = {p.cell.id for p in (*canaries, *watching, *trial)}
        groups = iter(group_by_model([p for p in planned if p.cell.id not in beside]))
        self._begin_host_canary(watching)
        for model, cells in group_by_model(canaries):
            self.canaries = _states(cells)
            self._set_up([(model, self.canaries)])
        in_lanes = self._choose_lanes(trial)
        size = self.launcher.batch if self.options.benchmarks else len(planned) or 1
        while batch := [(m, _states(cells)) for m, cells in islice(groups, size)]:
            self._set_up(batch)
            if self.options.benchmarks:
                self._measure_batch(batch, in_lanes=in_lanes)
        self._measure_host_canary(due=True)
        self._end_model(self.canaries)
        self._end_model(self.host_canary.states)

    def _set_up(self, batch: Sequence[tuple[ModelFile, list[CellState]]]) -> None:
        """Carry the models' launch graphs out side by side, `jobs` launches at a time, builders alone."""
        waiting = deque(self._task(model, states) for model, states in batch)
        active: list[ModelTask] = []
        queue: deque[tuple[ModelTask, LaunchRequest]] = deque()
        owners: dict[Path, ModelTask] = {}
        jobs = self.launcher.jobs
        while waiting or active:
            while waiting and len(queue) < jobs and len(active) < 2 * jobs:
                active.append(waiting.popleft())
                queue.extend((active[-1], r) for r in active[-1].begin())
            self._fill(queue, owners)
            for task in [t for t in active if t.finished]:
                active.remove(task)
                if not self.options.benchmarks:
                    self._end_model(task.states)
            if self.launcher.in_flight:
                names = ", ".join(t.states[0].cell.model.name for t in active)
                self.screen.show_progress(f"setting up {names}")
                result = self.launcher.wait()
                task = owners.pop(result.request.folder)
                if _was_robbed(result):
                    queue.append((task, replace(result.request, alone=True, is_repeat=True)))
                else:
                    queue.extend((task, r) for r in task.take(result))

    def _task(self, model: ModelFile, states: list[CellState]) -> ModelTask:
        fresh = [s for s in states if not self._is_finished(s)]
        self.quarantine.apply(fresh, self.options)
        return ModelTask(states, launch_graph.set_up_model(self.context, model, fresh))

    def _fill(
        self, queue: deque[tuple[ModelTask, LaunchRequest]], owners: dict[Path, ModelTask]
    ) -> None:
        """Start what may run now: up to `jobs` launches, and nothing beside one that must be alone."""
        while queue and self.launcher.in_flight < self.launcher.jobs:
            task, request = queue[0]
            robbed = any(source.missing for source in request.sources)
            if (request.alone or robbed) and self.launcher.in_flight:
                return
            queue.popleft()
            if robbed:
                self._make_again(request.sources)
            result = self.launcher.start(request)
            if result is not None:
                queue.extend((task, r) for r in task.take(result))
                continue
            owners[request.folder] = task
            if request.alone:
                return

    def _measure_batch(
        self, batch: Sequence[tuple[ModelFile, list[CellState]]], *, in_lanes: bool
    ) -> None:
        """Measure models that were set up: what is on a device in its lane, or all of it in turn."""
        if in_lanes:
            self._measure_host_canary(due=self.host_canary.due)
            devices = devices_of(s.cell.gpu for _, states in batch for s in states)
            carry_out(self.launcher, [self._measuring_on(device, batch) for device in devices])
        for model, states in batch:
            self._measure_host_canary(due=self.host_canary.due)
            left = [s for s in states if not (in_lanes and s.cell.gpu)]
            carry_out(self.launcher, [self._measuring(model, left)])
            self._end_model(states)

    def _measuring_on(
        self, device: str, batch: Sequence[tuple[ModelFile, list[CellState]]]
    ) -> Launches[None]:
        """The launches of one lane: each model's cells that are on its device."""
        for model, states in batch:
            mine = [s for s in states if s.cell.gpu == device]
            yield from self._measuring(model, mine)
            for state in mine:
                self._end_cell(state)

    def _measuring(self, model: ModelFile, states: Sequence[CellState]) -> Launches[None]:
        """The launches that measure a model's cells, one after another."""
        for state in states:
            if not state.alive:
                self._end_cell(state)
        order = measure_order.measure_order(
            self.options, model, states, self.canaries, self._time_is_spent
        )
        for number, state in order:
            state.add((yield from self._measuring_once(state, number)))
            for request in trace_requests(self.context, [state]):
                yield from self._launching(request)
            if self.options.launches == 1 and state not in self.canaries:
                yield from self._trying_fewer_threads(state)
                yield from self._watching_devices([state])
                self._end_cell(state)
        for state in states:
            yield from self._trying_fewer_threads(state)
        yield from self._watching_devices(states)

    def _watching_devices(self, states: Sequence[CellState]) -> Launches[None]:
        """The launches that tell a device's own time; what becomes of one is no outcome of its cell."""
        for number, state in measure_order.device_rounds(self.options, states):
            self.screen.show_progress(f"watching the device run {state.cell.id}")
            request = measure_order.device_request(self.context, state, number)
            result = yield from self._launching(request)
            state.launches.append(result.launch)

    def _trying_fewer_threads(self, state: CellState) -> Launches[None]:
        """Where a cell asks for more threads than there are CPUs: one launch beside it with as many."""
        request = measure_order.fewer_threads_request(self.context, state) if state.alive else None
        if request is not None:
            self.screen.show_progress(f"measuring {state.cell.id} with fewer threads")
            result = yield from self._launching(request)
            measure_order.with_threads_note(state, result)

    def _choose_lanes(self, trial: Sequence[Planned]) -> bool:
        """Whether devices are measured beside each other; with --lanes auto, by a trial that is told."""
        if self.options.lanes != "auto" or not self.options.benchmarks:
            return self.options.lanes == "always"
        states: list[CellState] = []
        for model, cells in group_by_model(trial):
            states = _states(cells)
            self._set_up([(model, states)])
        found = self._try_lanes([s for s in states if not s.done])
        self._end_model(states)
        way = "so devices are measured beside each other"
        if not found.has_no_effect:
            way = "so devices are measured in turn; --lanes always does without this trial"
        self.screen.tell(f"lanes: beside the other devices a launch takes {found}; {way}")
        return found.has_no_effect

    def _try_lanes(self, states: Sequence[CellState]) -> LaneTrial:
        """On each device in turn a long launch, and meanwhile rounds of launches on all others.

        The first device that shows an effect, or too little, ends it.
        """
        found = LaneTrial()
        for state in states:
            carry_out(self.launcher, [self._trying(state, 0)])
            request = measure_order.long_request(self.context, state, ROUNDS, GAP_S)
            if request is None or not all(s.alive for s in states):
                return found
            others = [s for s in states if s is not state]
            result, rounds = self._launch_beside(request, others)
            state.add(result)
            if timed := result.launch.timed:
                found.add(state.cell.variant, timed, rounds)
            if not found.has_no_effect:
                break
        return found

    def _launch_beside(
        self, request: LaunchRequest, others: Sequence[CellState]
    ) -> tuple[LaunchResult, Sequence[Round]]:
        """One launch, and rounds of others that begin and end meanwhile."""
        ended = list(filter(None, [self.launcher.start(request)]))
        rounds: list[Round] = []
        while not ended and len(rounds) < ROUNDS and all(s.alive for s in others):
            self.launcher.pause(GAP_S)
            lanes = [self._trying(s, len(s.launches)) for s in others]
            ended += carry_out(self.launcher, lanes)
            rounds.append(Round([s.launches[-1] for s in others]))
        return (ended or [self.launcher.wait()])[0], rounds

    def _trying(self, state: CellState, number: int) -> Launches[None]:
        state.add((yield from self._measuring_once(state, number)))

    def _begin_host_canary(self, planned: Sequence[Planned]) -> None:
        """Set the host's canary up, or take it over from the part of the run that is resumed."""
        for model, cells in group_by_model(planned):
            states = _states(cells)
            for state in states:
                old = self._finished_record(state)
                if old is not None and old.launches:
                    state.cell, state.launches = old.cell, list(old.launches)
                    state.end(old.outcome)
            if fresh := [s for s in states if not s.launches]:
                self._set_up([(model, fresh)])
            self.host_canary = HostCanary(states, self.options.host_canary_every_s)

    def _measure_host_canary(self, *, due: bool) -> None:
        """Launch the host's canary; what it told is durable at once, for a host may be lost at any time."""
        if not due:
            return
        carry_out(self.launcher, [self._measuring_canary()])
        for state in self.host_canary.states:
            self._write_record(state)

    def _measuring_canary(self) -> Launches[None]:
        for number, state in self.host_canary.launches():
            state.add((yield from self._measuring_once(state, number)))

    def _measuring_once(self, state: CellState, number: int) -> Launches[LaunchResult]:
        """One measure launch, repeated while its device was throttled and --retry_throttled allows."""
        self.screen.show_progress(f"measuring {state.cell.id}, launch {number + 1}")
        request = measure_order.measure_request(self.context, state, number)
        result = yield from self._launching(request)
        for retry in range(1, self.options.retry_throttled + 1):
            if not measure_order.was_throttled(result.launch):
                break
            request = measure_order.measure_request(self.context, state, number, retry)
            result = measure_order.with_retry_note((yield from self._launching(request)))
        return result

    def _launching(self, request: LaunchRequest) -> Launches[LaunchResult]:
        """One launch of a lane, after those that make again what a worker took of its files."""
        for source in request.sources:
            if source.missing:
                yield replace(source.request, is_repeat=True)
        return (yield request)

    def _make_again(self, sources: Sequence[MadeFiles]) -> None:
        """What a worker took of other launches' files is made once more, with nothing beside it."""
        for source in sources:
            if source.missing:
                repeat = replace(source.request, is_repeat=True)
                if self.launcher.start(repeat) is None:
                    self.launcher.wait()

    def _time_is_spent(self) -> bool:
        """Whether --max_minutes have passed since the run began."""
        most_s = 60 * self.options.max_minutes
        return bool(most_s) and time.monotonic() - self.begun_s > most_s

    def _is_finished(self, state: CellState) -> bool:
        """A resumed run keeps the cells that it finished."""
        if old := self._finished_record(state):
            state.outcome, state.launches, state.done = old.outcome, list(old.launches), True
        return state.done

    def _finished_record(self, state: CellState) -> Record | None:
        return self.store.take_finished(state.cell) if self.options.resume else None

    def _end_model(self, states: Sequence[CellState]) -> None:
        """A model's cells have ended: what is not yet durable is made so, then all are shown."""
        for state in states:
            self._end_cell(state)
        self.screen.show_cells([self.store.records[s.cell.id] for s in states])

    def _end_cell(self, state: CellState) -> None:
        """Make a cell's record durable, once; the next launch may end this process."""
        if state.done:
            return
        run = self.context.run
        if failed := state.planned.failed:
            log = run.launch(state.cell, failed.name) / "output.log"
            run_folder.make_place(run.root, log).write_bytes(state.planned.offer.probed.log)
        record = self._write_record(state)
        if self.options.validates:
            self.quarantine.record(state.cell, record.outcome)
        state.done = True

    def _write_record(self, state: CellState) -> Record:
        run = self.context.run
        tail: tuple[str, ...] = ()
        if state.launches and not isinstance(state.outcome, (Passed, Skipped)):
            last = run.launch(state.cell, state.launches[-1].name)
            tail = read_log_tail(last / "output.log")
        record = make_record(state, run.run_id, tail)
        if isinstance(state.outcome, Crashed):
            stack = read_native_stack(run.launch(state.cell, "backtrace"))
            record = replace(record, native_stack=stack)
        self.store.keep(record)
        return record


def _was_robbed(result: LaunchResult) -> bool:
    """Whether a launch may have failed by what another one beside it did to its files.

    It is repeated alone, once: who damages its own files does so again, and that is then its outcome.
    """
    if result.request.is_repeat or not isinstance(result.launch.outcome, Raised):
        return False
    gone = not result.request.job.is_file() or any(s.missing for s in result.request.sources)
    return gone or result.launch.outcome.kind == fold.DAMAGED


def _states(cells: Iterable[Planned]) -> list[CellState]:
    return [CellState(p, p.cell, p.offer.backend) for p in cells]
