"""Tables on disk: written whole or not at all, safe in a spreadsheet, and read back by their types."""

import contextlib
import csv
import io
import json
import math
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TextIO, TypeAlias

from perf.machine.system import SystemInfo
from perf.results import gains
from perf.results.build_spread import BuildsRow, measure_spreads
from perf.results.cell_row import CellResult, CellRow, make_cell_row
from perf.results.columns import (
    Value,
    column_names,
    column_types,
    field_names,
    row_values,
    unknown_value,
)
from perf.results.legacy_tables import Table, legacy_tables, make_table
from perf.results.shapes import split_by_shapes
from perf.results.target_gap import GapRow, find_gaps
from perf.schema import codec, strict_json
from perf.schema.atomic_file import draft_of, flush_to_disk
from perf.schema.record import Record
from perf.schema.untrusted_file import open_table

# What a spreadsheet takes for a formula (OWASP, "CSV Injection"); a quote before it makes it text.
FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
QUOTED_FORMULA = re.compile(r"'+[=+\-@\t\r\n]")
LONGEST_TEXT = 32_000  # a spreadsheet's cell holds 32,767 characters
REQUIRED = ("run_id", "cell", "model", "target", "status", "outcome")
NOT_FINITE = ("inf", "-inf", "nan")
Parser: TypeAlias = Callable[[Any], Any]


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
    cells = tabulate_cells(records, run_id=run_id, label=label, host=host.hostname)
    rows = [cell.row for cell in cells]
    firsts = [cell.record for cell in cells if cell.is_first]
    texts = {
        result_folder / f"benchmark_{t.name}_{run_id}.csv": to_csv(t.header, t.rows)
        for t in legacy_tables(cells, host)
    }
    for t in occasional_tables(firsts):
        if t.rows:
            texts[run_folder / f"{t.name}.csv"] = to_csv(t.header, t.rows)
    texts[run_folder / "cells.csv"] = to_csv(column_names(CellRow), list(map(row_values, rows)))
    texts[run_folder / "cells.jsonl"] = "".join(to_json(row) + "\n" for row in rows)
    _replace_all(texts)
    return tuple(texts)


def occasional_tables(records: Sequence[Record]) -> tuple[Table, ...]:
    """The tables that are there only where they have rows: gap and builds."""
    return (
        make_table("gap", GapRow, [(g, term) for g in find_gaps(records) for term in g.terms]),
        make_table("builds", BuildsRow, measure_spreads(records)),
    )


def tabulate_cells(
    records: Sequence[Record], *, run_id: str, label: str = "", host: str = ""
) -> tuple[CellResult, ...]:
    """Records with their rows, one for each of a record's input shapes, in the order of the records."""
    parts = [part for r in records for part in split_by_shapes(r)]
    over = gains.gains_over_baseline([part.record for part in parts])
    return tuple(
        CellResult(
            part.record,
            make_cell_row(part, gain, run_id=run_id, label=label, host=host),
            gain,
        )
        for part, gain in zip(parts, over, strict=True)
    )


def to_csv(header: Sequence[str], rows: Iterable[Sequence[Value]]) -> str:
    """RFC 4180 text, lines ended by CRLF; numbers stay numbers, what is unknown is empty."""
    out = io.StringIO(newline="")
    write_csv(out, header, rows)
    return out.getvalue()


def write_csv(file: TextIO, header: Sequence[str], rows: Iterable[Sequence[Value]]) -> None:
    """Write the text of `to_csv` row by row, into a file opened with newline=""; no header for ()."""
    writer = csv.writer(file, lineterminator="\r\n")
    if header:
        writer.writerow([escape_formula(h) for h in header])
    writer.writerows([format_value(v) for v in row] for row in rows)


def to_json(row: CellRow) -> str:
    """One line of strict JSON: figures that are not finite are the texts inf, -inf and nan."""
    plain = {name: spell_not_finite(getattr(row, name)) for name in field_names(CellRow)}
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
    """Text that no spreadsheet takes for a formula; `unescape_formula` takes it back."""
    if len(text) > LONGEST_TEXT:
        text = text[:LONGEST_TEXT] + f"… ({len(text) - LONGEST_TEXT} more characters)"
    return "'" + text if FORMULA.match(text) else text


def unescape_formula(text: str) -> str:
    """The text that `escape_formula` was given."""
    return text[1:] if text[:1] == "'" and QUOTED_FORMULA.match(text) else text


def read_rows(path: Path) -> list[dict[str, str]]:
    """A table of anybody's, its rows by heading; raises OSError, UnicodeDecodeError, TableError."""
    try:
        with open_table(path) as file:
            rows = list(csv.DictReader(file))
    except csv.Error as e:
        raise TableError(f"{path}: {e}") from e
    return [{k: v or "" for k, v in row.items() if isinstance(k, str)} for row in rows]


def read_cells(path: Path) -> tuple[CellRow, ...]:
    """All rows of cells.csv or cells.jsonl; raises as `iterate_cells` does."""
    return tuple(iterate_cells(path))


def iterate_cells(path: Path) -> Iterator[CellRow]:
    """Read cells.csv or cells.jsonl row by row; raises TableError naming file, line and column, or OSError.

    A column that is missing is unknown in every row, unless a row cannot be told without it;
    columns that this version does not know are left out.
    """
    with open_table(path) as file:
        try:
            yield from _read_json(path, file) if path.suffix == ".jsonl" else _read_csv(path, file)
        except UnicodeDecodeError as e:
            raise TableError(f"{path}: not UTF-8 ({e.reason} at byte {e.start})") from e


def _read_csv(path: Path, file: TextIO) -> Iterator[CellRow]:
    reader = csv.reader(file, strict=True)
    try:
        header = [unescape_formula(h) for h in next(reader, [])]
        _expect_columns(header, f"{path}:1", "column {!r}: not a cells table of this harness")
        doubled = next((h for h in header if header.count(h) > 1), None)
        if doubled is not None:
            raise TableError(f"{path}:1: column {doubled!r} is there twice")
        types = column_types(CellRow)
        at = [
            (k, name, _field_parser(types[name])) for k, name in enumerate(header) if name in types
        ]
        unknown = {n: unknown_value(hint) for n, hint in types.items() if n not in header}
        for line in reader:
            where = f"{path}:{reader.line_num}"
            if len(line) != len(header):
                raise TableError(f"{where}: {len(line)} fields, the header has {len(header)}")
            yield _make_row(unknown, [(name, parse, line[k]) for k, name, parse in at], where)
    except csv.Error as e:
        raise TableError(f"{path}:{reader.line_num}: not CSV: {e}") from e


def _read_json(path: Path, file: TextIO) -> Iterator[CellRow]:
    types = column_types(CellRow)
    unknown = {name: unknown_value(hint) for name, hint in types.items()}
    parsers = {name: partial(_parse_json, hint) for name, hint in types.items()}
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            values = strict_json.parse(line)
        except ValueError as e:
            raise TableError(f"{where}: not JSON: {e}") from e
        if not isinstance(values, dict):
            raise TableError(f"{where}: expected an object, got {line!r:.80}")
        _expect_columns(values, where, "{!r}: not a cell of this harness")
        known = [(name, parsers[name], v) for name, v in values.items() if name in parsers]
        yield _make_row(unknown, known, where)


def _expect_columns(names: typing.Container[str], where: str, problem: str) -> None:
    for name in REQUIRED:
        if name not in names:
            raise TableError(f"{where}: no {problem.format(name)}")


def _make_row(
    unknown: Mapping[str, Any], fields: Sequence[tuple[str, Parser, Any]], where: str
) -> CellRow:
    out = dict(unknown)
    for name, parse, value in fields:
        try:
            out[name] = parse(value)
        except ValueError as e:
            raise TableError(f"{where}: column {name}: {e}") from e
    row = object.__new__(
        CellRow
    )  # of 120 fields: a frozen class's own way takes as long as all the rest
    row.__dict__.update(out)
    return row


def _field_parser(hint: Any) -> Parser:
    """How the text of a CSV field of one type is read."""
    if hint is str:
        return unescape_formula
    unknown, kinds = unknown_value(hint), typing.get_args(hint)
    if typing.get_origin(hint) in (tuple, Mapping):
        decode = lru_cache(1024)(
            lambda text: codec.decode(hint, strict_json.parse(text))
        )  # most rows say alike
        return lambda text: decode(text) if text else unknown
    kind = _parse_bool if bool in kinds else _parse_whole if int in kinds else _parse_number
    return lambda text: kind(text) if text else unknown


def _parse_bool(text: str) -> bool:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    raise ValueError(f"expected true or false, got {text!r:.80}")


def _parse_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"expected a number, got {text!r:.80}") from None


def _parse_whole(text: str) -> int:
    number = _parse_number(text)
    if not math.isfinite(number) or not number.is_integer():
        raise ValueError(f"expected a whole number, got {text!r:.80}")
    return int(text) if text.lstrip("-").isdigit() else int(number)


def _parse_json(hint: Any, value: Any) -> Any:
    if float in typing.get_args(hint) and value in NOT_FINITE:
        return float(value)
    return codec.decode(hint, value)


def spell_not_finite(value: Any) -> Any:
    """A value, or its text where JSON has no number for it."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _replace_all(texts: Mapping[Path, str]) -> None:
    """Write every file aside and flush it, then let each take its place."""
    with contextlib.ExitStack() as drafts:
        for path, text in texts.items():
            aside = drafts.enter_context(draft_of(path, durable=False))
            aside.write_bytes(text.encode("utf-8", "backslashreplace"))  # surrogates of odd names
            flush_to_disk(aside)
