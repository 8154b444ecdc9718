"""What a run leaves beside its launches: its description, a record for every planned cell, an exit status."""

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from perf.core import codec, run_folder
from perf.core.cell import Environment
from perf.core.options import Options
from perf.core.record import NotRun, Passed, Record
from perf.core.run_folder import RunFolder
from perf.core.system import SystemInfo
from perf.planning.flow import Kitchen, Progress
from perf.planning.plan import Planned
from perf.planning.request import wanted_names
from perf.planning.resume import stored
from perf.planning.targets import Offer

OK, SOMETHING_WRONG, BAD_REQUEST, INCOMPLETE = 0, 1, 2, 3


def describe(
    folder: RunFolder, options: Options, command: Sequence[str], host: SystemInfo
) -> None:
    """Write run.json once, and host.json as it is now."""
    path = folder.root / "run.json"
    if not path.exists():
        run_folder.write_json(
            path,
            {
                "run_id": folder.run_id,
                "label": options.label,
                "command": list(command),
                "options": stored(options),
                "ab": list(options.ab),
                "harness_commit": host.harness_commit,
            },
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


def status(records: Sequence[Record], options: Options) -> int:
    """The exit status of a run that reached its end."""
    named = wanted_names(options)
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
