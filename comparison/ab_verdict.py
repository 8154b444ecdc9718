"""What an A/B run came to, for its own last lines: its two sides compared without being asked for."""

from collections.abc import Sequence
from pathlib import Path

from comparison import load, noise, overview
from comparison.cell_summary import RunSummary, UnreadableError
from comparison.judge import Criteria, judge_cells
from comparison.match import ACROSS, match_cells
from comparison.run_records import read_run, split_sides
from comparison.verdict import Line


def describe_ab_run(folder: Path, width: int) -> list[str]:
    """Lines for the terminal: each model's verdict, then that of the whole; why, where there is none."""
    labels = load.read_ab_labels(folder)
    if labels is None:
        return []
    try:
        a, b = split_sides(read_run(folder), *labels)
        lines = judge_sides(a, b)
    except UnreadableError as e:
        return [f"A/B: no verdict: {e}"]
    found = overview.judge_whole_cells(lines)
    head = overview.describe_sides(a.label, b.label, found)
    table = overview.format_cells(found, width, everything=True)
    return ["", *table, "", f"A/B: {head}"]


def judge_sides(a: RunSummary, b: RunSummary) -> Sequence[Line]:
    """Every verdict on the sides of an A/B run, whose differences are the question."""
    criteria = Criteria(paired=True, profile=noise.read_profile())
    return judge_cells(match_cells(a, b, ACROSS), a, b, criteria)
