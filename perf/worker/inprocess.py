"""Carries out launches in this very process, one after another, its output on the terminal."""

import contextlib
import errno
import faulthandler
import gc
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from perf.core import fold, journal, record, run_folder
from perf.core.cell import ModelFile
from perf.core.leases import Lease
from perf.core.options import Options
from perf.core.record import Ending, LaunchKind, Record
from perf.core.run_folder import RunFolder
from perf.core.system import SystemInfo
from perf.planning import closing, flow, measuring
from perf.planning.bans import Bans
from perf.planning.flow import Answer, Ask, Flow, Kitchen, Progress, expectation
from perf.planning.plan import Planned, by_model
from perf.planning.targets import Offer
from perf.report.screen import Screen
from perf.worker import stages

ISOLATION = "inprocess"  # as records and tables name this way of starting a launch
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


class Launcher:
    """Carries out asks; what ends this process ends the run, and what had finished is kept."""

    def __init__(self, boot_id: str) -> None:
        faulthandler.enable(file=2)  # what ends this process says where it was
        self._boot_id = boot_id
        self._order = 0

    def run(self, ask: Ask) -> Answer:
        """One launch from start to end, folded and durable."""
        run_folder.clear(ask.folder)
        gc.collect()  # a failed cell's session may live on in its exception's traceback
        began = time.monotonic()
        with _restored(ask.folder):
            status = _status(ask)
        ending = Ending(status, None, wall_s=time.monotonic() - began)
        events = journal.read_live(ask.folder / "journal.jsonl")
        expected = expectation(ask.cell) if ask.cell else fold.Expectation()
        self._order += 1
        launch = replace(
            fold.launch(ask.name, ask.kind, events, ending, expected),
            began_s=began, boot_id=self._boot_id, round=ask.round, order=self._order,
            isolation=ISOLATION, cold=True if ask.kind is LaunchKind.CHECK else None,
            host_memory=None,  # of a process that holds what earlier cells freed, it would mislead
        )  # fmt: skip
        run_folder.write_launch(ask.folder, launch)
        return Answer(ask, events, ending, launch)


def work(planned: Sequence[Planned], offered: Sequence[Offer], options: Options) -> closing.Work:
    """What `closing.conduct` has done in this process: every model's cells, set up and then measured."""

    def do(folder: RunFolder, host: SystemInfo, screen: Screen, records: dict[str, Record]) -> int:
        run = _Run(
            closing.kitchen(offered, options, folder), Launcher(host.boot_id),
            Bans(folder.results, folder.run_id), records,
        )  # fmt: skip
        with Lease.measuring(folder.run_id, wait_s=24 * 3600.0):  # waits for who holds it
            try:
                for model, cells in by_model(planned):
                    run.model(model, [Progress(p, p.cell, p.offer.backend) for p in cells])
                    screen.ended([records[p.cell.id] for p in cells])
            except KeyboardInterrupt:
                return signal.SIGINT
        return 0

    return do


@dataclass(frozen=True)
class _Run:
    kitchen: Kitchen
    launcher: Launcher
    bans: Bans
    records: dict[str, Record]

    def model(self, model: ModelFile, progress: Sequence[Progress]) -> None:
        """One model's cells; each record is durable as soon as its cell ends, for the next may crash us."""
        options = self.kitchen.options
        self.bans.hold(progress, options)
        _drive(flow.set_up(self.kitchen, model, progress), self.launcher.run)
        for p in progress:
            if not (options.benchmarks and p.alive):
                self._close(p)
        if options.benchmarks:
            for number, p in measuring.rounds(options, model, progress):
                p.add(self.launcher.run(measuring.ask(self.kitchen, p, number)))
                self._close(p)

    def _close(self, p: Progress) -> None:
        folder = self.kitchen.run.cell(p.cell)
        folder.mkdir(parents=True, exist_ok=True)
        done = closing.record_of(p, self.kitchen.run.run_id)
        record.write(done, folder / "record.json")
        self.records[p.cell.id] = done
        p.done = True
        if self.kitchen.options.validates:
            self.bans.pronounce(p.cell, done.outcome)


def _drive(asking: Flow, answer: Callable[[Ask], Answer]) -> None:
    """Answer a flow's asks in its order until it ends."""
    answers: list[Answer] | None = None
    while True:
        try:
            asks = next(asking) if answers is None else asking.send(answers)
        except StopIteration:
            return
        answers = [answer(ask) for ask in asks]


def _status(ask: Ask) -> int:
    """The exit status that a worker's process would have had."""
    try:
        return stages.run(ask.kind.value, ask.job, ask.folder)
    except OSError as e:
        if e.errno in _FULL:
            raise  # nothing more can be recorded: it is the run that ends, not the cell
        traceback.print_exc()
        return 1


@contextlib.contextmanager
def _restored(folder: Path) -> Iterator[None]:
    """A launch's folder as the working directory; it and the cores to run on are put back after."""
    cores = os.sched_getaffinity(0)
    with contextlib.chdir(folder):
        try:
            yield
        finally:
            os.sched_setaffinity(0, cores)
