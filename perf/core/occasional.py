"""The tables that only some runs have: gaps that can be split, engines that were built again."""

from collections.abc import Sequence

from perf.core import builds, gap
from perf.core.builds import BuildsRow
from perf.core.gap import GapRow
from perf.core.record import Record
from perf.core.rows import header_of
from perf.core.views import Table, values


def tables(records: Sequence[Record]) -> tuple[Table, ...]:
    """gap and builds, each where it has rows."""
    kinds: tuple[tuple[str, type, Sequence[object]], ...] = (
        ("gap", GapRow, gap.table(records)),
        ("builds", BuildsRow, builds.table(records)),
    )
    return tuple(
        Table(name, header_of(row), tuple(values(r) for r in rows))
        for name, row, rows in kinds
        if rows
    )
