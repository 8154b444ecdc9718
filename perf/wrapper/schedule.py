"""The order of a run: set-up side by side, then measuring alone, and a record as each cell ends."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from perf.core import log, record, run_folder
from perf.core.cell import ModelFile
from perf.core.options import Options
from perf.core.record import Passed, Record, Skipped
from perf.planning import closing, flow, interleaving, measuring
from perf.planning.bans import Bans
from perf.planning.flow import Answer, Ask, Flow, Kitchen, Progress
from perf.planning.plan import CANARY, Planned, by_model
from perf.wrapper.launching import Launcher

BATCH = 16  # models set up side by side before their measuring begins


@dataclass
class Run:
    """A run in flight: every planned cell has a record in `records` at its end, in plan order."""

    kitchen: Kitchen
    launcher: Launcher
    bans: Bans
    jobs: int
    finished: Callable[[Sequence[Record]], None]  # told of a model's records as they end
    records: dict[str, Record] = field(default_factory=dict)
    canaries: list[Progress] = field(default_factory=list)
    begun_s: float = field(default_factory=time.monotonic)
    doing: Callable[[str], None] = lambda _text: None  # told what is being done now

    @property
    def options(self) -> Options:
        """What was asked."""
        return self.kitchen.options

    def go(self, planned: Sequence[Planned]) -> None:
        """Run every cell; raises Interrupted with what is finished in `records`."""
        if self.options.resume:
            self.launcher.seen(run_folder.finished_launches(self.kitchen.run))
        canaries = [p for p in planned if p.cell.model.name == CANARY]
        groups = iter(by_model([p for p in planned if p not in canaries]))
        for model, cells in by_model(canaries):
            self.canaries = [_progress(p) for p in cells]
            self._set_up([(model, self.canaries)])
        size = BATCH if self.options.benchmarks else len(planned) or 1
        while batch := list(islice(groups, size)):
            kitchens = [(m, [_progress(p) for p in cells]) for m, cells in batch]
            self._set_up(kitchens)
            if self.options.benchmarks:
                for model, progress in kitchens:
                    self._measure(model, progress)
                    self._close(progress)
        self._close(self.canaries)

    def _set_up(self, batch: Sequence[tuple[ModelFile, list[Progress]]]) -> None:
        """Run the models' flows side by side, `jobs` launches at a time, builders alone."""
        waiting: deque[_Strand] = deque()
        for model, progress in batch:
            fresh = [p for p in progress if not self._known(p)]
            self.bans.hold(fresh, self.options)
            waiting.append(_Strand(progress, flow.set_up(self.kitchen, model, fresh)))
        active: list[_Strand] = []
        queue: deque[tuple[_Strand, int, Ask]] = deque()
        owners: dict[str, tuple[_Strand, int]] = {}
        while waiting or active:
            while waiting and len(queue) < self.jobs and len(active) < 2 * self.jobs:
                active.append(waiting.popleft())
                self._step(active[-1], queue)
            self._fill(queue, owners)
            for strand in [s for s in active if s.finished]:
                active.remove(strand)
                if not self.options.benchmarks:
                    self._close(strand.progress)
            if self.launcher.in_flight:
                self.doing(
                    f"setting up {', '.join(s.progress[0].cell.model.name for s in active)}"
                )
                answer = self.launcher.wait()
                strand, index = owners.pop(str(answer.ask.folder))
                self._answered(strand, index, answer, queue)

    def _fill(
        self,
        queue: "deque[tuple[_Strand, int, Ask]]",
        owners: dict[str, tuple["_Strand", int]],
    ) -> None:
        while queue and self.launcher.in_flight < self.jobs:
            strand, index, ask = queue[0]
            if ask.alone and self.launcher.in_flight:
                return
            queue.popleft()
            owners[str(ask.folder)] = (strand, index)
            at_once = self.launcher.start(ask)
            if at_once is not None:
                owners.pop(str(ask.folder))
                self._answered(strand, index, at_once, queue)
            elif ask.alone:
                return

    def _answered(
        self,
        strand: "_Strand",
        index: int,
        answer: Answer,
        queue: "deque[tuple[_Strand, int, Ask]]",
    ) -> None:
        strand.answers[index] = answer
        if len(strand.answers) == strand.expected:
            self._step(strand, queue)

    def _step(self, strand: "_Strand", queue: "deque[tuple[_Strand, int, Ask]]") -> None:
        """Give a flow its answers and take its next asks, until it has some or ends."""
        while True:
            answers = [strand.answers[i] for i in range(strand.expected)]
            strand.answers.clear()
            try:
                asks = strand.flow.send(answers if strand.begun else None)  # type: ignore[arg-type]
            except StopIteration:
                strand.finished = True
                return
            strand.begun = True
            strand.expected = len(asks)
            if asks:
                queue.extend((strand, i, ask) for i, ask in enumerate(asks))
                return

    def _measure(self, model: ModelFile, progress: Sequence[Progress]) -> None:
        if self.options.ab:
            launches = interleaving.rounds(self.options, model.name, progress, self._spent)
        else:
            launches = iter(measuring.rounds(self.options, model, progress))
        for number, p in interleaving.with_canaries(launches, self.canaries):
            p.add(self._measured(p, number))

    def _spent(self) -> bool:
        """Whether --max_minutes have passed since the run began."""
        most_s = 60 * self.options.max_minutes
        return bool(most_s) and time.monotonic() - self.begun_s > most_s

    def _measured(self, p: Progress, number: int) -> Answer:
        """One measure launch, repeated while its device was throttled and --retry_throttled allows."""
        self.doing(f"measuring {p.cell.id}, launch {number + 1}")
        answer = self.launcher.run(measuring.ask(self.kitchen, p, number))
        for again in range(1, self.options.retry_throttled + 1):
            if not measuring.throttled(answer.launch):
                break
            answer = self.launcher.run(measuring.ask(self.kitchen, p, number, again))
            answer = measuring.noted(answer)
        return answer

    def _known(self, p: Progress) -> bool:
        """A resumed run keeps the cells that it finished."""
        if self.options.resume and (old := run_folder.finished_cell(self.kitchen.run, p.cell)):
            self.records[p.cell.id] = old
            p.outcome, p.launches, p.done = old.outcome, list(old.launches), True
        return p.done

    def _close(self, progress: Sequence[Progress]) -> None:
        """A model's cells have ended: their records are made durable, then shown."""
        for p in progress:
            if p.done:
                continue
            folder = self.kitchen.run.cell(p.cell)
            folder.mkdir(parents=True, exist_ok=True)
            self.records[p.cell.id] = done = self._record(p)
            record.write(done, folder / "record.json")
            if self.options.validates:
                self.bans.pronounce(p.cell, done.outcome)
            p.done = True
        self.finished([self.records[p.cell.id] for p in progress])

    def _record(self, p: Progress) -> Record:
        tail: tuple[str, ...] = ()
        if p.launches and not isinstance(p.outcome, (Passed, Skipped)):
            tail = log.tail(self.kitchen.run.launch(p.cell, p.launches[-1].name) / "output.log")
        return closing.record_of(p, self.kitchen.run.run_id, tail)


@dataclass
class _Strand:
    """One model's flow on its way, and the answers it waits for."""

    progress: list[Progress]
    flow: Flow
    begun: bool = False
    finished: bool = False
    expected: int = 0
    answers: dict[int, Answer] = field(default_factory=dict)


def _progress(p: Planned) -> Progress:
    return Progress(p, p.cell, p.offer.backend)
