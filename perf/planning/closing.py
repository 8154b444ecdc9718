"""What a run leaves beside its launches: its description, a record for every planned cell, an exit status."""

import shlex
import shutil
import signal as signals
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from perf.core import codec, run_folder, system, tables
from perf.core.cell import Environment
from perf.core.options import Options
from perf.core.record import EnvironmentFailed, NotRun, Passed, Record, Skipped
from perf.core.run_folder import RunFolder
from perf.core.schema_version import stamp
from perf.core.system import SystemInfo
from perf.planning import devices, sides
from perf.planning.flow import Kitchen, Progress
from perf.planning.plan import Planned
from perf.planning.request import wanted_names
from perf.planning.resume import stored
from perf.planning.targets import Offer
from perf.report.screen import Screen

OK, SOMETHING_WRONG, BAD_REQUEST, INCOMPLETE = 0, 1, 2, 3


Work: TypeAlias = Callable[[RunFolder, SystemInfo, Screen, dict[str, Record]], int]


def conduct(
    planned: Sequence[Planned],
    options: Options,
    results: Path,
    command: Sequence[str],
    work: Work,
    *,
    resumable: bool = True,
) -> int:
    """Own a run's folder while `work` fills in records by cell id, then write the tables whatever happened.

    `work` returns the signal that ended it early, 0 where none did. Returns the exit status.
    """
    folder = RunFolder(results, options.run_id or run_folder.new_run_id())
    places = [p.offer.place.environment for p in planned]
    used = {environment.name: environment for environment in places}
    host = system.gather(tuple(used.values()), devices.gpus())
    with run_folder.owned(folder, fresh=not options.resume):
        try:
            describe(folder, planned, options, command, host)
            screen, done = (
                Screen(options, len(planned), _first(folder, command)),
                dict[str, Record](),
            )
            signal = work(folder, host, screen, done)
            why = "interrupted" if signal else "the run ended before it"
            records = complete(planned, done, folder.run_id, why)
            with _undisturbed():
                written = tables.write_all(
                    records, host, folder.root, folder.results, folder.run_id, label=options.label
                )
            screen.end(records, host, folder, written)
            unable = {p.cell.id for p in planned if p.skip}
            return 128 + signal if signal else status(records, options, unable)
        except BrokenPipeError:
            raise  # who read our output has seen enough; that is no fault of the disk
        except OSError as e:
            print(f"error: {_cut_short(e, folder, resumable=resumable)}", file=sys.stderr)
            return INCOMPLETE


def _first(folder: RunFolder, command: Sequence[str]) -> Sequence[str]:
    """The command that began the run: a resumed one names few of its flags."""
    told = run_folder.read_json(folder.root / "run.json")
    return tuple(told["command"]) if told and told.get("command") else command


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Signals that would end us wait: a second or two of writing tables is what the run was for."""
    heard: list[int] = []
    before = {
        n: signals.signal(n, lambda number, _frame: heard.append(number))
        for n in (signals.SIGINT, signals.SIGTERM, signals.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signals.signal(number, handler)
        for told in heard:
            signals.raise_signal(told)


def _cut_short(error: OSError, folder: RunFolder, *, resumable: bool) -> str:
    """One line on what could not be written, and how to go on."""
    what = f"{error.filename or folder.root}: {error.strerror}"
    if not (folder.root / "run.json").is_file():
        shutil.rmtree(folder.root, ignore_errors=True)
        return f"{what}; nothing has run: make room, or choose another folder with -o"
    again = f"`-o {shlex.quote(str(folder.results))} --resume {folder.run_id}`"
    return (
        f"{what}; what had finished is kept in {folder.root}: make room, "
        f"then {again if resumable else 'run it again'}"
    )


def describe(
    folder: RunFolder,
    planned: Sequence[Planned],
    options: Options,
    command: Sequence[str],
    host: SystemInfo,
) -> None:
    """Write run.json once, and host.json as it is now."""
    path = folder.root / "run.json"
    if not path.exists():
        run_folder.write_json(
            path,
            stamp(
                {
                    "run_id": folder.run_id,
                    "label": options.label,
                    "command": list(command),
                    "options": stored(options),
                    "targets": list(dict.fromkeys(p.cell.target.label for p in planned)),
                    "cells": [p.cell.id for p in planned],
                    "ab": [sides.label(name, planned) for name in options.ab],
                    "harness_commit": host.harness_commit,
                }
            ),
        )
    run_folder.write_json(folder.root / "host.json", codec.encode(host))


def kitchen(offered: Sequence[Offer], options: Options, folder: RunFolder) -> Kitchen:
    """What every flow needs; references come from the first environment that can make them."""
    reference = next((o for o in offered if o.backend.reference and not o.missing), None)
    return Kitchen(
        run=folder,
        options=options,
        own=Environment("wrapper", sys.executable),
        reference=(reference.backend, reference.place.environment) if reference else None,
        devices=tuple(f"{g.name} {g.driver}" for g in devices.gpus()),
    )


def record_of(p: Progress, run_id: str, log_tail: tuple[str, ...] = ()) -> Record:
    """The record of a cell that has ended."""
    return Record(
        cell=p.cell, outcome=p.outcome, launches=tuple(p.launches), run_id=run_id,
        wall_s=sum(x.ending.wall_s for x in p.launches), log_tail=log_tail,
        finished_at=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    )  # fmt: skip


def complete(
    planned: Sequence[Planned], records: Mapping[str, Record], run_id: str, why: str
) -> tuple[Record, ...]:
    """A record for every planned cell, in plan order; those that never ended say so."""
    return tuple(
        records.get(p.cell.id) or Record(p.cell, NotRun(why), run_id=run_id) for p in planned
    )


def status(records: Sequence[Record], options: Options, unable: Collection[str] = ()) -> int:
    """The exit status of a run that reached its end; `unable` are ids of cells that planning had to skip.

    A target could not run at all where each of its cells is one of those, or found no environment; a model
    that is broken, banned, or whose inputs cannot be fed says nothing of the target. Where each
    cell is of that last kind, nothing was measurable.
    """
    named = wanted_names(options)
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
