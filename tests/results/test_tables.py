"""The tables byte for byte, their safety in a spreadsheet, and their way back."""

import csv
import io
import json
import math
import os
import typing
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perf.results import gains, tables, views
from perf.results.columns import CellRow, column_names
from perf.schema.cell import Protocol
from perf.schema.record import Record
from tests.results import hand_made as made

GOLDEN = Path(__file__).parent / "golden"
RECORDS = (*made.two_models(), *made.every_outcome())
ROWS = tables.cell_rows(RECORDS, run_id="RUN", label="golden", host="box")
NAMES = ("fail", "success", "latency", "metrics", "status", "session", "system_info")


def written(folder: Path, records: tuple[Record, ...] = RECORDS) -> dict[str, Path]:
    """All tables of these records, by file name."""
    run = folder / "RUN"
    run.mkdir(exist_ok=True)
    found = tables.write_all(records, made.host(), run, folder, "RUN", label="golden")
    return {p.name: p for p in found}


def loaded(path: Path) -> list[dict[str, str]]:
    """A table as its rows by header."""
    return list(csv.DictReader(io.StringIO(made.read(path), newline="")))


@pytest.mark.parametrize(
    "name", [*(f"benchmark_{n}_RUN.csv" for n in NAMES), "cells.csv", "cells.jsonl"]
)
def test_a_table_is_the_golden_one_byte_for_byte(name: str, tmp_path: Path) -> None:
    assert made.read(written(tmp_path)[name]) == made.read(GOLDEN / name)


def test_nine_files_lie_where_they_belong_and_nothing_else(tmp_path: Path) -> None:
    found = written(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        ["RUN", *(f"benchmark_{n}_RUN.csv" for n in NAMES)]
    )
    assert sorted(p.name for p in (tmp_path / "RUN").iterdir()) == ["cells.csv", "cells.jsonl"]
    assert len(found) == 9


def test_writing_again_replaces_and_never_appends(tmp_path: Path) -> None:
    first = {n: made.read(p) for n, p in written(tmp_path).items()}
    assert {n: made.read(p) for n, p in written(tmp_path).items()} == first


def test_no_planned_status_is_blank_and_no_row_inherits_from_another(tmp_path: Path) -> None:
    found = {r["Model"]: r for r in loaded(written(tmp_path)["benchmark_status_RUN.csv"])}
    for record in RECORDS:
        column = gains.column_of(record)
        assert found[record.cell.model.name][column] in ("Pass", "Fail", "Skipped", "NotRun")
    assert found["model_0"][made.CPU] == ""
    assert found["bert"][made.CUDA] == "Fail"


def test_success_and_fail_hold_every_cell_once(tmp_path: Path) -> None:
    found = written(tmp_path)
    passed = loaded(found["benchmark_success_RUN.csv"])
    failed = loaded(found["benchmark_fail_RUN.csv"])
    assert sorted(r["cell"] for r in passed + failed) == sorted(r.cell.id for r in RECORDS)
    for record, row in zip([r for r in RECORDS if r.outcome != made.PASSED], failed, strict=True):
        words = made.EVERY_OUTCOME.get(record.outcome)
        if words:
            assert (row["error type"], row["exact outcome"], row["stage"]) == words[1:]


def test_two_cells_of_one_model_and_target_both_have_a_column(tmp_path: Path) -> None:
    one = made.benchmarked(made.cell(), (8.0,), {made.CPU: 1})
    two = replace(one, cell=replace(one.cell, digest="0ther000"))
    (row,) = loaded(written(tmp_path, (one, two))["benchmark_status_RUN.csv"])
    assert row == {
        "Model": "squeezenet",
        made.CPU: "Pass",
        f"{made.CPU} (0ther000)": "Pass",
    }


def test_a_run_without_cells_has_tables_with_headers_alone(tmp_path: Path) -> None:
    found = written(tmp_path, ())
    assert tables.read_cells(found["cells.csv"]) == ()
    assert tables.read_cells(found["cells.jsonl"]) == ()
    assert made.read(found["benchmark_status_RUN.csv"]) == "Model\r\n"


def test_an_instrumented_cell_carries_no_latency_in_any_table(tmp_path: Path) -> None:
    cell = made.cell(protocol=Protocol(instrumented="nsys profile"))
    found = written(tmp_path, (made.benchmarked(cell, (8.0, 8.0), {made.CPU: 1}),))
    (row,) = tables.read_cells(found["cells.csv"])
    assert (row.p50_ms, row.samples, row.marks) == (None, None, ("instrumented",))
    (wide,) = loaded(found["benchmark_latency_RUN.csv"])
    assert wide[f"{made.CPU} mean (ms)"] == ""
    assert wide[f"{made.CPU} marks"] == '["instrumented"]'


# --- in a spreadsheet


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "'="])
def test_what_begins_like_a_formula_is_made_text(start: str, tmp_path: Path) -> None:
    name = f"{start}HYPERLINK(1)"
    record = Record(made.cell(name, "X"), made.PASSED)
    found = written(tmp_path, (record,))
    assert loaded(found["benchmark_status_RUN.csv"])[0]["Model"] == "'" + name
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


# --- there and back


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


HINTS = typing.get_type_hints(CellRow)
CELL_ROWS = st.fixed_dictionaries({f.name: strategy_of(HINTS[f.name]) for f in fields(CellRow)})


@settings(max_examples=40)
@given(st.lists(CELL_ROWS.map(lambda d: CellRow(**d)), max_size=2))
def test_cells_come_back_as_they_went(rows: list[CellRow]) -> None:
    text = tables.to_csv(column_names(CellRow), [views.row_values(r) for r in rows])
    assert list(tables._read_csv(Path("cells.csv"), text)) == rows
    lines = [tables.to_json(r) for r in rows]
    assert [tables._read_json(Path("cells.jsonl"), 1, line) for line in lines] == rows


def test_both_files_of_a_run_read_as_the_same_cells(tmp_path: Path) -> None:
    found = written(tmp_path)
    assert tables.read_cells(found["cells.csv"]) == ROWS
    assert tables.read_cells(found["cells.jsonl"]) == ROWS


def test_a_figure_that_is_not_finite_comes_back_and_the_json_is_strict() -> None:
    row = replace(ROWS[0], max_rel=math.inf, cosine=math.nan)
    line = tables.to_json(row)
    json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    back = tables._read_json(Path("cells.jsonl"), 1, line)
    assert back.max_rel == math.inf
    assert back.cosine is not None
    assert math.isnan(back.cosine)


def test_a_table_saved_by_a_spreadsheet_reads_the_same(tmp_path: Path) -> None:
    text = made.read(GOLDEN / "cells.csv").replace("\r\n", "\n").replace("true", "TRUE")
    path = tmp_path / "cells.csv"
    path.write_bytes(b"\xef\xbb\xbf" + text.replace(",5,0,100,", ",5.0,0.0,100.0,").encode())
    assert tables.read_cells(path) == ROWS


def test_unknown_columns_are_left_out_and_missing_ones_unknown(tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    path.write_text("new,run_id,cell,model,target,status,outcome\n1,r,c,m,t,Pass,Passed\n")
    (row,) = tables.read_cells(path)
    assert (row.run_id, row.p50_ms, row.versions, row.marks) == ("r", None, {}, ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"cells.csv:1: no column 'run_id'"),
        ("a,b\n1,2\n", r"cells.csv:1: no column 'run_id': not a cells table"),
        ("HEAD,p50_ms,p50_ms\n", r"cells.csv:1: column 'p50_ms' is there twice"),
        ("HEAD,p50_ms\nROW,1\nROW,fast\n", r"cells.csv:3: column p50_ms: expected a number.*fast"),
        ("HEAD,launches\nROW,1.5\n", r"cells.csv:2: column launches: expected a whole number"),
        ("HEAD,launches\nROW,inf\n", r"cells.csv:2: column launches: expected a whole number"),
        ("HEAD,gpu_only\nROW,2\n", r"cells.csv:2: column gpu_only: expected true or false"),
        ("HEAD,options\nROW,{\n", r"cells.csv:2: column options: "),
        ("HEAD,options\nROW,[]\n", r"cells.csv:2: column options: .*expected an object"),
        ("HEAD\nROW,1\n", r"cells.csv:2: 7 fields, the header has 6"),
        ('HEAD\n"r,c\n', r"cells.csv:\d+: not CSV"),
    ],
)
def test_a_broken_table_is_told_by_file_line_and_column(
    text: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "cells.csv"
    text = text.replace("HEAD", "run_id,cell,model,target,status,outcome")
    path.write_text(text.replace("ROW", "r,c,m,t,Pass,Passed"))
    with pytest.raises(tables.TableError, match=message):
        tables.read_cells(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{\n", r"cells.jsonl:1: not JSON"),
        ("[]\n", r"cells.jsonl:1: expected an object"),
        ("\n{}\n", r"cells.jsonl:2: no 'run_id'"),
        ('{"run_id":1,"cell":"","model":"","target":"","status":"","outcome":""}', "run_id"),
    ],
)
def test_a_broken_line_is_told_by_file_and_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "cells.jsonl"
    path.write_text(text)
    with pytest.raises(tables.TableError, match=message):
        tables.read_cells(path)


def test_what_is_not_utf8_is_told(tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(tables.TableError, match="not UTF-8"):
        tables.read_cells(path)


# --- on disk


def test_a_refused_file_leaves_the_old_tables_whole(tmp_path: Path) -> None:
    found = written(tmp_path)
    before = {n: made.read(p) for n, p in found.items()}
    with pytest.raises(OSError, match="no-such-folder"):
        tables.write_all(RECORDS[:1], made.host(), tmp_path / "no-such-folder", tmp_path, "RUN")
    assert {n: made.read(p) for n, p in found.items()} == before
    assert not [p for p in tmp_path.rglob("*") if p.name.endswith(".tmp")]


def test_a_name_that_is_no_unicode_is_written_all_the_same(tmp_path: Path) -> None:
    name = os.fsdecode(b"model\xff")
    found = written(tmp_path, (Record(made.cell(name), made.PASSED),))
    assert loaded(found["benchmark_status_RUN.csv"])[0]["Model"] == "model\\udcff"
