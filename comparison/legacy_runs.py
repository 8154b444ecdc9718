"""Runs that the predecessor appended to the same tables, told apart by the models that come again."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from comparison.cell_summary import RunSummary, UnreadableError
from comparison.legacy_csv import Row, is_known_table, read_rows, summarise

SUBJECT = ("Model", "model", "model_name", "device", "ep")  # columns that a run has one row for
SPECS = "specs"  # in the name of the table of the machine


@dataclass(frozen=True)
class LegacyRun:
    """One run of the predecessor, as far as its tables tell it."""

    summary: RunSummary
    began_s: float  # as success.csv says, else when the newest table was written
    version: str  # of ONNX Runtime; "": not told
    specs: Mapping[str, str]  # CPU, GPU, TensorRT, CUDA, CuDNN


def read_runs(source: Path) -> tuple[LegacyRun, ...]:
    """The runs of a folder of tables, or of one table, oldest first; raises UnreadableError.

    Tables are put side by side from their ends: those that were written anew hold the last run alone.
    """
    known = [p for p in (_tables(source) if source.is_dir() else [source]) if is_known_table(p)]
    if not known:
        raise UnreadableError(f"{source}: neither a run's folder nor tables of the predecessor")
    parts = {path: split_runs(read_rows(path)) for path in known}
    specs = _read_specs(source) if source.is_dir() else {}
    most = max(map(len, parts.values()))
    written_s = max(path.stat().st_mtime for path in known)
    out = []
    for back in range(most, 0, -1):
        tables = [(path, runs[-back]) for path, runs in parts.items() if len(runs) >= back]
        rows = [row for _, table in tables for row in table]
        label = source.name if most == 1 else f"{source.name} {most - back + 1} of {most}"
        began_s = _began(rows) or written_s - back + 1
        version = next((v for row in rows if (v := row.get("version", ""))), "")
        out.append(LegacyRun(summarise(tables, label), began_s, version, specs))
    return tuple(out)


def split_runs(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows by run, oldest first; a header that was written again is no row."""
    runs: list[list[Row]] = [[]]
    seen = set[tuple[str, ...]]()
    for row in rows:
        if any(row.get(name) == name for name in SUBJECT):
            continue
        subject = tuple(row.get(name, "") for name in SUBJECT)
        if subject in seen:
            runs.append([])
            seen.clear()
        seen.add(subject)
        runs[-1].append(row)
    return runs


def _tables(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.csv"))


def _began(rows: Sequence[Row]) -> float:
    """The first `datetime` of the rows; 0 where none tells it."""
    told = []
    for row in rows:
        try:
            when = datetime.fromisoformat(row.get("datetime", "").strip())
        except ValueError:
            continue
        told.append((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())
    return min(told, default=0.0)


def _read_specs(folder: Path) -> dict[str, str]:
    """What the table of the machine says, where there is one that can be read."""
    out: dict[str, str] = {}
    for path in _tables(folder):
        if SPECS in path.name:
            try:
                rows = read_rows(path)
            except UnreadableError:
                continue
            for row in rows:
                name, value = row.get("Spec", ""), re.sub(r"\s+", " ", row.get("Version", ""))
                if name and value.strip():
                    out[name.strip()] = value.strip()
    return out
