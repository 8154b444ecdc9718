"""Results folders of many runs, made in milliseconds: descriptions and tables, no records."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from perf.results import tables
from perf.schema import atomic_file, codec
from tests.results import hand_made

NOW_NS = 1_700_000_000 * 10**9
DAY_NS = 24 * 3600 * 10**9


def write_history(
    results: Path, p50s_ms: Sequence[float], *, first: int = 0, machine: str = "box", **facts: str
) -> None:
    """A run a day with one cell, squeezenet on the CPU EP, of these medians; facts are host.json's."""
    (cell,) = [r for r in tables.tabulate_cells(hand_made.two_models()[:1], run_id="")]
    for i, ms in enumerate(p50s_ms, first):
        root = results / f"run{i:04}"
        written_ns = NOW_NS + i * DAY_NS
        row = replace(cell.row, run_id=root.name, host=machine, p50_ms=ms)
        host = replace(hand_made.host(), hostname=machine, **facts)  # type: ignore[arg-type]
        root.mkdir(parents=True)
        atomic_file.write_json(
            root / "run.json", {"label": f"day {i}", "cells": [row.cell]}, durable=False
        )
        atomic_file.write_json(root / "host.json", codec.encode(host), durable=False)
        (root / "cells.jsonl").write_text(tables.to_json(row) + "\n", encoding="utf-8")
        os.utime(root / "run.json", ns=(written_ns, written_ns))
