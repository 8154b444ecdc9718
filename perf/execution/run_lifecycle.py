"""One run from the folder that it owns to its tables, its last lines and its exit status."""

import contextlib
import math
import shlex
import shutil
import signal
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from perf.execution.launcher import Interrupted, Launcher
from perf.execution.quarantine import Quarantine
from perf.execution.records import records_for_all_cells
from perf.execution.resume import options_to_json
from perf.execution.scheduler import Scheduler
from perf.execution.signals import SignalWatch
from perf.machine import busyness, system
from perf.machine.gpus import find_gpus
from perf.machine.machine_lock import MachineLock
from perf.machine.system import SystemInfo
from perf.page.write import page_path, write_report
from perf.planning import ab_sides
from perf.planning.form_choice import eager_readers
from perf.planning.launch import RunContext
from perf.planning.targets import Offer, Planned, named_targets
from perf.report.finished_run import FinishedRun, KnownFailure, explain_failure, finished_run
from perf.report.screen import Screen
from perf.request.exit_status import CANNOT_SERVE, OK, SOMETHING_WRONG
from perf.request.fail_on import FailOn
from perf.request.options import Options
from perf.request.programs import from_here, script_command
from perf.results import findings, host_records, latency, run_folder, tables
from perf.results.record_store import RecordStore
from perf.results.run_folder import RunFolder
from perf.schema import atomic_file, codec, outcomes
from perf.schema.cell import Environment
from perf.schema.record import EnvironmentFailed, Record, Skipped
from perf.schema.untrusted_file import file_version
from perf.schema.version import stamp
from perf.schema.whole_plan import WholePlan

DAY_S = 24 * 3600.0  # how long a run waits for who holds a lock


class TablesNotWrittenError(Exception):
    """A signal ended the run before its tables were written."""

    def __init__(self, folder: RunFolder, number: int) -> None:
        self.status = 128 + number
        super().__init__(
            f"ended by {signal.Signals(number).name} before the tables were written; every finished cell is "
            f"kept: `ep-perf report {shlex.quote(str(folder.root))}` writes them"
        )


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
    expected: Mapping[str, KnownFailure] = field(default_factory=dict)  # by cell id
    expected_s: Mapping[str, float] = field(
        default_factory=dict
    )  # what cells took in earlier runs
    resumable: bool = True
    whole: WholePlan | None = None  # the plan over all shards; None: it is part of none
    signals: SignalWatch = field(default_factory=SignalWatch)


@dataclass
class RunSession:
    """A run that owns its folder; `run`, `write_tables` and `show_summary` follow each other."""

    plan: RunPlan
    folder: RunFolder
    host: SystemInfo
    screen: Screen
    store: RecordStore
    signal: int = 0  # what ended it early
    host_key: str = ""  # under which launches name this host
    tables: tuple[Path, ...] = ()
    cpu_times: busyness.CpuTimes | None = None  # when the run began
    description: Any = None
    described: tuple[int, ...] = ()  # run.json as it was written
    page: Path | None = None

    def run(self, launcher: Launcher) -> None:
        """Carry the plan out, with the machine's locks held; a signal ends it early."""
        scheduler = Scheduler(
            self._context(), launcher, Quarantine(self.folder.results, self.folder.run_id),
            self.screen, self.store,
        )  # fmt: skip
        with contextlib.ExitStack() as held:
            try:
                self._look_for_others()
                for lock in machine_locks(self.plan.planned, self.folder.run_id):
                    held.callback(lock.release)
                    lock.acquire(sleep=launcher.pause, waiting=self.screen.notify)
                scheduler.run(self.plan.planned)
                self.signal = signal.SIGINT if self.plan.signals.interrupts else 0
            except Interrupted as e:
                self.signal = int(e.args[0])
            except KeyboardInterrupt:
                self.signal = signal.SIGINT

    @property
    def all_records(self) -> tuple[Record, ...]:
        """A record for every planned cell, in plan order."""
        why = "interrupted" if self.signal else "the run ended before it"
        return records_for_all_cells(
            self.plan.planned, self.store.records, self.folder.run_id, why
        )

    def write_tables(self) -> None:
        """The tables and the page. One SIGINT waits; what ends the run at once raises an error."""
        try:
            with self.plan.signals.raising():
                self._restore()
                self.tables = tables.write_all(
                    self.all_records, self.host, self.folder.root, self.folder.results,
                    self.folder.run_id, label=self.plan.options.label,
                )  # fmt: skip
                page = run_folder.make_place(self.folder.root, page_path(self.folder))
                self.page = write_report(page, [self.finished])
        except Interrupted as e:
            raise TablesNotWrittenError(self.folder, int(e.args[0])) from None

    def _restore(self) -> None:
        """Write again what a worker took from the run's folder: its description, its cells' records."""
        if file_version(self.folder.root / "run.json") != self.described:
            self.describe(self.description)
        self.store.restore()

    def describe(self, description: Any) -> None:
        """Write run.json, and host.json as it is now."""
        root = self.folder.root
        path = run_folder.make_place(root, root / "run.json")
        atomic_file.write_json(path, stamp(description))
        self.description, self.described = description, file_version(path)
        host = run_folder.make_place(root, root / "host.json")
        atomic_file.write_json(host, codec.encode(self.host))
        self.host_key = host_records.write_host_record(root, self.host)

    def _look_for_others(self) -> None:
        """Say that the machine is busy before anything is measured on it."""
        if not self.plan.options.benchmarks or all(p.skip for p in self.plan.planned):
            return
        cpus = min(self.host.usable_cores, self.host.cpu_quota_cores or math.inf)
        if (asked := self.plan.options.intra_op_threads) > cpus:
            self.screen.notify(
                f"--intra_op_threads {asked} is more than the {cpus:g} CPUs that a launch may use; what "
                "fewer make of it is measured beside it"
            )
        seen = busyness.look_at_machine()
        if seen and seen.is_busy:
            self.screen.notify(
                f"busy machine before the run began: {seen}; latencies will be longer and differ more, and "
                "no gain is claimed where most launches are preempted"
            )
        self.cpu_times = busyness.read_cpu_times()

    @property
    def finished(self) -> FinishedRun:
        """The run as pages and exports take it."""
        return finished_run(
            self.folder, self.all_records, self.host, label=self.plan.options.label,
            command=self.plan.command, expected=self.plan.expected,
        )  # fmt: skip

    def show_summary(self) -> None:
        """The last lines on the terminal."""
        resume_command = self._resume_command() if self.signal and self.plan.resumable else ""
        records = self.all_records
        seen = busyness.busyness_since(self.cpu_times)
        remarks = (
            *latency.describe_untimed_sets(records),
            *latency.describe_disturbance(records, str(seen) if seen else ""),
        )
        known = sum(bool(explain_failure(r, self.plan.expected)) for r in records)
        self.screen.show_end(
            records,
            self.host,
            self.folder,
            self.tables,
            remarks,
            resume_command,
            page=self.page,
            known=known,
        )

    def _resume_command(self) -> str:
        elsewhere = self.folder.results != (Path.cwd() / "result")
        where = ["-o", from_here(self.folder.results)] if elsewhere else []
        program = script_command(self.plan.command[0])
        return shlex.join([*program, *where, "--resume", self.folder.run_id])

    def exit_status(self) -> int:
        """What the program ends with."""
        if self.signal:
            return 128 + self.signal
        unable = {p.cell.id for p in self.plan.planned if p.skip and not p.failed}
        return exit_status(self.all_records, self.plan.options, unable, self.plan.expected)

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
    used = {p.offer.probed.environment.name: p.offer.probed for p in plan.planned}
    host = system.gather_system(
        tuple(p.environment for p in used.values()), find_gpus(),
        {name: p.found.libraries for name, p in used.items()},
    )  # fmt: skip
    with run_folder.own_run(folder, fresh=not options.resume):
        screen = Screen(options, len(plan.planned), folder, plan.command, plan.expected_s)
        session = RunSession(plan, folder, host, screen, RecordStore(folder))
        plan.signals.on_first_interrupt = lambda: screen.notify(
            "interrupted: the run ends with the launches in flight, then writes its tables; "
            f"Ctrl-C again ends it now; `--resume {folder.run_id}` goes on"
        )
        try:
            session.describe(_describe(session))
            yield session
        except OSError as e:
            raise RunCutShortError(_cut_short(e, session)) from e
        finally:
            screen.close()


def machine_locks(planned: Sequence[Planned], run_id: str) -> Sequence[MachineLock]:
    """A run's devices, then the machine's quiet: in one order in all runs, so that none wait in a ring."""
    if all(p.skip for p in planned):
        return ()  # nothing will be launched
    uuids = sorted({p.cell.gpu for p in planned if p.cell.gpu and not p.skip})
    return (
        *(MachineLock.gpu(u, run_id, DAY_S) for u in uuids),
        MachineLock.measuring(run_id, DAY_S),
    )


def exit_status(
    records: Sequence[Record],
    options: Options,
    unable: Collection[str] = (),
    expected: Mapping[str, KnownFailure] | None = None,
) -> int:
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
        return SOMETHING_WRONG if named else CANNOT_SERVE
    if named and not all(by_target.values()):
        return SOMETHING_WRONG
    if all(isinstance(r.outcome, Skipped) for r in records):
        return CANNOT_SERVE  # nothing was measurable
    return SOMETHING_WRONG if find_red(records, options.red, expected or {}) else OK


def find_red(
    records: Sequence[Record], fail_on: FailOn, expected: Mapping[str, KnownFailure]
) -> tuple[Record, ...]:
    """Records whose outcome fails the run, and is not one that was expected, or whose latency cannot be."""
    return tuple(
        r
        for r in records
        if (fail_on.is_red(outcomes.name(r.outcome)) and not explain_failure(r, expected))
        or (fail_on.impossible and findings.impossible_reason(r))
    )


def _describe(session: RunSession) -> Any:
    """What run.json holds: as an earlier part of this run wrote it, or of the run that begins."""
    plan = session.plan
    if plan.options.resume and (told := run_folder.read_json(session.folder.root / "run.json")):
        return told
    return {
        "run_id": session.folder.run_id,
        "label": plan.options.label,
        "command": list(plan.command),
        "options": options_to_json(plan.options),
        "targets": list(dict.fromkeys(p.cell.target.label for p in plan.planned)),
        "cells": [p.cell.id for p in plan.planned],
        "ab": [ab_sides.side_label(name, plan.planned) for name in plan.options.ab],
        "harness_commit": session.host.harness_commit,
        **({"plan": codec.encode(plan.whole)} if plan.whole else {}),
    }


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
