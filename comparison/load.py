"""Finds and reads PREV and CURRENT: run folder, run id, latest, latest~1, our tables or the predecessor's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from comparison.cell_summary import RunSummary, UnreadableError
from comparison.legacy_csv import is_known_table, read_header, read_tables
from comparison.run_records import read_cells_table, read_run
from perf.results.run_names import RUN_MARK, find_run, is_run
from perf.schema import strict_json
from perf.schema.untrusted_file import read_whole

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
    if path.suffix == ".jsonl" or {"cell", "digest"} <= set(read_header(path)):
        return read_cells_table(path)
    return read_tables([path], path.name)


def find_source(spec: str, results: Path) -> Path:
    """The path that a spec means: a run by any of its names, a table, or a folder of tables.

    Raises BadRequestError where it means none.
    """
    if spec.partition("~")[0] != "latest":
        for path in (Path(spec), results / spec):
            if path.exists() and not is_run(path):
                return path
    return find_run(results, spec).root


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
