"""Tables on disk: written whole or not at all, safe in a spreadsheet, and read back by their types."""

import contextlib
import csv
import io
import json
import math
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from perf.machine.system import SystemInfo
from perf.results import build_spread, gains, trt_gap, views
from perf.results.build_spread import BuildsRow
from perf.results.cell_row import make_cell_row
from perf.results.columns import CellRow, Value, column_names
from perf.results.trt_gap import GapRow
from perf.results.views import Table, row_values
from perf.schema import codec
from perf.schema.atomic_file import draft_of, flush_to_disk
from perf.schema.record import Record

# What a spreadsheet takes for a formula (OWASP, "CSV Injection"); a quote before it makes it text.
FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
QUOTED_FORMULA = re.compile(r"'+[=+\-@\t\r\n]")
LONGEST_TEXT = 32_000  # a spreadsheet's cell holds 32,767 characters
REQUIRED = ("run_id", "cell", "model", "target", "status", "outcome")
NOT_FINITE = ("inf", "-inf", "nan")


class TableError(ValueError):
    """A table cannot be read; the message says file, line and column, and why."""


def write_all(
    records: Sequence[Record],
    host: SystemInfo,
    run_folder: Path,
    result_folder: Path,
    run_id: str,
    *,
    label: str = "",
) -> tuple[Path, ...]:
    """Write the seven tables, cells.csv, cells.jsonl, and gap.csv and builds.csv where there is a gap to
    split or an engine was built again, each all at once; returns their paths.

    Records come in plan order. Every file is written aside and flushed before the first takes its
    place; raises OSError where the disk refuses one, with nothing half-written.
    """
    rows = cell_rows(records, run_id=run_id, label=label, host=host.hostname)
    texts = {
        result_folder / f"benchmark_{t.name}_{run_id}.csv": to_csv(t.header, t.rows)
        for t in views.legacy_tables(list(zip(records, rows, strict=True)), host)
    }
    for t in occasional_tables(records):
        texts[run_folder / f"{t.name}.csv"] = to_csv(t.header, t.rows)
    texts[run_folder / "cells.csv"] = to_csv(
        column_names(CellRow), [views.row_values(r) for r in rows]
    )
    texts[run_folder / "cells.jsonl"] = "".join(to_json(row) + "\n" for row in rows)
    _replace_all(texts)
    return tuple(texts)


def cell_rows(
    records: Sequence[Record], *, run_id: str, label: str = "", host: str = ""
) -> tuple[CellRow, ...]:
    """The long table's rows, in the order of the records."""
    return tuple(
        make_cell_row(record, gain, run_id=run_id, label=label, host=host)
        for record, gain in zip(records, gains.gains_over_baseline(records), strict=True)
    )


def to_csv(header: Sequence[str], rows: Sequence[Sequence[Value]]) -> str:
    """RFC 4180 text, lines ended by CRLF; numbers stay numbers, what is unknown is empty."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([escape_formula(h) for h in header])
    writer.writerows([[format_value(v) for v in row] for row in rows])
    return out.getvalue()


def to_json(row: CellRow) -> str:
    """One line of strict JSON: figures that are not finite are the texts inf, -inf and nan."""
    plain = {k: _finite(v) for k, v in asdict(row).items()}
    return json.dumps(codec.encode(plain), separators=(",", ":"))


def format_value(value: Value) -> str:
    """A value as a CSV field: "" for unknown, JSON for what has parts, text made safe."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return escape_formula(value)
        case _:
            if not value:
                return ""
            return json.dumps(codec.encode(value), separators=(",", ":"))


def escape_formula(text: str) -> str:
    """Text that no spreadsheet takes for a formula; `bare` takes it back."""
    if len(text) > LONGEST_TEXT:
        text = text[:LONGEST_TEXT] + f"… ({len(text) - LONGEST_TEXT} more characters)"
    return "'" + text if FORMULA.match(text) else text


def unescape_formula(text: str) -> str:
    """The text that `safe` was given."""
    return text[1:] if QUOTED_FORMULA.match(text) else text


def read_cells(path: Path) -> tuple[CellRow, ...]:
    """Read cells.csv or cells.jsonl; raises TableError naming file, line and column, or OSError.

    A column that is missing is unknown in every row, unless a row cannot be told without it;
    columns that this version does not know are left out.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise TableError(f"{path}: not UTF-8 ({e.reason} at byte {e.start})") from e
    if path.suffix == ".jsonl":
        return tuple(_read_json(path, n, line) for n, line in _lines(text))
    return tuple(_read_csv(path, text))


def _read_csv(path: Path, text: str) -> Iterator[CellRow]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [unescape_formula(h) for h in next(reader, [])]
        _check_header(path, header)
        for line in reader:
            if len(line) != len(header):
                raise TableError(
                    f"{path}:{reader.line_num}: {len(line)} fields, the header has {len(header)}"
                )
            told = dict(zip(header, line, strict=True))
            yield _row(path, reader.line_num, told)
    except csv.Error as e:
        raise TableError(f"{path}:{reader.line_num}: not CSV: {e}") from e


def _check_header(path: Path, header: Sequence[str]) -> None:
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise TableError(f"{path}:1: no column {missing[0]!r}: not a cells table of this harness")
    doubled = next((h for h in header if header.count(h) > 1), None)
    if doubled is not None:
        raise TableError(f"{path}:1: column {doubled!r} is there twice")


def _row(path: Path, line: int, told: Mapping[str, str]) -> CellRow:
    hints = typing.get_type_hints(CellRow)
    out = {}
    for f in fields(CellRow):
        try:
            out[f.name] = _parse(hints[f.name], told.get(f.name, ""))
        except ValueError as e:
            raise TableError(f"{path}:{line}: column {f.name}: {e}") from e
    return CellRow(**out)


def _parse(hint: Any, text: str) -> Any:
    origin = typing.get_origin(hint)
    if hint is str:
        return unescape_formula(text)
    if origin is tuple or origin is Mapping:
        return codec.decode(hint, json.loads(text) if text else ([] if origin is tuple else {}))
    if text == "":
        return None
    kinds = typing.get_args(hint)
    if bool in kinds:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise ValueError(f"expected true or false, got {text!r:.80}")
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"expected a number, got {text!r:.80}") from None
    if int not in kinds:
        return number
    if not math.isfinite(number) or not number.is_integer():
        raise ValueError(f"expected a whole number, got {text!r:.80}")
    return int(text) if text.lstrip("-").isdigit() else int(number)


def _read_json(path: Path, line: int, text: str) -> CellRow:
    try:
        told = json.loads(text)
    except ValueError as e:
        raise TableError(f"{path}:{line}: not JSON: {e}") from e
    if not isinstance(told, dict):
        raise TableError(f"{path}:{line}: expected an object, got {text!r:.80}")
    missing = [name for name in REQUIRED if name not in told]
    if missing:
        raise TableError(f"{path}:{line}: no {missing[0]!r}: not a cell of this harness")
    hints = typing.get_type_hints(CellRow)
    out = {}
    for f in fields(CellRow):
        try:
            out[f.name] = _from_json(hints[f.name], told, f.name)
        except ValueError as e:
            raise TableError(f"{path}:{line}: {e}") from e
    return CellRow(**out)


def _from_json(hint: Any, told: Mapping[str, Any], name: str) -> Any:
    if name not in told:
        return _parse(hint, "")
    value = told[name]
    if float in typing.get_args(hint) and value in NOT_FINITE:
        return float(value)
    return codec.decode(hint, value, name)


def _finite(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _lines(text: str) -> Iterator[tuple[int, str]]:
    return ((n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip())


def _replace_all(texts: Mapping[Path, str]) -> None:
    """Write every file aside and flush it, then let each take its place."""
    with contextlib.ExitStack() as drafts:
        for path, text in texts.items():
            aside = drafts.enter_context(draft_of(path, durable=False))
            aside.write_bytes(text.encode("utf-8", "backslashreplace"))  # surrogates of odd names
            flush_to_disk(aside)


def occasional_tables(records: Sequence[Record]) -> tuple[Table, ...]:
    """gap and builds, each where it has rows."""
    kinds: tuple[tuple[str, type, Sequence[object]], ...] = (
        ("gap", GapRow, trt_gap.gap_table(records)),
        ("builds", BuildsRow, build_spread.builds_table(records)),
    )
    return tuple(
        Table(name, column_names(row), tuple(row_values(r) for r in rows))
        for name, row, rows in kinds
        if rows
    )
