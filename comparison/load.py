"""Finds and reads PREV and CURRENT: run folder, run id, latest, latest~1, our tables or the predecessor's."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from comparison.cell_summary import RunSummary, UnreadableError
from comparison.legacy_csv import is_known_table, read_rows, read_tables
from comparison.run_records import read_cells_table, read_run
from perf.request.programs import command_of
from perf.schema import strict_json
from perf.schema.untrusted_file import read_whole

RUN_MARK = "run.json"
DESCRIPTION_LIMIT = 16 << 20  # bytes


def read_source(spec: str, results: Path) -> RunSummary:
    """Read one of the two runs; raises UnreadableError with one line: what, where, what to do next."""
    path = find_source(spec, results)
    if is_run(path):
        return read_run(path)
    if path.is_dir():
        tables = [p for p in sorted(path.glob("*.csv")) if is_known_table(p)]
        if not tables:
            raise UnreadableError(
                f"{path}: neither a run folder (no cells/) nor a folder of known tables"
            )
        return read_tables(tables, path.name)
    if path.suffix == ".jsonl" or any(
        {"cell", "digest"} <= row.keys() for row in read_rows(path)[:1]
    ):
        return read_cells_table(path)
    return read_tables([path], path.name)


def find_source(spec: str, results: Path) -> Path:
    """The path that a spec means; a path that exists wins over a run id of the same name."""
    if match := re.fullmatch(r"latest(?:~(\d+))?", spec):
        return _find_latest(int(match[1] or 0), results)
    for path in (Path(spec), results / spec):
        if path.is_dir() or path.is_file():
            return path
    raise UnreadableError(
        f"{spec}: no such file, folder or run id below {results}/; known runs: "
        f"{', '.join(p.name for p in list_runs(results)[:5]) or 'none'}"
    )


def is_run(path: Path) -> bool:
    """Whether a path is a run's folder."""
    return (path / "cells").is_dir() or (path / RUN_MARK).is_file()


def list_runs(results: Path) -> list[Path]:
    """Run folders, newest first, by when run.json was written; ties by name."""
    found = [p.parent for p in results.glob(f"*/{RUN_MARK}") if not p.parent.is_symlink()]
    found.sort(key=lambda p: ((p / RUN_MARK).stat().st_mtime_ns, p.name), reverse=True)
    linked = (results / "latest").resolve()
    return sorted(found, key=lambda p: p.resolve() != linked)  # stable: the linked one comes first


def read_description(folder: Path) -> Mapping[str, Any]:
    """A run's run.json; raises UnreadableError."""
    try:
        description = strict_json.parse(read_whole(folder / RUN_MARK, DESCRIPTION_LIMIT))
    except (OSError, ValueError) as e:
        raise UnreadableError(f"{folder / RUN_MARK}: {e}") from e
    return description if isinstance(description, dict) else {}


def read_ab_labels(folder: Path) -> tuple[str, str] | None:
    """The two targets of an A/B run; None where the run was none."""
    match read_description(folder).get("ab"):
        case [a, b]:
            return str(a), str(b)
        case _:
            return None


def _find_latest(back: int, results: Path) -> Path:
    found = list_runs(results)
    if back >= len(found):
        raise UnreadableError(
            f"latest{f'~{back}' if back else ''}: {results}/ holds {len(found)} runs; "
            f"run {command_of('perf.cli.benchmark_wrapper')} {'again' if found else 'first'}, "
            "or give --results FOLDER"
        )
    return found[back]
