"""docs/csv.md is what the row types say today."""

from dataclasses import fields
from pathlib import Path

from perf.results import column_docs, columns

DOCUMENT = Path(__file__).parents[2] / "docs" / "csv.md"


def test_the_dictionary_is_current() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == column_docs.document_columns(), (
        "run: python -m perf.results.column_docs > docs/csv.md"
    )


def test_every_column_has_a_line() -> None:
    lines = column_docs.document_columns().splitlines()
    for f in fields(columns.CellRow):
        assert any(line.startswith(f"| `{f.name}` |") for line in lines)
    assert any(line.startswith("| `EP mean (ms)` | number |") for line in lines)
    assert any(line.startswith("| `EP` | text | Pass, Fail") for line in lines)
    assert any(line.startswith("| `GAIN low` |") for line in lines)
