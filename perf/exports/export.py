"""Exports by the names of their formats, and where a file goes that is named by its format alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from perf.exports.bencher import to_bencher
from perf.exports.cell_table import to_csv, to_json
from perf.exports.ctrf import to_ctrf
from perf.exports.github import to_annotations, to_step_summary
from perf.exports.junit import to_junit
from perf.exports.markdown import to_markdown
from perf.exports.openmetrics import to_openmetrics
from perf.exports.sarif import to_sarif
from perf.report.finished_run import FinishedRun


@dataclass(frozen=True)
class Format:
    """One format: what it is for, and the run as its text."""

    about: str
    export: Callable[[FinishedRun], str]


FORMATS: Mapping[str, Format] = {
    "junit": Format("JUnit XML: a suite per model, a case per target", to_junit),
    "ctrf": Format("Common Test Report Format, JSON", to_ctrf),
    "sarif": Format("SARIF 2.1.0: a finding per failure and per doubtful figure", to_sarif),
    "github": Format("annotations, for the log of a GitHub workflow", to_annotations),
    "github-summary": Format("Markdown for $GITHUB_STEP_SUMMARY", to_step_summary),
    "markdown": Format("the matrix, failures and gains, for a pull request", to_markdown),
    "bencher": Format("Bencher Metric Format, JSON", to_bencher),
    "csv": Format("every column of every cell, as cells.csv", to_csv),
    "json": Format("the same as JSON, with the machine", to_json),
    "openmetrics": Format("gauges for node_exporter's textfile collector", to_openmetrics),
}


class UnknownFormatError(ValueError):
    """A format that is none; the message names those there are."""


def export(name: str, run: FinishedRun) -> str:
    """A run in the format of that name; raises UnknownFormatError."""
    found = FORMATS.get(name)
    if found is None:
        raise UnknownFormatError(f"no format {name!r}: there are {', '.join(FORMATS)}")
    return found.export(run)
