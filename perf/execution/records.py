"""Records of the cells of a run: of each one that ended, and of those that never did."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from perf.planning.launch import CellState
from perf.planning.targets import Planned
from perf.request.programs import command_of
from perf.schema.cause import name_late_cause
from perf.schema.record import LaunchKind, Mismatched, NotRun, Outcome, Passed, Record


def make_record(state: CellState, run_id: str, log_tail: tuple[str, ...] = ()) -> Record:
    """The record of a cell that has ended."""
    return Record(
        cell=state.cell, outcome=_with_cause(state), launches=tuple(state.launches), run_id=run_id,
        wall_s=sum(x.ending.wall_s for x in state.launches), log_tail=log_tail,
        finished_at=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    )  # fmt: skip


def _with_cause(state: CellState) -> Outcome:
    """The outcome; a mismatch whose cause nobody looked for ends in what is known of it all the same."""
    outcome = state.outcome
    if not isinstance(outcome, Mismatched) or outcome.cause:
        return outcome
    checks = [x for x in state.launches if x.kind is LaunchKind.CHECK]
    right = any(isinstance(x.outcome, Passed) for x in checks)
    command = f"{command_of('perf.cli.diagnose')} {state.cell.id}"
    return replace(outcome, cause=name_late_cause(right_at_first=right, command=command))


def records_for_all_cells(
    planned: Sequence[Planned], records: Mapping[str, Record], run_id: str, why: str
) -> tuple[Record, ...]:
    """A record for every planned cell, in plan order; those that never ended say so."""
    return tuple(
        records.get(p.cell.id) or Record(p.cell, NotRun(why), run_id=run_id) for p in planned
    )
