"""A run written for other programs and people, to a file or to stdout, as --export asks."""

import sys

from perf.exports.export import export
from perf.page.document import render_page
from perf.report.finished_run import FinishedRun
from perf.request.export_request import ExportRequest
from perf.schema import atomic_file


def write_run(request: ExportRequest, run: FinishedRun) -> None:
    """Write it whole or not at all; raises OSError."""
    text = render_page([run]) if request.format == "html" else export(request.format, run)
    if request.path is None:
        sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
        sys.stdout.flush()
        return
    errors = "replace" if request.format == "html" else "backslashreplace"
    atomic_file.write_to(request.path, text.encode("utf-8", errors))
