"""docs/csv.md is what the row types say today."""

import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

from perf.results import column_docs, legacy_tables
from perf.results.cell_row import CellRow
from perf.results.columns import column_names, column_types

DOCUMENT = Path(__file__).parents[2] / "docs" / "csv.md"
TYPES = [row for _, row, _, _ in column_docs.TABLES]


def test_the_dictionary_is_current_and_holds_every_row_type() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == column_docs.document_columns(), (
        "run: python -m perf.results.column_docs > docs/csv.md"
    )
    defined = {
        k for k in vars(legacy_tables).values() if inspect.isclass(k) and "Row" in k.__name__
    }
    assert defined <= set(TYPES)


@pytest.mark.parametrize("row", TYPES)
def test_headers_are_one_line_each_and_differ(row: type) -> None:
    header = column_names(row)
    assert len(set(header)) == len(header)
    assert all(h.strip() == h and h.isprintable() and h for h in header)
    assert all(f.metadata["meaning"].strip() for f in fields(row))


def test_a_figure_of_the_long_table_carries_its_unit() -> None:
    units = r"_(ms|s|mib|us|w|j_per_run|mhz|c|pct)s?$"
    plain = {
        "launch_level", "throttled_share", "ratio_of_ops_on_ep", "ratio_of_time_on_ep", "min_ep_share", "attested_layer_share", "attested_time_share", "max_abs",
        "max_rel", "relative_norm", "cosine", "rtol", "atol", "percent_mismatch", "reference_noise", "from_fp64",
        "reference_from_fp64",
    }  # fmt: skip
    figures = {name for name, hint in column_types(CellRow).items() if "float" in str(hint)}
    assert {name for name in figures if not re.search(units, name)} == plain
