"""Whole sides judged: itself is the same, swapped is mirrored, a drift of all cells is told as such."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comparison import report
from comparison.cell_summary import Metric, Side
from comparison.judge import Criteria, judge_cells
from comparison.match import match_cells
from comparison.run_records import summarise_cell
from comparison.verdict import Line, change_of, verdict_name
from tests.comparison.runs import CUDA, Made, record_of


def side(cells: Sequence[Made], label: str = "a") -> Side:
    return Side(label, tuple(summarise_cell(record_of(m), {}) for m in cells), frozenset(Metric))


def judged(a: Side, b: Side, *across: str) -> tuple[Line, ...]:
    return judge_cells(match_cells(a, b, across), a, b, Criteria())


launches = st.lists(st.floats(1, 50), min_size=1, max_size=6)


@settings(max_examples=25, deadline=None)
@given(st.lists(launches, min_size=1, max_size=4))
def test_a_run_compared_with_itself_is_all_the_same(cells: list[list[float]]) -> None:
    one = side([Made(model=f"m{i}", launch_ms=x) for i, x in enumerate(cells)])
    assert {verdict_name(x.verdict) for x in judged(one, one)} == {"Same"}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(launches, launches), min_size=1, max_size=4))
def test_swapping_sides_swaps_faster_and_slower(
    cells: list[tuple[list[float], list[float]]],
) -> None:
    a, b = (
        side([Made(model=f"m{i}", launch_ms=x[n]) for i, x in enumerate(cells)]) for n in (0, 1)
    )
    mirrored = {"Faster": "Slower", "Slower": "Faster", "Broke": "Fixed", "Fixed": "Broke",
                "Added": "Removed", "Removed": "Added"}  # fmt: skip
    for ahead, back in zip(judged(a, b), judged(b, a), strict=True):
        word = verdict_name(ahead.verdict)
        assert (ahead.cell, ahead.metric) == (back.cell, back.metric)
        assert verdict_name(back.verdict) == mirrored.get(word, word)


def test_runs_apart_that_drift_alike_raise_no_alarm_and_are_told() -> None:
    chance = random.Random(1)
    cells = [Made(model=f"m{i}", launch_ms=[5.0 * (1 + chance.gauss(0, 0.01)) for _ in range(5)])
             for i in range(20)]  # fmt: skip
    later = [replace(m, launch_ms=[x * 1.07 for x in m.launch_ms]) for m in cells]
    lines = judged(side(cells), side(later))
    assert not any(report.worse(x) for x in lines)
    assert "looks like the machine" in report.moved_together(lines)
    assert report.moved_together(judged(side(cells), side(cells))) == ""


def test_across_precision_pairs_what_it_asks_about() -> None:
    full, half = side([Made()]), side([Made(target=f"{CUDA}_fp16", launch_ms=[2.0] * 5)])
    assert {verdict_name(x.verdict) for x in judged(full, half)} == {"Added", "Removed"}
    found = {x.metric: x for x in judged(full, half, "precision")}
    assert verdict_name(found[Metric.P50].verdict) == "Faster"
    assert "precision: fp32 -> fp16" in found[Metric.P50].across


def test_two_io_modes_of_one_cell_are_paired_with_their_own() -> None:
    from perf.schema.cell import Io

    before = side([Made(launch_ms=[5.0] * 5), Made(io=Io.DEVICE, launch_ms=[1.0] * 5)])
    after = side([Made(io=Io.DEVICE, launch_ms=[1.0] * 5), Made(launch_ms=[5.0] * 5)])
    lines = [x for x in judged(before, after) if x.metric is Metric.P50]
    assert [verdict_name(x.verdict) for x in lines] == ["Same", "Same"]


def test_the_smallest_change_seen_is_stated_and_shrinks_with_launches() -> None:
    few, many = Made(launch_ms=[5.0] * 3), Made(launch_ms=[5.0] * 30)
    seen = []
    for m in (few, many):
        line = next(x for x in judged(side([m]), side([m])) if x.metric is Metric.P50)
        change = change_of(line.verdict)
        assert change
        assert change.detectable is not None
        seen.append(change.detectable)
    assert seen[1] < seen[0]


@pytest.mark.parametrize("ratio", [1.02, 0.98])
def test_a_change_below_the_threshold_is_none(ratio: float) -> None:
    lines = judged(side([Made()]), side([Made(launch_ms=[5.0 * ratio] * 5)]))
    assert next(verdict_name(x.verdict) for x in lines if x.metric is Metric.P50) == "Same"
