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
from perf.results import tables, views
from perf.results.build_spread import BuildsRow
from perf.results.columns import CellRow, SystemRow, column_names
from perf.results.trt_gap import GapRow
from perf.results.views import Grid, Pair, Table
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
class Told:
    """What there is to tell of some models, besides their rows."""

    texts: dict[str, str] = field(default_factory=dict)  # a table's rows, without its header
    outcomes: Counter[str] = field(default_factory=Counter)
    missing: list[tuple[str, str]] = field(default_factory=list)  # model, cell
    unreadable: list[str] = field(default_factory=list)


def write_tables(merged: MergedFolder, hosts: Sequence[SystemInfo]) -> Told:
    """Write every table of a merged run, each whole or not at all; raises OSError."""
    models = merged.whole.models
    parts = [(merged, models[i : i + MODELS_A_PART]) for i in range(0, len(models), MODELS_A_PART)]
    all_told = Told()
    with contextlib.ExitStack() as drafts:
        files = _Drafts(merged, drafts)
        for part in (*work_in_parts(_of_models, parts), _of_host_canaries(merged)):
            for name, text in part.texts.items():
                files.write(name, text)
            all_told.outcomes += part.outcomes
            all_told.missing += part.missing
            all_told.unreadable += part.unreadable
        files.write("system_info", _rows_of(system_table(hosts)))
        files.flush()
    return all_told


def system_table(hosts: Sequence[SystemInfo]) -> Table:
    """Facts that all hosts share as they are, and others a row per host, named by it."""
    told = [(h.hostname, dict(list_specs(h))) for h in hosts]
    rows: list[tuple[str, ...]] = []
    for spec in dict.fromkeys(s for _, facts in told for s in facts):
        values = [facts.get(spec) for _, facts in told]
        if all(v == values[0] for v in values):
            rows.append((spec, values[0] or ""))
        else:
            rows += [(f"{host}: {spec}", f[spec]) for host, f in told if spec in f]
    return Table("system_info", column_names(SystemRow), tuple(rows))


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
            if name in OCCASIONAL:
                file.write(tables.to_csv(OCCASIONAL[name], ()))
        self._open[name][0].write(text)

    def flush(self) -> None:
        for file, path in self._open.values():
            file.close()
            flush_to_disk(path)

    def _path(self, name: str) -> Path:
        if name == "cells.jsonl":
            return self._merged.root / name
        if name == "cells" or name in OCCASIONAL:
            return self._merged.root / f"{name}.csv"
        return self._merged.results / f"benchmark_{name}_{self._merged.run_id}.csv"


OCCASIONAL = {
    "gap": column_names(GapRow),
    "builds": column_names(BuildsRow),
}  # where there is anything to tell


def _empty_tables(merged: MergedFolder) -> tuple[Table, ...]:
    empty = Grid((), merged.columns, {})
    return (
        views.fail_table(()), views.success_table(()), views.latency_table(empty), views.metrics_table(()),
        views.status_table(empty), views.session_table(empty), system_table(()),
    )  # fmt: skip


def _of_models(part: tuple[MergedFolder, Sequence[str]]) -> Told:
    """The rows of some models in every table."""
    merged, models = part
    told, texts = Told(), defaultdict(list)
    for model in models:
        pairs = list(_pairs(merged, model, told))
        told.outcomes.update(row.outcome for _, row in pairs)
        for table in _tables_of(merged, model, pairs):
            texts[table.name].append(_rows_of(table))
        texts["cells.jsonl"] += [tables.to_json(row) + "\n" for _, row in pairs]
    told.texts = {name: "".join(found) for name, found in texts.items()}
    return told


def _of_host_canaries(merged: MergedFolder) -> Told:
    """Rows of the hosts' canaries, which are in the long table alone: they are no part of the plan."""
    told = Told()
    found = list(_read(merged, HOST_CANARY, told))
    rows = [row for _, row in _with_rows(merged, found)]
    told.texts["cells"] = _rows_of(_cells_table(rows))
    told.texts["cells.jsonl"] = "".join(tables.to_json(row) + "\n" for row in rows)
    return told


def _tables_of(merged: MergedFolder, model: str, pairs: Sequence[Pair]) -> Iterator[Table]:
    at: dict[tuple[str, str], Pair] = {}
    for pair in pairs:
        name = _column_of(pair[1])
        nth = next(i for i in range(len(pairs)) if (model, _nth(name, i)) not in at)
        at[model, _nth(name, nth)] = pair
    grid = Grid((model,), merged.columns, at)
    yield from (
        views.fail_table(pairs), views.success_table(pairs), views.latency_table(grid),
        views.metrics_table(pairs), views.status_table(grid), views.session_table(grid),
    )  # fmt: skip
    yield from tables.occasional_tables([found for found, _ in pairs])
    yield _cells_table([row for _, row in pairs])


def _pairs(merged: MergedFolder, model: str, told: Told) -> Iterator[Pair]:
    """A model's records in plan order, replicas side by side, and what is missing in its place."""
    by_id: dict[str, list[Pair]] = defaultdict(list)
    for pair in _with_rows(merged, list(_read(merged, model, told))):
        by_id[pair[0].cell.id].append(pair)
    fate = merged.fates.get(model, Fate.NOT_RETURNED)
    for cell_id, column in planned_columns(merged.whole, model).items():
        same = by_id.pop(cell_id, [])
        if not same:
            told.missing.append((model, cell_id))
            lost = missing_record(cell_id, model, column, fate, merged.run_id)
            same = [(lost, missing_row(lost, merged.label))]
        elif len(same) > 1:
            same = [(r, replace(row, marks=(*row.marks, REPLICATED))) for r, row in same]
        yield from same


def _with_rows(merged: MergedFolder, found: Sequence[tuple[Leaf, Record]]) -> Iterator[Pair]:
    """Rows of one model's records; a gain is over what the same host measured."""
    by_host: dict[frozenset[str], list[tuple[Leaf, Record]]] = defaultdict(list)
    for leaf, told in found:
        by_host[frozenset(x.host for x in told.launches)].append((leaf, told))
    for hosts, same in by_host.items():
        mark = (FLAGGED,) if hosts & merged.flagged.keys() else ()
        rows = tables.cell_rows([r for _, r in same], run_id=merged.run_id, label=merged.label)
        for (leaf, told), row in zip(same, rows, strict=True):
            log = log_column(told, leaf.path, merged.run_id)
            yield told, replace(row, log=log, marks=(*row.marks, *mark))


def _read(merged: MergedFolder, model: str, told: Told) -> Iterator[tuple[Leaf, Record]]:
    for leaf in leaves_of(merged.root, safe_name(model)):
        try:
            yield leaf, record.read_record(leaf.path / "record.json")
        except (OSError, ValueError) as e:
            told.unreadable.append(f"{leaf.path / 'record.json'}: {e}")


def _cells_table(rows: Sequence[CellRow]) -> Table:
    return Table("cells", column_names(CellRow), tuple(views.row_values(r) for r in rows))


def _rows_of(table: Table) -> str:
    """A table as text, without its header."""
    return tables.to_csv(table.header, table.rows)[len(tables.to_csv(table.header, ())) :]


def _column_of(row: CellRow) -> str:
    return row.target + (f"[{row.variant}]" if row.variant else "")


def _nth(column: str, number: int) -> str:
    return f"{column} (replica {number + 1})" if number else column


def outcomes_line(told: Told) -> str:
    """How many cells came to what."""
    counts = ", ".join(f"{n} {name}" for name, n in sorted(told.outcomes.items()))
    total = sum(told.outcomes.values())
    return f"{total} record{'' if total == 1 else 's'}: {counts or 'none'}"
