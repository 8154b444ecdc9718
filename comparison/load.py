"""Finds and reads PREV and CURRENT: run folder, run id, latest, latest~1, our tables or the predecessor's."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from comparison.cell_summary import Side
from comparison.cells_table import read_cells_table
from comparison.legacy_csv import read_rows, read_tables, recognised
from comparison.run_records import UnreadableError, read_run
from perf.request.programs import command_of

RUN_MARK = "run.json"


@dataclass(frozen=True)
class Source:
    """Where a side is, before it is read."""

    path: Path
    is_run: bool


def read_side(spec: str, results: Path) -> Side:
    """Read one side; raises UnreadableError with one line: what, where, what to do next."""
    found = find_source(spec, results)
    if found.is_run:
        return read_run(found.path)
    if found.path.is_dir():
        tables = [p for p in sorted(found.path.glob("*.csv")) if recognised(p)]
        if not tables:
            raise UnreadableError(
                f"{found.path}: neither a run folder (no cells/) nor a folder of known tables"
            )
        return read_tables(tables, found.path.name)
    if found.path.suffix == ".jsonl" or {"cell", "digest"} <= set(_columns(found.path)):
        return read_cells_table(found.path)
    return read_tables([found.path], found.path.name)


def find_source(spec: str, results: Path) -> Source:
    """The path that a spec means; a path that exists wins over a run id of the same name."""
    if match := re.fullmatch(r"latest(?:~(\d+))?", spec):
        return Source(_latest(int(match[1] or 0), results), True)
    for path in (Path(spec), results / spec):
        if path.is_dir():
            return Source(path, (path / "cells").is_dir() or (path / RUN_MARK).is_file())
        if path.is_file():
            return Source(path, False)
    raise UnreadableError(
        f"{spec}: no such file, folder or run id below {results}/; known runs: "
        f"{', '.join(p.name for p in runs(results)[:5]) or 'none'}"
    )


def runs(results: Path) -> list[Path]:
    """Run folders, newest first, by when run.json was written; ties by name."""
    found = [p.parent for p in results.glob(f"*/{RUN_MARK}") if not p.parent.is_symlink()]
    found.sort(key=lambda p: ((p / RUN_MARK).stat().st_mtime_ns, p.name), reverse=True)
    linked = (results / "latest").resolve()
    return sorted(found, key=lambda p: p.resolve() != linked)  # stable: the linked one comes first


def ab_labels(folder: Path) -> tuple[str, str] | None:
    """The two targets of an A/B run, from run.json; None where the run was none."""
    try:
        told = json.loads((folder / RUN_MARK).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as e:
        raise UnreadableError(f"{folder / RUN_MARK}: {e}") from e
    labels = told.get("ab") if isinstance(told, dict) else None
    if not isinstance(labels, list) or len(labels) != 2:
        return None
    return str(labels[0]), str(labels[1])


def _latest(back: int, results: Path) -> Path:
    found = runs(results)
    if back >= len(found):
        raise UnreadableError(
            f"latest{f'~{back}' if back else ''}: {results}/ holds {len(found)} runs; "
            f"run {command_of('perf.cli.benchmark_wrapper')} {'again' if found else 'first'}, "
            "or give --results FOLDER"
        )
    return found[back]


def _columns(path: Path) -> list[str]:
    rows = read_rows(path)
    return list(rows[0]) if rows else []
