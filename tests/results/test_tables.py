"""The tables on disk: whole or not there, safe in a spreadsheet, and read back as they were written."""

import csv
import io
import json
import math
import os
import typing
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perf.results import tables
from perf.results.cell_row import CellRow
from perf.results.columns import column_names, column_types, row_values
from perf.schema.record import Record
from tests.results import hand_made as made

RECORDS = (*made.two_models(), *made.every_outcome())
ROWS = tuple(c.row for c in tables.tabulate_cells(RECORDS, run_id="RUN", label="L", host="box"))
NAMES = ("fail", "success", "latency", "metrics", "status", "session", "system_info")


def written(folder: Path, records: tuple[Record, ...] = RECORDS) -> dict[str, Path]:
    """All tables of these records, by file name."""
    run = folder / "RUN"
    run.mkdir(exist_ok=True)
    found = tables.write_all(records, made.host(), run, folder, "RUN", label="L")
    return {p.name: p for p in found}


def texts(found: Mapping[str, Path]) -> dict[str, str]:
    """The tables' texts, their line ends kept."""
    return {name: path.read_bytes().decode() for name, path in found.items()}


def status_row(found: Mapping[str, Path]) -> dict[str, str]:
    """The status table's only row."""
    (row,) = csv.DictReader(io.StringIO(texts(found)["benchmark_status_RUN.csv"], newline=""))
    return row


def test_nine_files_lie_where_they_belong_and_are_replaced_not_appended(tmp_path: Path) -> None:
    before = texts(written(tmp_path))
    lying = {p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()}
    legacy = {Path(f"benchmark_{n}_RUN.csv") for n in NAMES}
    assert lying == legacy | {Path("RUN/cells.csv"), Path("RUN/cells.jsonl")}
    assert texts(written(tmp_path)) == before


def test_a_run_without_cells_has_tables_with_headers_alone(tmp_path: Path) -> None:
    found = written(tmp_path, ())
    assert tables.read_cells(found["cells.csv"]) == tables.read_cells(found["cells.jsonl"]) == ()
    assert texts(found)["benchmark_status_RUN.csv"] == "Model\r\n"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "'="])
def test_what_begins_like_a_formula_is_made_text(start: str, tmp_path: Path) -> None:
    name = f"{start}HYPERLINK(1)"
    record = Record(made.cell(name, "X"), made.PASSED)
    found = written(tmp_path, (record,))
    assert status_row(found)["Model"] == "'" + name
    assert tables.read_cells(found["cells.csv"])[0].model == name


def test_numbers_stay_numbers() -> None:
    text = tables.to_csv(("a", "b", "c"), [(-1.5, -3, "-3")])
    assert text == "a,b,c\r\n-1.5,-3,'-3\r\n"


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30))
def test_safe_text_is_no_formula_and_comes_back(text: str) -> None:
    safe = tables.escape_formula(text)
    assert not safe.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert tables.unescape_formula(safe) == text


def test_a_text_longer_than_a_spreadsheets_cell_is_cut_and_says_so() -> None:
    safe = tables.escape_formula("x" * 40_000)
    assert len(safe) < 32_767
    assert safe.endswith("(8000 more characters)")


TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBER = st.floats(allow_nan=False)
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: st.integers(-(2**53), 2**53),
    float: NUMBER,
    bool: st.booleans(),
}


def strategy_of(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a column's type; what lies in JSON is finite."""
    inner = [VALUES[a] for a in typing.get_args(hint) if a in VALUES]
    finite = [s.filter(lambda v: not isinstance(v, float) or math.isfinite(v)) for s in inner]
    match typing.get_origin(hint):
        case None:
            return VALUES[hint]
        case origin if origin is tuple:
            return st.lists(finite[0], max_size=3).map(tuple)
        case origin if origin is Mapping:
            return st.dictionaries(TEXT, finite[-1], max_size=3)
        case _:
            return st.one_of(st.none(), *inner)


CELL_ROWS = st.fixed_dictionaries({k: strategy_of(v) for k, v in column_types(CellRow).items()})


@settings(max_examples=40)
@given(st.lists(CELL_ROWS.map(lambda d: CellRow(**d)), max_size=2))
def test_cells_come_back_as_they_went(rows: list[CellRow]) -> None:
    text = tables.to_csv(column_names(CellRow), list(map(row_values, rows)))
    assert list(tables._read_csv(Path("cells.csv"), io.StringIO(text, newline=""))) == rows
    lines = "\n".join(map(tables.to_json, rows))
    assert list(tables._read_json(Path("cells.jsonl"), io.StringIO(lines))) == rows


def test_both_files_of_a_run_read_as_the_same_cells_after_a_spreadsheet_too(
    tmp_path: Path,
) -> None:
    found = written(tmp_path)
    assert tables.read_cells(found["cells.csv"]) == ROWS == tables.read_cells(found["cells.jsonl"])
    text = texts(found)["cells.csv"].replace("\r\n", "\n").replace("true", "TRUE")
    assert ",5,0,100," in text
    saved = b"\xef\xbb\xbf" + text.replace(",5,0,100,", ",5.0,0.0,100.0,").encode()
    found["cells.csv"].write_bytes(saved)
    assert tables.read_cells(found["cells.csv"]) == ROWS


def test_a_figure_that_is_not_finite_comes_back_and_the_json_is_strict() -> None:
    line = tables.to_json(replace(ROWS[0], max_rel=math.inf, cosine=math.nan))
    json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    (back,) = tables._read_json(Path("cells.jsonl"), io.StringIO(line))
    assert (str(back.max_rel), str(back.cosine)) == ("inf", "nan")


def test_unknown_columns_are_left_out_and_missing_ones_unknown(tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    path.write_text("new,run_id,cell,model,target,status,outcome\n1,r,c,m,t,Pass,Passed\n")
    (row,) = tables.read_cells(path)
    assert (row.run_id, row.p50_ms, row.versions, row.marks) == ("r", None, {}, ())


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("cells.csv", "", r"cells.csv:1: no column 'run_id'"),
        ("cells.csv", "a,b\n1,2\n", r"cells.csv:1: no column 'run_id': not a cells table"),
        ("cells.csv", "HEAD,p50_ms,p50_ms\n", r"cells.csv:1: column 'p50_ms' is there twice"),
        ("cells.csv", "HEAD,p50_ms\nROW,1\nROW,fast\n", r"cells.csv:3: column p50_ms: expected a number.*fast"),
        ("cells.csv", "HEAD,launches\nROW,1.5\n", r"cells.csv:2: column launches: expected a whole number"),
        ("cells.csv", "HEAD,launches\nROW,inf\n", r"cells.csv:2: column launches: expected a whole number"),
        ("cells.csv", "HEAD,gpu_only\nROW,2\n", r"cells.csv:2: column gpu_only: expected true or false"),
        ("cells.csv", "HEAD,options\nROW,{\n", r"cells.csv:2: column options: "),
        ("cells.csv", "HEAD,options\nROW,[]\n", r"cells.csv:2: column options: .*expected an object"),
        ("cells.csv", "HEAD\nROW,1\n", r"cells.csv:2: 7 fields, the header has 6"),
        ("cells.csv", 'HEAD\n"r,c\n', r"cells.csv:\d+: not CSV"),
        ("cells.csv", b"\xff\xfe", "not UTF-8"),
        ("cells.jsonl", "{\n", r"cells.jsonl:1: not JSON"),
        ("cells.jsonl", "[]\n", r"cells.jsonl:1: expected an object"),
        ("cells.jsonl", "\n{}\n", r"cells.jsonl:2: no 'run_id'"),
        ("cells.jsonl", '{"run_id":1,"cell":"","model":"","target":"","status":"","outcome":""}', "run_id"),
    ],
)  # fmt: skip
def test_a_broken_table_is_told_by_file_line_and_column(
    name: str, text: str | bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if isinstance(text, str):
        text = text.replace("HEAD", "run_id,cell,model,target,status,outcome")
        text = text.replace("ROW", "r,c,m,t,Pass,Passed").encode()
    path.write_bytes(text)
    with pytest.raises(tables.TableError, match=message):
        tables.read_cells(path)


def test_a_refused_file_leaves_the_old_tables_whole(tmp_path: Path) -> None:
    found = written(tmp_path)
    before = texts(found)
    with pytest.raises(OSError, match="no-such-folder"):
        tables.write_all(RECORDS[:1], made.host(), tmp_path / "no-such-folder", tmp_path, "RUN")
    assert texts(found) == before
    assert not [p for p in tmp_path.rglob("*") if p.name.endswith(".tmp")]


def test_a_name_that_is_no_unicode_is_written_all_the_same(tmp_path: Path) -> None:
    name = os.fsdecode(b"model\xff")
    found = written(tmp_path, (Record(made.cell(name), made.PASSED),))
    assert status_row(found)["Model"] == "model\\udcff"
