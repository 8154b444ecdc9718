"""The order of measure launches: balanced random rounds, both sides of an A/B, canaries between."""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

from perf.planning.ab_sides import matches
from perf.planning.launch import (
    WORKER_PRELOAD,
    CellState,
    LaunchRequest,
    LaunchResult,
    RunContext,
    cache_of,
)
from perf.request.options import Options
from perf.results.latency import NS_PER_MS, THREADS_NOTE
from perf.results.shapes import ShapeSignature, first_signature, split_timed
from perf.schema import cell as cells
from perf.schema.cell import Cell, ModelFile
from perf.schema.journal import MOST_RUNS, Note
from perf.schema.record import Launch, LaunchKind
from perf.stats.sequential_test import Pair, Samples, StoppingRule, Undecided, decide

MOST_DEVICE_LAUNCHES = 5  # of a cell: each costs a session


def measure_order(
    options: Options,
    model: ModelFile,
    states: Sequence[CellState],
    canaries: Sequence[CellState],
    spent: Callable[[], bool],
) -> Iterator[tuple[int, CellState]]:
    """Round numbers and the cell to launch next, of one model; `spent` ends an A/B early."""
    if options.ab:
        rounds = ab_rounds(options, model.name, states, spent)
    else:
        rounds = balanced_rounds(options, model.name, states)
    return with_canaries(rounds, canaries)


def balanced_rounds(
    options: Options, model: str, states: Sequence[CellState]
) -> Iterator[tuple[int, CellState]]:
    """Rounds of one launch per living cell; each second round runs the first one's order reversed, so
    that no cell is early more often than it is late."""
    rng = random.Random(_seed(f"{options.seed}:{model}"))
    order = list(states)
    for number in range(options.launches):
        if number % 2:
            order.reverse()
        else:
            rng.shuffle(order)
        for state in list(order):
            if state.alive:
                yield number, state


@dataclass(frozen=True)
class SidePair:
    """The same question to both sides of an A/B."""

    a: CellState
    b: CellState

    @property
    def open(self) -> bool:
        """Whether both sides can be launched, and more pairs can still settle it for some input shapes."""
        if not (self.a.alive and self.b.alive):
            return False
        first, second = _samples_by_round(self.a), _samples_by_round(self.b)
        pairs: dict[ShapeSignature, list[Pair]] = {}
        for n in sorted(first.keys() & second.keys()):
            for shapes in first[n].keys() & second[n].keys():
                pairs.setdefault(shapes, []).append((first[n][shapes], second[n][shapes]))
        decisions = [decide(mine, StoppingRule()) for mine in pairs.values()]
        return not decisions or any(isinstance(d, Undecided) for d in decisions)


def pair_cells(ab: Sequence[str], states: Sequence[CellState]) -> list[SidePair]:
    """A model's cells of both sides, paired by io mode."""
    first, second = ([s for s in states if matches(name, s.planned)] for name in ab)
    return [SidePair(a, b) for a in first for b in second if a.cell.io == b.cell.io]


def _seed(text: str) -> bytes:
    """As a generator takes text, and what a file's name can hold that UTF-8 cannot."""
    return text.encode("utf-8", "surrogatepass")


def ab_rounds(
    options: Options, model: str, states: Sequence[CellState], spent: Callable[[], bool]
) -> Iterator[tuple[int, CellState]]:
    """Round numbers and the cell to launch next; ends when all is decided, `spent`, or at --launches.

    A pair's launches follow each other in random order; every second round has the order of the one
    before reversed, so that neither side is early more often.
    """
    chance = random.Random(_seed(f"{options.seed}:{model}:ab"))
    going = pair_cells(options.ab, states)
    orders: list[tuple[SidePair, list[CellState]]] = []
    for number in range(options.launches):
        if number % 2:
            orders = [(pair, order[::-1]) for pair, order in reversed(orders)]
        else:
            shuffled = chance.sample(going, len(going))
            orders = [(pair, chance.sample((pair.a, pair.b), 2)) for pair in shuffled]
        orders = [(pair, order) for pair, order in orders if pair.open]
        if not orders or spent():
            return
        yield from ((number, s) for _, order in orders for s in order if s.alive)
        going = [pair for pair, _ in orders]


def with_canaries(
    launches: Iterator[tuple[int, CellState]], canaries: Sequence[CellState]
) -> Iterator[tuple[int, CellState]]:
    """Before each launch, one of its target's canary, numbered on its own."""
    by_target = {c.cell.target.label: c for c in canaries}
    for number, state in launches:
        canary = by_target.get(state.cell.target.label)
        if canary is not None and canary.alive:
            yield sum(x.kind is LaunchKind.MEASURE for x in canary.launches), canary
        yield number, state


def measure_request(
    context: RunContext, state: CellState, number: int, retry: int = 0
) -> LaunchRequest:
    """One measure launch; `retry` counts its repetitions."""
    name = f"measure_{number}" + (f"_again_{retry}" if retry else "")
    cell = state.cell
    return LaunchRequest(
        LaunchKind.MEASURE, name, context.run.cell(cell) / "cell.json", context.run.launch(cell, name),
        cell.environment, WORKER_PRELOAD + state.backend.preload, cell, alone=True,
        gpu=state.backend.needs_gpu or bool(cell.gpu), round=number, writable=cache_of(cell),
        sources=state.sources,
    )  # fmt: skip


def device_rounds(
    options: Options, states: Sequence[CellState]
) -> Iterator[tuple[int, CellState]]:
    """Round numbers and the cells whose device is to be watched; none where the first look saw nothing."""
    if not options.device_time or options.exec_prefix:
        return
    for number in range(min(options.launches, MOST_DEVICE_LAUNCHES)):
        for state in states:
            looks = [x.device_timed for x in state.launches if x.kind is LaunchKind.DEVICE]
            if state.alive and not state.done and state.backend.watched(state.cell) and all(looks):
                yield number, state


def device_request(context: RunContext, state: CellState, number: int) -> LaunchRequest:
    """One launch in which a trace of the device is taken, as a measure launch but for that."""
    name = f"device_{number}"
    request = measure_request(context, state, number)
    folder = context.run.launch(state.cell, name)
    return replace(request, kind=LaunchKind.DEVICE, name=name, folder=folder)


def long_request(
    context: RunContext, state: CellState, rounds: int, gap_s: float
) -> LaunchRequest | None:
    """One launch that goes on while so many others do, by what the last one took; None without that one."""
    last = state.launches[-1] if state.launches else None
    if last is None or last.timed is None:
        return None
    each_s = median(last.timed.samples_ns) / 1e9
    runs = math.ceil(rounds * (last.ending.wall_s + gap_s) / each_s)
    protocol = replace(state.cell.protocol, runs=min(MOST_RUNS, runs))
    return _other_request(context, state, replace(state.cell, protocol=protocol), "long")


def fewer_threads_request(context: RunContext, state: CellState) -> LaunchRequest | None:
    """One launch with as many threads as there are CPUs for them; None where the cell asks for no more."""
    cpus = min((x.timed.cpus for x in state.launches if x.timed and x.timed.cpus), default=None)
    protocol = state.cell.protocol
    if cpus is None or protocol.intra_op_threads <= max(1, math.floor(cpus)):
        return None
    fewer = replace(protocol, intra_op_threads=max(1, math.floor(cpus)))
    cell = replace(state.cell, protocol=fewer)
    return _other_request(context, state, cell, "fewer_threads")


def _other_request(context: RunContext, state: CellState, cell: Cell, name: str) -> LaunchRequest:
    """A measure launch of a cell that another was made of, beside that one's own."""
    request = measure_request(context, state, 0)
    job = request.job.with_name(f"{name}.json")
    cells.write_cell(cell, job)
    folder = context.run.launch(state.cell, name)
    return replace(request, name=name, job=job, cell=cell, folder=folder)


def with_threads_note(state: CellState, tried: LaunchResult) -> None:
    """Note at the cell's last launch what fewer threads made of its median, for its first input shapes."""
    mine = [x.timed for x in state.launches if x.timed]
    if not mine or tried.launch.timed is None or tried.request.cell is None:
        return
    first = first_signature(state.cell)
    here, there = (
        [ns for t in launches for ns in split_timed(t, state.cell.sets)[first].samples_ns]
        for launches in (mine, [tried.launch.timed])
    )
    if not here or not there:
        return
    asked = state.cell.protocol.intra_op_threads
    fewer = tried.request.cell.protocol.intra_op_threads
    ours, theirs = median(here) / NS_PER_MS, median(there) / NS_PER_MS
    verdict = (
        f"better take --intra_op_threads {fewer}" if theirs < ours else "no better with fewer"
    )
    text = (
        f"{state.cell.id}: {asked} threads on {mine[0].cpus:g} CPUs, median {ours:.4g} ms; "
        f"with {fewer} threads {theirs:.4g} ms in a launch: {verdict}"
    )
    last = state.launches[-1]
    state.launches[-1] = replace(last, notes=(*last.notes, Note(THREADS_NOTE, text)))


def with_retry_note(result: LaunchResult) -> LaunchResult:
    """The result with a note that it took a throttled launch's place."""
    launch = result.launch
    still = "; it was throttled too" if was_throttled(launch) else ""
    text = f"{launch.name} took the place of a launch whose device was throttled{still}"
    return replace(result, launch=replace(launch, notes=(*launch.notes, Note("retried", text))))


def was_throttled(launch: Launch) -> bool:
    """Whether the device was held back during the timed stage."""
    counters = launch.gpu_counters
    return counters is not None and bool(counters.throttled_share)


def _samples_by_round(state: CellState) -> dict[int, dict[ShapeSignature, Samples]]:
    return {
        x.round: {
            shapes: timed.samples_ns
            for shapes, timed in split_timed(x.timed, state.cell.sets).items()
        }
        for x in state.launches
        if x.timed
    }
