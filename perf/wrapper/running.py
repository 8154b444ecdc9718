"""One run from plan to tables: its folder owned, its cells run, its results written whatever happens."""

import sys
from collections.abc import Sequence
from pathlib import Path

from perf.core import options as command_line
from perf.core import run_folder, system, tables
from perf.core.leases import Lease
from perf.core.options import Options
from perf.core.run_folder import RunFolder
from perf.core.system import SystemInfo
from perf.planning import closing, devices
from perf.planning.bans import Bans
from perf.planning.plan import Planned
from perf.planning.targets import Offer
from perf.report.screen import Screen
from perf.wrapper.launching import Launcher
from perf.wrapper.schedule import Run
from perf.wrapper.supervise import Interrupted, Supervisor


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
            closing.describe(folder, options, ["benchmark_wrapper.py", *words], host)
            return _owned(planned, offered, options, folder, host)
        except OSError as e:
            where = e.filename or folder.root
            print(
                f"error: {where}: {e.strerror}; what had finished is kept: make room, then "
                f"`--resume {folder.run_id}`",
                file=sys.stderr,
            )
            return closing.INCOMPLETE


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
            kitchen=closing.kitchen(offered, options, folder),
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
    records = closing.complete(planned, doing.records, folder.run_id, why)
    written = tables.write_all(
        records, host, folder.root, folder.results, folder.run_id, label=options.label
    )
    screen.end(records, host, folder, written)
    return 128 + signal if signal else closing.status(records, options)


def _quiet(options: Options, folder: RunFolder) -> Lease:
    """The machine's quiet, while anything is timed; waits for a run that holds it."""
    return Lease.measuring(folder.run_id, wait_s=24 * 3600.0)
