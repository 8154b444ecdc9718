"""One run from plan to tables: its folder owned, its cells run, its results written whatever happens."""

import sys
from collections.abc import Sequence
from pathlib import Path

from perf.core import codec, run_folder, system, tables
from perf.core import options as command_line
from perf.core.cell import Environment
from perf.core.leases import Lease
from perf.core.options import Options
from perf.core.record import Passed, Record
from perf.core.run_folder import RunFolder
from perf.core.system import SystemInfo
from perf.planning import devices
from perf.planning.bans import Bans
from perf.planning.flow import Kitchen
from perf.planning.plan import Planned
from perf.planning.resume import stored
from perf.planning.targets import Offer
from perf.report.screen import Screen
from perf.wrapper import place, schedule
from perf.wrapper.launching import Launcher
from perf.wrapper.schedule import Run
from perf.wrapper.supervise import Interrupted, Supervisor

OK, SOMETHING_WRONG, BAD_REQUEST, INCOMPLETE = 0, 1, 2, 3


def run(
    planned: Sequence[Planned],
    offered: Sequence[Offer],
    options: Options,
    results: Path,
    words: Sequence[str],
) -> int:
    """Run a plan; returns the exit status."""
    folder = RunFolder(results, options.run_id or run_folder.new_run_id())
    gpus = devices.gpus()
    used = {p.cell.environment.name: p.cell.environment for p in planned}
    host = system.gather(tuple(used.values()), gpus)
    with run_folder.owned(folder, fresh=not options.resume):
        try:
            _describe(folder, options, words, host)
            return _owned(planned, offered, options, folder, host)
        except OSError as e:
            where = e.filename or folder.root
            print(
                f"error: {where}: {e.strerror}; what had finished is kept: make room, then "
                f"`--resume {folder.run_id}`",
                file=sys.stderr,
            )
            return INCOMPLETE


def _owned(
    planned: Sequence[Planned],
    offered: Sequence[Offer],
    options: Options,
    folder: RunFolder,
    host: SystemInfo,
) -> int:
    screen = Screen(options, len(planned))
    why, signal = "the run ended before it", 0
    with Supervisor() as supervisor, _quiet(options, folder):
        launcher = Launcher(supervisor, options, devices.gpus(), host.boot_id)
        doing = Run(
            kitchen=_kitchen(offered, options, folder),
            launcher=launcher,
            bans=Bans(folder.results, folder.run_id),
            jobs=options.jobs or command_line.default_jobs(),
            finished=screen.ended,
        )
        try:
            doing.go(planned)
        except Interrupted as e:
            signal = int(e.args[0])
            why = "interrupted"
    records = schedule.complete(planned, doing.records, folder.run_id, why)
    written = tables.write_all(
        records, host, folder.root, folder.results, folder.run_id, label=options.label
    )
    screen.end(records, host, folder, written)
    return 128 + signal if signal else _status(records, options)


def _status(records: Sequence[Record], options: Options) -> int:
    named = place.wanted_names(options)
    by_target: dict[str, bool] = {}
    for r in records:
        ran = bool(r.launches)
        by_target[r.cell.target.label] = by_target.get(r.cell.target.label, False) or ran
    if not any(by_target.values()):
        return SOMETHING_WRONG if named else INCOMPLETE
    if named and not all(by_target.values()):
        return SOMETHING_WRONG
    if options.strict and not all(isinstance(r.outcome, Passed) for r in records):
        return SOMETHING_WRONG
    return OK


def _quiet(options: Options, folder: RunFolder) -> Lease:
    """The machine's quiet, while anything is timed; waits for a run that holds it."""
    return Lease.measuring(folder.run_id, wait_s=24 * 3600.0)


def _kitchen(offered: Sequence[Offer], options: Options, folder: RunFolder) -> Kitchen:
    reference = next((o for o in offered if o.backend.reference and not o.missing), None)
    return Kitchen(
        run=folder,
        options=options,
        own=Environment("wrapper", sys.executable),
        reference=(reference.backend, reference.place.environment) if reference else None,
    )


def _describe(folder: RunFolder, options: Options, words: Sequence[str], host: SystemInfo) -> None:
    """Write run.json once, and host.json as it is now."""
    path = folder.root / "run.json"
    if not path.exists():
        run_folder.write_json(
            path,
            {
                "run_id": folder.run_id,
                "label": options.label,
                "command": ["benchmark_wrapper.py", *words],
                "options": stored(options),
                "ab": list(options.ab),
                "harness_commit": host.harness_commit,
            },
        )
    run_folder.write_json(folder.root / "host.json", codec.encode(host))
