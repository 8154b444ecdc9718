"""The long table as CSV and as one JSON document: every figure of every cell."""

import json

from perf.exports.case import tabulate
from perf.report.finished_run import FinishedRun
from perf.results import tables
from perf.results.cell_row import CellRow
from perf.results.columns import column_names, row_values
from perf.schema import codec


def to_csv(run: FinishedRun) -> str:
    """The text of cells.csv."""
    rows = [row_values(c.row) for c in tabulate(run)]
    return tables.to_csv(column_names(CellRow), rows)


def to_json(run: FinishedRun) -> str:
    """The run, its machine, and its cells as in cells.jsonl."""
    document = {
        "run_id": run.run_id,
        "label": run.label,
        "command": list(run.command),
        "host": codec.encode(run.host) if run.host else None,
        "cells": [json.loads(tables.to_json(c.row)) for c in tabulate(run)],
    }
    return json.dumps(document, indent=1) + "\n"
