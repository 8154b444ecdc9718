"""A run's page beside its records, or one for several runs, written whole or not at all."""

from collections.abc import Sequence
from pathlib import Path

from perf.page.document import render_page
from perf.report.finished_run import FinishedRun
from perf.results.run_folder import RunFolder
from perf.schema import atomic_file


def page_path(folder: RunFolder) -> Path:
    """Where a run's own page lies."""
    return folder.root / f"report_{folder.run_id}.html"


def write_report(path: Path, runs: Sequence[FinishedRun]) -> Path:
    """Write the page of these runs; raises OSError, with no half-written file left."""
    atomic_file.write_bytes(path, render_page(runs).encode("utf-8", "replace"))
    return path
