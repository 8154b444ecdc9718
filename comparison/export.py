"""A comparison in the formats that other programs and people read it in: page, Markdown, CSV, JSON."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from comparison import overview, page, report
from comparison.verdict import Line
from perf.request.export_request import ExportRequest
from perf.results import tables
from perf.schema import atomic_file

Remarks: TypeAlias = Sequence[str]


def write_comparison(
    request: ExportRequest, lines: Sequence[Line], remarks: Remarks, head: str
) -> None:
    """Write it whole to the path that was asked for, or to stdout; raises OSError."""
    text = FORMATS[request.format](lines, remarks, head)
    if request.path is None:
        sys.stdout.write(text)
        return
    atomic_file.write_to(request.path, text.encode("utf-8", "backslashreplace"))


def _to_json(lines: Sequence[Line], remarks: Remarks, _head: str) -> str:
    rows = [zip(report.HEADER, row, strict=True) for row in report.make_rows(lines)]
    plain = [{k: tables.spell_not_finite(v) for k, v in row} for row in rows]
    return json.dumps({"lines": plain, "remarks": remarks}, indent=1, ensure_ascii=False) + "\n"


FORMATS: Mapping[str, Callable[[Sequence[Line], Remarks, str], str]] = {
    "html": page.render_comparison,
    "markdown": lambda lines, remarks, _: overview.format_markdown(
        overview.judge_whole_cells(lines), remarks
    ),
    "csv": lambda lines, _, __: tables.to_csv(report.HEADER, report.make_rows(lines)),
    "json": _to_json,
}
