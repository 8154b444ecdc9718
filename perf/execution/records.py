"""Records of the cells of a run: of each one that ended, and of those that never did."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from perf.planning.launch import CellState
from perf.planning.targets import Planned
from perf.schema.record import NotRun, Record


def make_record(state: CellState, run_id: str, log_tail: tuple[str, ...] = ()) -> Record:
    """The record of a cell that has ended."""
    return Record(
        cell=state.cell, outcome=state.outcome, launches=tuple(state.launches), run_id=run_id,
        wall_s=sum(x.ending.wall_s for x in state.launches), log_tail=log_tail,
        finished_at=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    )  # fmt: skip


def records_for_all_cells(
    planned: Sequence[Planned], records: Mapping[str, Record], run_id: str, why: str
) -> tuple[Record, ...]:
    """A record for every planned cell, in plan order; those that never ended say so."""
    return tuple(
        records.get(p.cell.id) or Record(p.cell, NotRun(why), run_id=run_id) for p in planned
    )
