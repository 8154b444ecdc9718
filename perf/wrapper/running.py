"""Carries out a whole plan on a supervisor, each launch in a process of its own."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from perf.core import options as command_line
from perf.core.leases import Lease
from perf.core.options import Options
from perf.core.record import Record
from perf.core.run_folder import RunFolder
from perf.core.system import SystemInfo
from perf.planning import closing
from perf.planning.bans import Bans
from perf.planning.plan import Planned
from perf.planning.targets import Offer
from perf.report.screen import Screen
from perf.wrapper.launching import DAY_S, Launcher
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

    def work(
        folder: RunFolder, host: SystemInfo, screen: Screen, records: dict[str, Record]
    ) -> int:
        with Supervisor() as supervisor, contextlib.ExitStack() as held:
            doing = Run(
                kitchen=closing.kitchen(offered, options, folder),
                launcher=Launcher(
                    supervisor, options, host.gpus, host.boot_id, folder.run_id, screen.notice
                ),
                bans=Bans(folder.results, folder.run_id),
                jobs=options.jobs or command_line.default_jobs(),
                finished=screen.ended,
                records=records,
                doing=screen.progress,
            )
            try:
                for lease in _leases(planned, folder.run_id):
                    held.callback(lease.release)
                    lease.acquire(sleep=supervisor.pause, waiting=screen.notice)
                doing.go(planned)
            except Interrupted as e:
                return int(e.args[0])
        return 0

    return closing.conduct(planned, options, results, ["benchmark_wrapper.py", *words], work)


def _leases(planned: Sequence[Planned], run_id: str) -> Sequence[Lease]:
    """A run's devices, then the machine's quiet: in one order in all runs, so that none wait in a ring."""
    if all(p.skip for p in planned):
        return ()  # nothing will be launched
    uuids = sorted({p.cell.gpu for p in planned if p.cell.gpu and not p.skip})
    return (*(Lease.gpu(u, run_id, DAY_S) for u in uuids), Lease.measuring(run_id, DAY_S))
