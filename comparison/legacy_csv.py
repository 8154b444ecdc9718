"""The predecessor's CSVs, all three generations of their headers, and our tables of the same shape."""

import csv
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from comparison.cell_summary import CellSummary, Metric, RunSummary, UnreadableError
from perf.schema.untrusted_file import UntrustedFileError, open_table

Row = Mapping[str, str]

# What a target was called: since 2022, before that in tables, and in the README.
SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "CPUExecutionProvider": ("ORT-CPUFp32", "CPU fp32", "CPU"),
    "CUDAExecutionProvider": ("ORT-CUDAFp32", "CUDA fp32", "CUDA EP fp32"),
    "CUDAExecutionProvider_fp16": ("ORT-CUDAFp16", "CUDA fp16", "CUDA EP fp16"),
    "TensorrtExecutionProvider": ("ORT-TRTFp32", "TRT EP fp32", "TRT fp32"),
    "TensorrtExecutionProvider_fp16": ("ORT-TRTFp16", "TRT EP fp16", "TRT fp16"),
    "Standalone_TRT": ("TRTFp32", "Standalone TRT fp32", "Standalone fp32"),
    "Standalone_TRT_fp16": ("TRTFp16", "Standalone TRT fp16", "Standalone fp16"),
    "ACLExecutionProvider": ("ORT-ACLFp32",),
}
CANONICAL = {old.lower(): new for new, spellings in SPELLINGS.items() for old in spellings}
ENDINGS: tuple[tuple[str, Metric | None], ...] = (
    ("second session creation time (s)", Metric.SESSION),
    ("session creation time (s)", None),  # cold: a single number, judged by nothing
    ("peak memory usage (MiB)", Metric.GPU_MEMORY),
    ("memory usage (MiB)", Metric.GPU_MEMORY),
    ("mean (ms)", Metric.MEAN),
    ("p50 (ms)", Metric.P50),
)
LIMITS = (
    "it holds one number a cell and no launches: no interval, no smallest detectable change",
    "it does not say on which GPU, driver, EP version or protocol it was measured",
)


@dataclass
class _CellTexts:
    """What several tables say of one cell, while they are being read."""

    values: dict[Metric, float] = field(default_factory=dict)
    outcome: str = ""
    detail: str = ""


Cells: TypeAlias = dict[tuple[str, str], _CellTexts]


def read_header(path: Path) -> tuple[str, ...]:
    """The headings of a CSV, each made one line; raises UnreadableError as `read_rows` does."""
    return tuple(next(_iterate_rows(path)))


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV by header, headers with newlines and doubled spaces made one line.

    Raises UnreadableError for a file that is missing, empty, not text, without a header, or whose
    rows have more or fewer cells than the header (cut off, or two tables in one file).
    """
    rows = _iterate_rows(path)
    header = next(rows)
    return [dict(zip(header, row, strict=True)) for row in rows]


def _iterate_rows(path: Path) -> Iterator[list[str]]:
    """The header of a CSV, then its rows, as long as the header."""
    header: list[str] = []
    try:
        with open_table(path) as f:
            lines = (row for row in csv.reader(f, strict=True) if row)
            for number, row in enumerate(lines, start=1):
                if not header:
                    row = header = [" ".join(name.split()) for name in row]
                if len(row) != len(header):
                    raise UnreadableError(
                        f"{path}: record {number} has {len(row)} cells and the header {len(header)}; "
                        "is it cut off, or are two tables in one file?"
                    )
                yield row
    except FileNotFoundError:
        raise UnreadableError(f"{path}: no such file") from None
    except UntrustedFileError as e:
        raise UnreadableError(f"{path}: {e.strerror}") from e
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise UnreadableError(f"{path}: not a readable CSV ({e}); is it complete?") from e
    if not header:
        raise UnreadableError(f"{path}: empty; give the CSV of a run that ended")


def read_tables(paths: Sequence[Path], label: str) -> RunSummary:
    """One run from tables of the predecessor's shape; raises UnreadableError naming what is foreign."""
    return summarise([(path, read_rows(path)) for path in paths], label)


def summarise(tables: Sequence[tuple[Path, Sequence[Row]]], label: str) -> RunSummary:
    """One run from the rows of its tables; raises UnreadableError naming what is foreign."""
    cells: Cells = defaultdict(_CellTexts)
    metrics: set[Metric] = set()
    readers = set()
    for path, rows in tables:
        columns = list(rows[0]) if rows else []
        reader = _choose_reader(columns)
        if reader is None:
            known = ", ".join(columns[:5]) or "unknown, it has a header only"
            raise UnreadableError(f"{path}: not a table known here; its columns are {known}")
        metrics |= reader(rows, cells)
        readers.add(reader)
    summaries = tuple(
        CellSummary(f"{model}::{target}", model, target, c.outcome, c.detail, values=c.values)
        for (model, target), c in cells.items()
    )
    only_failures = readers == {_read_fail}
    return RunSummary(label, summaries, frozenset(metrics), LIMITS, only_failures=only_failures)


def canonical_target(target: str) -> str:
    """A target as seed 004 spells it, whichever generation named it."""
    return CANONICAL.get(" ".join(target.split()).lower(), target.strip())


def is_known_table(path: Path) -> bool:
    """Whether a file is a table that `read_tables` can use."""
    try:
        rows = read_rows(path)
    except UnreadableError:
        return False
    return bool(rows) and _choose_reader(rows[0]) is not None


def _choose_reader(columns: Iterable[str]) -> Callable[[Sequence[Row], Cells], set[Metric]] | None:
    names = set(columns)
    if {"model_name", "device", "average_latency_ms"} <= names:
        return _read_success
    if {"model", "ep", "error type", "error message"} <= names:
        return _read_fail
    if "Model" in names and any(_parse_header(c) for c in names):
        return _read_wide
    if "Model" in names and any(c in SPELLINGS or c.lower() in CANONICAL for c in names):
        return _read_status
    return None


def _parse_header(header: str) -> tuple[str, Metric | None] | None:
    """Target and metric of a wide table's column; None for another column."""
    for ending, metric in ENDINGS:
        match = re.fullmatch(rf"(.+?)\s+{re.escape(ending)}", header, re.IGNORECASE)
        if match:
            return canonical_target(match[1]), metric
    return None


def _read_wide(rows: Sequence[Row], cells: Cells) -> set[Metric]:
    columns = {c: found for c in rows[0] if (found := _parse_header(c))}
    for row in rows:
        for column, (target, metric) in columns.items():
            if metric is not None and (value := _parse_number(row[column])) is not None:
                cells[row["Model"], target].values[metric] = value  # appended tables: last wins
    return {metric for _, metric in columns.values() if metric is not None}


def _read_status(rows: Sequence[Row], cells: Cells) -> set[Metric]:
    for row in rows:
        for column, text in row.items():
            if column != "Model" and text.strip():
                cells[row["Model"], canonical_target(column)].outcome = text.strip()
    return {Metric.STATUS}


def _read_fail(rows: Sequence[Row], cells: Cells) -> set[Metric]:
    for row in rows:
        cell = cells[row["model"], canonical_target(row["ep"])]
        cell.outcome = row.get("exact outcome", "").split("(")[0] or "Fail"
        cell.detail = f"{row['error type']}: {' '.join(row['error message'].split())}"[:300]
    return {Metric.STATUS}


def _read_success(rows: Sequence[Row], cells: Cells) -> set[Metric]:
    for row in rows:
        cell = cells[row["model_name"], canonical_target(row["device"])]
        cell.outcome = "Pass"
        if (value := _parse_number(row["average_latency_ms"])) is not None:
            cell.values[Metric.MEAN] = value
    return {Metric.STATUS, Metric.MEAN}


def _parse_number(text: str) -> float | None:
    """A positive number, or None for what is empty, 0 or no number: none of these is a measurement."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None
