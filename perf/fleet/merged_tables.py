"""The tables of a merged run, written model by model, so that ten thousand of them fit into little memory."""

import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

from perf.fleet.in_parts import work_in_parts
from perf.fleet.layout import Leaf, leaves_of, log_column
from perf.fleet.missing_cells import missing_record, missing_row
from perf.machine.system import SystemInfo, list_specs
from perf.planning.plan import HOST_CANARY
from perf.planning.plan_identity import planned_columns
from perf.results import tables
from perf.results.cell_row import CellResult, CellRow
from perf.results.columns import column_names, row_values
from perf.results.legacy_tables import Grid, SystemRow, Table, make_table, tables_of_cells
from perf.schema import record
from perf.schema.atomic_file import draft_of, flush_to_disk
from perf.schema.cell import safe_name
from perf.schema.merged_run import Fate
from perf.schema.record import Record
from perf.schema.whole_plan import WholePlan

MODELS_A_PART = 40
FLAGGED = "host flagged"
REPLICATED = "replica"


@dataclass(frozen=True)
class MergedFolder:
    """A merged run whose records are in place, and what of it goes into its rows."""

    results: Path
    run_id: str
    label: str
    whole: WholePlan
    fates: Mapping[str, Fate]
    flagged: Mapping[str, str]  # by host's key
    replicas: (
        int  # records beyond the first that any cell has: so many columns more in the wide tables
    )

    @property
    def root(self) -> Path:
        """result/<run id>."""
        return self.results / self.run_id

    @property
    def columns(self) -> tuple[str, ...]:
        """The wide tables' columns: the plan's, and for replicas others behind them."""
        names = [c.name for c in self.whole.columns]
        return tuple(_nth(n, i) for i in range(self.replicas + 1) for n in names)


@dataclass
class MergeSummary:
    """What there is to tell of some models, besides their rows."""

    texts: dict[str, str] = field(default_factory=dict)  # a table's rows, without its header
    outcomes: Counter[str] = field(default_factory=Counter)
    missing: list[tuple[str, str]] = field(default_factory=list)  # model, cell
    unreadable: list[str] = field(default_factory=list)


def write_tables(merged: MergedFolder, hosts: Sequence[SystemInfo]) -> MergeSummary:
    """Write every table of a merged run, each whole or not at all; raises OSError."""
    models = merged.whole.models
    parts = [(merged, models[i : i + MODELS_A_PART]) for i in range(0, len(models), MODELS_A_PART)]
    total = MergeSummary()
    with contextlib.ExitStack() as drafts:
        files = _Drafts(merged, drafts)
        for part in (*work_in_parts(_of_models, parts), _of_host_canaries(merged)):
            for name, text in part.texts.items():
                files.write(name, text)
            total.outcomes += part.outcomes
            total.missing += part.missing
            total.unreadable += part.unreadable
        files.write("system_info", _rows_of(system_table(hosts)))
        files.flush()
    return total


def system_table(hosts: Sequence[SystemInfo]) -> Table:
    """Facts that all hosts share as they are, and others a row per host, named by it."""
    told = [(h.hostname, dict(list_specs(h))) for h in hosts]
    rows: list[tuple[str, str]] = []
    for spec in dict.fromkeys(s for _, facts in told for s in facts):
        values = [facts.get(spec) for _, facts in told]
        if all(v == values[0] for v in values):
            rows.append((spec, values[0] or ""))
        else:
            rows += [(f"{host}: {spec}", f[spec]) for host, f in told if spec in f]
    return make_table("system_info", SystemRow, rows)


class _Drafts:
    """Files that are written aside, and take their places together; one that no row comes for is not made."""

    def __init__(self, merged: MergedFolder, drafts: contextlib.ExitStack) -> None:
        self._merged, self._drafts = merged, drafts
        self._open: dict[str, tuple[TextIO, Path]] = {}
        for table in _empty_tables(merged):
            self.write(table.name, tables.to_csv(table.header, ()))
        self.write("cells", tables.to_csv(column_names(CellRow), ()))
        self.write("cells.jsonl", "")

    def write(self, name: str, text: str) -> None:
        if name not in self._open:
            path = self._drafts.enter_context(draft_of(self._path(name), durable=False))
            file = path.open("w", encoding="utf-8", errors="backslashreplace", newline="")
            self._open[name] = self._drafts.enter_context(file), path
            if name in SOMETIMES_WRITTEN:
                file.write(tables.to_csv(SOMETIMES_WRITTEN[name], ()))
        self._open[name][0].write(text)

    def flush(self) -> None:
        for file, path in self._open.values():
            file.close()
            flush_to_disk(path)

    def _path(self, name: str) -> Path:
        if name == "cells.jsonl":
            return self._merged.root / name
        if name == "cells" or name in SOMETIMES_WRITTEN:
            return self._merged.root / f"{name}.csv"
        return self._merged.results / f"benchmark_{name}_{self._merged.run_id}.csv"


SOMETIMES_WRITTEN = {t.name: t.header for t in tables.occasional_tables(())}


def _empty_tables(merged: MergedFolder) -> tuple[Table, ...]:
    return (*tables_of_cells((), Grid((), merged.columns, {})), system_table(()))


def _of_models(part: tuple[MergedFolder, Sequence[str]]) -> MergeSummary:
    """The rows of some models in every table."""
    merged, models = part
    summary, texts = MergeSummary(), defaultdict(list)
    for model in models:
        cells = list(_cells_of(merged, model, summary))
        summary.outcomes.update(c.row.outcome for c in cells if c.is_first)
        for table in _tables_of(merged, model, cells):
            texts[table.name].append(_rows_of(table))
        texts["cells.jsonl"] += [tables.to_json(c.row) + "\n" for c in cells]
    summary.texts = {name: "".join(found) for name, found in texts.items()}
    return summary


def _of_host_canaries(merged: MergedFolder) -> MergeSummary:
    """Rows of the hosts' canaries, which are in the long table alone: they are no part of the plan."""
    summary = MergeSummary()
    found = list(_read(merged, HOST_CANARY, summary))
    rows = [c.row for c in _with_rows(merged, found)]
    summary.texts["cells"] = _rows_of(_cells_table(rows))
    summary.texts["cells.jsonl"] = "".join(tables.to_json(row) + "\n" for row in rows)
    return summary


def _tables_of(merged: MergedFolder, model: str, cells: Sequence[CellResult]) -> Iterator[Table]:
    at: dict[tuple[str, str], CellResult] = {}
    firsts = [c for c in cells if c.is_first]
    for cell in firsts:
        nth = next(i for i in range(len(firsts)) if (model, _nth(cell.column, i)) not in at)
        at[model, _nth(cell.column, nth)] = cell
    yield from tables_of_cells(firsts, Grid((model,), merged.columns, at))
    yield from (t for t in tables.occasional_tables([c.record for c in firsts]) if t.rows)
    yield _cells_table([c.row for c in cells])


def _cells_of(merged: MergedFolder, model: str, summary: MergeSummary) -> Iterator[CellResult]:
    """A model's records in plan order, replicas side by side, and what is missing in its place."""
    by_id: dict[str, list[CellResult]] = defaultdict(list)
    for found in _with_rows(merged, list(_read(merged, model, summary))):
        by_id[found.record.cell.id].append(found)
    fate = merged.fates.get(model, Fate.NOT_RETURNED)
    for cell_id, column in planned_columns(merged.whole, model).items():
        same = by_id.pop(cell_id, [])
        if not same:
            summary.missing.append((model, cell_id))
            lost = missing_record(cell_id, model, column, fate, merged.run_id)
            same = [CellResult(lost, missing_row(lost, merged.label), None)]
        elif sum(c.is_first for c in same) > 1:
            same = [_add_mark(c, REPLICATED) for c in same]
        yield from same


def _add_mark(cell: CellResult, mark: str) -> CellResult:
    return replace(cell, row=replace(cell.row, marks=(*cell.row.marks, mark)))


def _with_rows(merged: MergedFolder, found: Sequence[tuple[Leaf, Record]]) -> Iterator[CellResult]:
    """Rows of one model's records; a gain is over what the same host measured."""
    by_host: dict[frozenset[str], list[tuple[Leaf, Record]]] = defaultdict(list)
    for leaf, told in found:
        by_host[frozenset(x.host for x in told.launches)].append((leaf, told))
    for hosts, same in by_host.items():
        records = [r for _, r in same]
        cells = tables.tabulate_cells(records, run_id=merged.run_id, label=merged.label)
        places = iter(same)
        log = ""
        for cell in cells:
            if cell.is_first:  # of the rows of a record, a row for each of its shapes
                leaf, told = next(places)
                log = log_column(told, leaf.path, merged.run_id)
            placed = replace(cell, row=replace(cell.row, log=log))
            yield _add_mark(placed, FLAGGED) if hosts & merged.flagged.keys() else placed


def _read(
    merged: MergedFolder, model: str, summary: MergeSummary
) -> Iterator[tuple[Leaf, Record]]:
    for leaf in leaves_of(merged.root, safe_name(model)):
        try:
            yield leaf, record.read_record(leaf.path / "record.json")
        except (OSError, ValueError) as e:
            summary.unreadable.append(f"{leaf.path / 'record.json'}: {e}")


def _cells_table(rows: Sequence[CellRow]) -> Table:
    return Table("cells", column_names(CellRow), tuple(row_values(r) for r in rows))


def _rows_of(table: Table) -> str:
    """A table as text, without its header."""
    return tables.to_csv((), table.rows)


def _nth(column: str, number: int) -> str:
    return f"{column} (replica {number + 1})" if number else column


def outcomes_line(summary: MergeSummary) -> str:
    """How many cells came to what."""
    counts = ", ".join(f"{n} {name}" for name, n in sorted(summary.outcomes.items()))
    total = sum(summary.outcomes.values())
    return f"{total} record{'' if total == 1 else 's'}: {counts or 'none'}"
