"""An index over the runs of a results folder, in SQLite: made from them, and again where it is damaged."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perf.request.bad_request import BadRequestError
from perf.results import run_names
from perf.results.cell_row import CellRow
from perf.results.run_folder import read_json
from perf.results.tables import TableError, read_cells
from perf.schema import outcomes
from perf.schema.version import NewerSchemaError

INDEX = "history.sqlite"
LAYOUT = 4  # another one is made anew
MEANS = (
    "mean"  # what run.json says, as `figure`, of a run that tells no medians: the predecessor's
)
WAIT_S = 30.0  # for another process that writes the index
TABLES = """
CREATE TABLE runs (
  run_id TEXT PRIMARY KEY, written_ns INTEGER, label TEXT, host TEXT, machine TEXT, facts TEXT,
  planned INTEGER, passed INTEGER, failed INTEGER, other INTEGER, stamp TEXT, problem TEXT);
CREATE TABLE cells (
  run_id TEXT, cell TEXT, model TEXT, target TEXT, status TEXT, outcome TEXT, p50_ms REAL,
  half_range_ms REAL, versions TEXT, digest TEXT, wall_s REAL, PRIMARY KEY (run_id, cell));
CREATE INDEX cells_by_cell ON cells (cell);
"""


@dataclass(frozen=True)
class IndexedRun:
    """One run, as far as its description and its tables tell it."""

    run_id: str
    written_ns: int  # when run.json was: the order of runs
    label: str
    host: str
    machine: str  # what must be equal for figures to be compared
    facts: Mapping[str, str]  # kernel, drivers, commit: what may explain a step
    planned: int
    passed: int
    failed: int
    other: int
    problem: str  # why its cells are not known


@dataclass(frozen=True)
class IndexedCell:
    """One cell of one run."""

    run_id: str
    cell: str
    model: str
    target: str
    status: str
    outcome: str
    p50_ms: float | None
    half_range_ms: float | None
    versions: Mapping[str, str]
    digest: str


class HistoryIndex:
    """What is asked of the index; `open_index` makes one that is up to date."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def runs(self) -> tuple[IndexedRun, ...]:
        """Every run, newest first."""
        rows = self._connection.execute(
            "SELECT run_id, written_ns, label, host, machine, facts, planned, passed, failed, other, problem "
            "FROM runs ORDER BY written_ns DESC, run_id DESC"
        )
        return tuple(IndexedRun(**{**dict(r), "facts": json.loads(r["facts"])}) for r in rows)

    def times(self) -> dict[str, float]:
        """Seconds that each cell took in the newest run that measured it."""
        rows = self._connection.execute(
            "SELECT cell, wall_s FROM cells JOIN runs USING (run_id) WHERE wall_s > 0 ORDER BY written_ns"
        )
        return {cell.partition(" ")[0]: wall_s for cell, wall_s in rows}  # of whichever shape

    def cells(self, cell: str = "") -> tuple[IndexedCell, ...]:
        """Every cell of every run, or one cell's history: oldest first."""
        where = "WHERE cells.cell = ?" if cell else ""
        rows = self._connection.execute(
            "SELECT cells.run_id AS run_id, cell, model, target, status, outcome, p50_ms, half_range_ms, "
            f"versions, digest FROM cells JOIN runs USING (run_id) {where} "
            "ORDER BY written_ns, cells.run_id, cell",
            (_storable(cell),) if cell else (),
        )
        return tuple(
            IndexedCell(**{**dict(r), "versions": json.loads(r["versions"])}) for r in rows
        )


@contextmanager
def open_index(results: Path) -> Iterator[HistoryIndex]:
    """The index of a results folder, brought up to date with its runs; raises BadRequestError.

    Where the folder cannot be written it lies in memory.
    """
    if not results.is_dir():
        raise BadRequestError(f"{results}: no folder of results; --results names it")
    path = results / INDEX
    try:
        connection = _connect(path)
        _refresh(connection, results)
    except sqlite3.OperationalError as e:
        if "locked" in str(e):
            raise BadRequestError(
                f"{path}: another process has written it for {WAIT_S:g} s"
            ) from e
        connection = _connect(None)
        _refresh(connection, results)
    except sqlite3.DatabaseError:  # damaged: nothing is lost, for the runs are there
        for suffix in ("", "-wal", "-shm"):
            path.with_name(INDEX + suffix).unlink(missing_ok=True)
        connection = _connect(path)
        _refresh(connection, results)
    with closing(connection):
        yield HistoryIndex(connection)


def _connect(path: Path | None) -> sqlite3.Connection:
    connection = sqlite3.connect(path or ":memory:", timeout=WAIT_S, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("BEGIN IMMEDIATE")
    (layout,) = connection.execute("PRAGMA user_version").fetchone()
    if layout != LAYOUT:
        for name in ("cells", "runs"):
            connection.execute(f"DROP TABLE IF EXISTS {name}")
        for statement in TABLES.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={LAYOUT}")
    connection.execute("COMMIT")
    return connection


def _refresh(connection: sqlite3.Connection, results: Path) -> None:
    """Take in what has changed below the results folder, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    known = dict(connection.execute("SELECT run_id, stamp FROM runs"))
    there = {folder.name: folder for folder in run_names.list_runs(results)}
    for run_id in known.keys() - there.keys():
        _forget(connection, run_id)
    for run_id, folder in there.items():
        stamp = _stamp(folder)
        if known.get(run_id) != stamp:
            _forget(connection, run_id)
            _take_in(connection, folder, stamp)
    connection.execute("COMMIT")


def _forget(connection: sqlite3.Connection, run_id: str) -> None:
    for table in ("runs", "cells"):
        connection.execute(f"DELETE FROM {table} WHERE run_id = ?", (run_id,))


def _take_in(connection: sqlite3.Connection, folder: Path, stamp: str) -> None:
    rows, problem = _read_rows(folder)
    told, host = _read(folder / run_names.RUN_MARK), _read(folder / "host.json")
    count = Counter(
        {r.cell: r.status for r in rows}.values()
    )  # a cell's rows have its one outcome
    planned = told.get("cells")
    facts = {"commit": host.get("harness_commit"), "kernel": host.get("kernel"),
             "driver": ", ".join(_of_gpus(host, "driver"))}  # fmt: skip
    connection.execute(
        "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            folder.name, (folder / run_names.RUN_MARK).stat().st_mtime_ns,
            _storable(str(told.get("label") or "")),
            _storable(str(host.get("hostname") or "")),
            _storable(str(told.get("machine") or "") or _name_machine(host)),
            json.dumps({k: str(v) for k, v in facts.items() if v}),
            len(planned) if isinstance(planned, list) else len(rows),
            count[outcomes.PASS], count[outcomes.FAIL], count[outcomes.SKIPPED] + count[outcomes.NOT_RUN],
            stamp, _storable(problem),
        ),
    )  # fmt: skip
    shapes = Counter(r.cell for r in rows)
    means = told.get("figure") == MEANS
    connection.executemany(
        "INSERT OR REPLACE INTO cells VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (folder.name, _storable(_name_row(r, shared=shapes[r.cell] > 1, means=means)), _storable(r.model),
             _storable(r.target), r.status, _storable(r.outcome), r.mean_ms if means else r.p50_ms,
             r.launch_half_range_ms, json.dumps(dict(r.versions)), _storable(r.digest), r.wall_s)
            for r in rows
        ],
    )  # fmt: skip


def _storable(text: str) -> str:
    """Text as SQLite takes it: what no UTF-8 can say is escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _name_row(row: CellRow, *, shared: bool, means: bool) -> str:
    """What a row's history goes by: shapes of one cell, and means, which are no medians, are apart."""
    shape = [f"{k}={v}" for k, v in row.input_shapes.items()] if shared else []
    return " ".join([row.cell, *shape, *([MEANS] if means else [])])


def _read_rows(folder: Path) -> tuple[Sequence[CellRow], str]:
    """A run's cells, and why they are not known."""
    try:
        return read_cells(folder / "cells.jsonl"), ""
    except FileNotFoundError:
        return (), "not finished, or its tables were not written"
    except (TableError, OSError) as e:
        return (), str(e)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        told = read_json(path)
    except (NewerSchemaError, OSError):
        return {}
    return told if isinstance(told, dict) else {}


def _name_machine(host: Mapping[str, Any]) -> str:
    parts = (host.get("hostname"), host.get("cpu"), *_of_gpus(host, "name"))
    return ", ".join(str(p) for p in parts if p)


def _of_gpus(host: Mapping[str, Any], field: str) -> list[str]:
    gpus = host.get("gpus")
    found = [g.get(field) for g in gpus if isinstance(g, dict)] if isinstance(gpus, list) else []
    return sorted({str(v) for v in found if v})


def _stamp(folder: Path) -> str:
    """What changes when a run's description or tables do."""
    out = []
    for name in (run_names.RUN_MARK, "cells.jsonl", "host.json"):
        try:
            told = (folder / name).stat()
        except OSError:
            out.append("none")
        else:
            out.append(f"{told.st_mtime_ns}/{told.st_size}")
    return " ".join(out)
