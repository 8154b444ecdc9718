"""One run from the folder that it owns to its tables, its last lines and its exit status."""

import contextlib
import shlex
import shutil
import signal
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from perf.execution.launcher import Interrupted, Launcher
from perf.execution.quarantine import Quarantine
from perf.execution.records import records_for_all_cells
from perf.execution.resume import options_to_json
from perf.execution.scheduler import Scheduler
from perf.machine import system
from perf.machine.gpus import find_gpus
from perf.machine.machine_lock import MachineLock
from perf.machine.system import SystemInfo
from perf.planning import ab_sides
from perf.planning.form_choice import eager_readers
from perf.planning.launch import RunContext
from perf.planning.targets import Offer, Planned, named_targets
from perf.report.screen import Screen
from perf.request.options import Options
from perf.results import run_folder, tables
from perf.results.run_folder import RunFolder
from perf.schema import atomic_file, codec
from perf.schema.cell import Environment
from perf.schema.record import EnvironmentFailed, Passed, Record, Skipped
from perf.schema.version import stamp

OK, SOMETHING_WRONG, BAD_REQUEST, INCOMPLETE = 0, 1, 2, 3
DAY_S = 24 * 3600.0  # how long a run waits for who holds a lock


class RunCutShortError(Exception):
    """The disk failed a run; the message is one line that says what is kept, and how to go on."""


@dataclass(frozen=True)
class RunPlan:
    """All that is known of a run before it begins."""

    planned: tuple[Planned, ...]
    offers: tuple[Offer, ...]
    options: Options
    results: Path
    command: tuple[str, ...]  # the program and its words, for the command that runs a cell again
    resumable: bool = True


@dataclass
class RunSession:
    """A run that owns its folder; `run`, `write_tables` and `show_summary` follow each other."""

    plan: RunPlan
    folder: RunFolder
    host: SystemInfo
    screen: Screen
    records: dict[str, Record] = field(default_factory=dict)
    signal: int = 0  # what ended it early
    tables: tuple[Path, ...] = ()

    def run(self, launcher: Launcher) -> None:
        """Carry the plan out, with the machine's locks held; a signal ends it early."""
        scheduler = Scheduler(
            self._context(), launcher, Quarantine(self.folder.results, self.folder.run_id),
            self.screen, self.records,
        )  # fmt: skip
        with contextlib.ExitStack() as held:
            try:
                for lock in machine_locks(self.plan.planned, self.folder.run_id):
                    held.callback(lock.release)
                    lock.acquire(sleep=launcher.pause, waiting=self.screen.notify)
                scheduler.run(self.plan.planned)
            except Interrupted as e:
                self.signal = int(e.args[0])
            except KeyboardInterrupt:
                self.signal = signal.SIGINT

    @property
    def all_records(self) -> tuple[Record, ...]:
        """A record for every planned cell, in plan order."""
        why = "interrupted" if self.signal else "the run ended before it"
        return records_for_all_cells(self.plan.planned, self.records, self.folder.run_id, why)

    def write_tables(self) -> None:
        """The tables of what there is; a signal waits until they are written."""
        with _signals_held_back():
            self.tables = tables.write_all(
                self.all_records, self.host, self.folder.root, self.folder.results,
                self.folder.run_id, label=self.plan.options.label,
            )  # fmt: skip

    def show_summary(self) -> None:
        """The last lines on the terminal."""
        self.screen.show_end(self.all_records, self.host, self.folder, self.tables)

    def exit_status(self) -> int:
        """What the program ends with."""
        if self.signal:
            return 128 + self.signal
        unable = {p.cell.id for p in self.plan.planned if p.skip}
        return exit_status(self.all_records, self.plan.options, unable)

    def _context(self) -> RunContext:
        """What every launch graph needs; references come from the first environment that can make them."""
        able = (o for o in self.plan.offers if o.backend.reference and not o.missing)
        reference = next(able, None)
        return RunContext(
            run=self.folder,
            options=self.plan.options,
            own=Environment("wrapper", sys.executable),
            reference=(reference.backend, reference.probed.environment) if reference else None,
            devices=tuple(f"{g.name} {g.driver}" for g in self.host.gpus),
            readers=eager_readers(self.plan.offers),
        )


@contextlib.contextmanager
def run_session(plan: RunPlan) -> Iterator[RunSession]:
    """Own the run's folder and describe the run in it; raises RunCutShortError where the disk fails."""
    options = plan.options
    folder = RunFolder(plan.results, options.run_id or run_folder.new_run_id())
    used = {p.offer.probed.environment.name: p.offer.probed.environment for p in plan.planned}
    host = system.gather_system(tuple(used.values()), find_gpus())
    with run_folder.own_run(folder, fresh=not options.resume):
        screen = Screen(options, len(plan.planned), plan.command)
        session = RunSession(plan, folder, host, screen)
        try:
            _write_description(session)
            yield session
        except BrokenPipeError:
            raise  # who read our output has seen enough; that is no fault of the disk
        except OSError as e:
            raise RunCutShortError(_cut_short(e, session)) from e


def machine_locks(planned: Sequence[Planned], run_id: str) -> Sequence[MachineLock]:
    """A run's devices, then the machine's quiet: in one order in all runs, so that none wait in a ring."""
    if all(p.skip for p in planned):
        return ()  # nothing will be launched
    uuids = sorted({p.cell.gpu for p in planned if p.cell.gpu and not p.skip})
    return (
        *(MachineLock.gpu(u, run_id, DAY_S) for u in uuids),
        MachineLock.measuring(run_id, DAY_S),
    )


def exit_status(records: Sequence[Record], options: Options, unable: Collection[str] = ()) -> int:
    """The exit status of a run that reached its end; `unable` are ids of cells that planning had to skip.

    A target could not run at all where each of its cells is one of those, or found no environment; a model
    that is broken, in quarantine, or whose inputs cannot be fed says nothing of the target. Where each
    cell is of that last kind, nothing was measurable.
    """
    named = named_targets(options)
    by_target: dict[str, bool] = {}
    for r in records:
        could = r.cell.id not in unable and not isinstance(r.outcome, EnvironmentFailed)
        by_target[r.cell.target.label] = by_target.get(r.cell.target.label, False) or could
    if not any(by_target.values()):
        return SOMETHING_WRONG if named else INCOMPLETE
    if named and not all(by_target.values()):
        return SOMETHING_WRONG
    if all(isinstance(r.outcome, Skipped) for r in records):
        return INCOMPLETE  # nothing was measurable
    if options.strict and not all(isinstance(r.outcome, Passed) for r in records):
        return SOMETHING_WRONG
    return OK


def _write_description(session: RunSession) -> None:
    """Write run.json once, and host.json as it is now."""
    plan, root = session.plan, session.folder.root
    if not (root / "run.json").exists():
        description = {
            "run_id": session.folder.run_id,
            "label": plan.options.label,
            "command": list(plan.command),
            "options": options_to_json(plan.options),
            "targets": list(dict.fromkeys(p.cell.target.label for p in plan.planned)),
            "cells": [p.cell.id for p in plan.planned],
            "ab": [ab_sides.side_label(name, plan.planned) for name in plan.options.ab],
            "harness_commit": session.host.harness_commit,
        }
        atomic_file.write_json(root / "run.json", stamp(description))
    atomic_file.write_json(root / "host.json", codec.encode(session.host))


def _cut_short(error: OSError, session: RunSession) -> str:
    """One line on what could not be written, and how to go on."""
    folder = session.folder
    what = f"{error.filename or folder.root}: {error.strerror}"
    if not (folder.root / "run.json").is_file():
        shutil.rmtree(folder.root, ignore_errors=True)
        return f"{what}; nothing has run: make room, or choose another folder with -o"
    resume = f"`-o {shlex.quote(str(folder.results))} --resume {folder.run_id}`"
    return (
        f"{what}; what had finished is kept in {folder.root}: make room, "
        f"then {resume if session.plan.resumable else 'run it again'}"
    )


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Signals that would end us wait: a second or two of writing tables is what the run was for."""
    heard: list[int] = []
    before = {
        n: signal.signal(n, lambda number, _frame: heard.append(number))
        for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for ended_by in heard:
            signal.raise_signal(ended_by)
