"""The dictionary of every CSV column, written from the row types: `python -m perf.results.column_docs`."""

import inspect
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from perf.request.command_parser import CommandParser
from perf.results import build_spread, cell_row, columns, gains, latency, trt_gap
from perf.schema import outcomes
from perf.stats import summary

INTRODUCTION = """\
# What every column means

Written by `python -m perf.results.column_docs > docs/csv.md` from the row types in
`perf/results/columns.py`; a test keeps it current.

All tables are RFC 4180 in UTF-8, one header line. An empty field is unknown or not applicable, never 0.
Numbers have a point and no thousands separator; a figure that is not finite is `inf`, `-inf` or `nan`.
Objects and lists are JSON. Text that a spreadsheet would take for a formula (it begins with `=`, `+`, `-`,
`@`, a tab or a line end) has a `'` before it. Files are written whole or not at all."""

# file, row type, what stands before its headers, what the table is
TABLES: tuple[tuple[str, type, str, str], ...] = (
    (
        "result/RUN/cells.csv and cells.jsonl",
        columns.CellRow,
        "",
        "A row per planned cell, every column: what to load and concatenate.",
    ),
    (
        "benchmark_fail_RUN.csv",
        columns.FailRow,
        "",
        "A row per cell that did not pass, those that were skipped or not run included.",
    ),
    (
        "benchmark_success_RUN.csv",
        columns.SuccessRow,
        "",
        "A row per cell that passed. The first 19 columns are the predecessor's.",
    ),
    (
        "benchmark_latency_RUN.csv",
        columns.LatencyPart,
        "EP ",
        "A row per model (`Model`); these columns per target in plan order, then the gains.",
    ),
    (
        "benchmark_latency_RUN.csv, gains",
        columns.GainPart,
        "GAIN ",
        "GAIN is one of GAINS, there where both targets were planned.",
    ),
    (
        "benchmark_metrics_RUN.csv",
        columns.MetricsRow,
        "",
        "A row per cell whose placement was told, or should have been.",
    ),
    (
        "benchmark_status_RUN.csv",
        columns.StatusPart,
        "EP",
        "A row per model (`Model`); a column per target in plan order.",
    ),
    (
        "benchmark_session_RUN.csv",
        columns.SessionPart,
        "EP ",
        "A row per model (`Model`); each of these for every target in turn.",
    ),
    ("benchmark_system_info_RUN.csv", columns.SystemRow, "", "A row per fact."),
    (
        "result/RUN/gap.csv",
        trt_gap.GapRow,
        "",
        "A row per term of the difference between the TensorRT EP and TensorRT alone; there where a "
        "model and precision has both.",
    ),
    (
        "result/RUN/builds.csv",
        build_spread.BuildsRow,
        "",
        "A row per cell whose engine was built more than once; there with `--builds`.",
    ),
)
FIGURES: tuple[tuple[str, Callable[..., object]], ...] = (
    ("Quantiles", summary.quantile),
    ("Which percentiles n supports", summary.samples_needed),
    ("Interval of the launches' median", summary.median_interval),
    ("Gains", summary.paired_gain),
    ("What a gain is drawn from", gains.gain_between),
    ("When a latency is published", latency.is_published),
    ("Launches marked preempted", latency.was_preempted),
    ("Memory", cell_row.memory_columns),
    ("Energy and GPU counters", cell_row.counter_columns),
    ("The gap between the TensorRT EP and TensorRT alone", trt_gap.find_gaps),
    ("Error types", outcomes.error_type),
)
KINDS: Mapping[type, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true, false",
}


def document_columns() -> str:
    """The whole of docs/csv.md."""
    return "\n".join((INTRODUCTION, *_tables(), *_figures()))


def column_kind(hint: Any) -> str:
    """What a column's fields hold, in words."""
    origin = typing.get_origin(hint)
    if origin is tuple:
        return "JSON list"
    if origin is Mapping:
        return "JSON object"
    return KINDS[next(k for k in (typing.get_args(hint) or (hint,)) if k is not type(None))]


def _tables() -> Iterator[str]:
    names = ", ".join(f"`{d.header}`" for d in gains.KNOWN)
    names += " (of a variant with its `[variant]`) and `EP_CPU_gain(%)`"
    for file, row, before, what in TABLES:
        hints = typing.get_type_hints(row)
        yield f"\n## {file}\n\n{what.replace('GAINS', names)}\n"
        yield "| column | holds | meaning |\n|---|---|---|"
        for f in fields(row):
            header = f.metadata["header"] or f.name
            if row in (columns.GainPart, columns.StatusPart) and f is fields(row)[0]:
                header = ""
            told = str(f.metadata["meaning"]).replace("|", "\\|")
            yield f"| `{(before + header).strip()}` | {column_kind(hints[f.name])} | {told} |"


def _figures() -> Iterator[str]:
    yield "\n## How figures are made"
    for title, function in FIGURES:
        yield f"\n**{title}.** {inspect.getdoc(function)}"
    yield ""


if __name__ == "__main__":
    CommandParser(
        "python -m perf.results.column_docs", "Write docs/csv.md to standard output."
    ).parse_args()
    sys.stdout.write(document_columns())
