"""The dictionary of every CSV column, written from the row types: `python -m perf.results.column_docs`."""

import inspect
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from perf.request.command_parser import CommandParser
from perf.results import build_spread, cell_figures, gains, latency, legacy_tables, target_gap
from perf.results.cell_row import CellRow
from perf.results.columns import column_names, column_types, unknown_value
from perf.schema import outcomes
from perf.stats import summary

INTRODUCTION = """\
# What every column means

Written by `python -m perf.results.column_docs > docs/csv.md` from the row types in
`perf/results`; a test keeps it current.

All tables are RFC 4180 in UTF-8, one header line. An empty field is unknown or not applicable, never 0.
Numbers have a point and no thousands separator; a figure that is not finite is `inf`, `-inf` or `nan`.
Objects and lists are JSON. Text that a spreadsheet would take for a formula (it begins with `=`, `+`, `-`,
`@`, a tab or a line end) has a `'` before it. Files are written whole or not at all."""

# file, row type, what stands before its headers, what the table is
TABLES: tuple[tuple[str, type, str, str], ...] = (
    ("result/RUN/cells.csv and cells.jsonl", CellRow, "",
     "A row per planned cell and shape of its inputs, every column: what to load and concatenate."),
    ("benchmark_fail_RUN.csv", legacy_tables.FailRow, "",
     "A row per cell that did not pass, those that were skipped or not run included."),
    ("benchmark_success_RUN.csv", legacy_tables.SuccessRow, "",
     "A row per cell that passed. The first 19 columns are the predecessor's."),
    ("benchmark_latency_RUN.csv", legacy_tables.LatencyPart, "EP ",
     "A row per model (`Model`); these columns per target in plan order, then the gains."),
    ("benchmark_latency_RUN.csv, gains", legacy_tables.GainPart, "GAIN ",
     "GAIN is one of GAINS, there where both targets were planned."),
    ("benchmark_metrics_RUN.csv", legacy_tables.MetricsRow, "",
     "A row per cell whose placement was told, or should have been."),
    ("benchmark_status_RUN.csv", legacy_tables.StatusPart, "EP",
     "A row per model (`Model`); a column per target in plan order."),
    ("benchmark_session_RUN.csv", legacy_tables.SessionPart, "EP ",
     "A row per model (`Model`); each of these for every target in turn."),
    ("benchmark_system_info_RUN.csv", legacy_tables.SystemRow, "", "A row per fact."),
    ("result/RUN/gap.csv", target_gap.GapRow, "",
     "A row per term of the difference between an EP and its engine alone (TensorRT, OpenVINO), and of what "
     "Python adds to a run in C++; there where a model and precision has both."),
    ("result/RUN/builds.csv", build_spread.BuildsRow, "",
     "A row per cell whose engine was built more than once; there with `--builds`."),
)  # fmt: skip
FIGURES: tuple[tuple[str, Callable[..., object]], ...] = (
    ("Quantiles", summary.quantile),
    ("Which percentiles n supports", summary.samples_needed),
    ("Interval of the launches' median", summary.median_interval),
    ("Gains", summary.paired_gain),
    ("What a gain is drawn from", gains.gain_between),
    ("When a latency is published", latency.is_published),
    ("Launches marked preempted", latency.was_preempted),
    ("Memory", cell_figures.PeakMemory),
    ("Energy and GPU counters", cell_figures.TimedCounters),
    (
        "The gap between an EP and its engine alone, and between Python and C++",
        target_gap.find_gaps,
    ),
    ("Error types", outcomes.error_type),
)
# whose header is that of the gain, or the target, alone
HEADED_BY_THE_TARGET = ((legacy_tables.GainPart, "percent"), (legacy_tables.StatusPart, "status"))
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
    match unknown_value(hint):
        case ():
            return "JSON list"
        case {}:
            return "JSON object"
    return KINDS[next(k for k in (*typing.get_args(hint), hint) if k in KINDS)]


def _tables() -> Iterator[str]:
    names = ", ".join(f"`{d.header}`" for d in gains.KNOWN)
    names += " (of a variant with its `[variant]`) and `EP_CPU_gain(%)`"
    for file, row, before, what in TABLES:
        yield f"\n## {file}\n\n{what.replace('GAINS', names)}\n"
        yield "| column | holds | meaning |\n|---|---|---|"
        for f, header in zip(fields(row), column_names(row), strict=True):
            own = "" if (row, f.name) in HEADED_BY_THE_TARGET else header
            meaning = str(f.metadata["meaning"]).replace("|", "\\|")
            holds = column_kind(column_types(row)[f.name])
            yield f"| `{(before + own).strip()}` | {holds} | {meaning} |"


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
