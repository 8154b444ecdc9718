"""Whole sides judged: itself is the same, swapped is mirrored, a drift of all cells is told as such."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from comparison import report
from comparison.cell_summary import Metric, RunSummary
from comparison.judge import Criteria, find_discoveries, find_two_sided, judge_cells
from comparison.match import match_cells
from comparison.run_records import summarise_record
from comparison.verdict import Line, Slower, Unclear, change_of, verdict_name
from perf.results.shapes import ShapedRecord
from perf.schema.cell import Io
from perf.schema.journal import EVENTS_AROUND
from tests.comparison.runs import Made, record_of
from tests.results.hand_made import CUDA


def side(cells: Sequence[Made], label: str = "a") -> RunSummary:
    return RunSummary(
        label,
        tuple(summarise_record(ShapedRecord(record_of(m), 1, 1), {}) for m in cells),
        frozenset(Metric),
    )


def judged(a: RunSummary, b: RunSummary, *across: str) -> tuple[Line, ...]:
    return judge_cells(match_cells(a, b, across), a, b, Criteria())


def p50_of(lines: Sequence[Line]) -> Line:
    return next(x for x in lines if x.metric is Metric.P50)


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
    mirrored = {"Faster": "Slower", "Slower": "Faster"}
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
    assert not any(report.is_worse(x) for x in lines)
    assert "looks like the machine" in report.describe_common_shift(lines)
    assert report.describe_common_shift(judged(side(cells), side(cells))) == ""


def test_across_precision_pairs_what_it_asks_about() -> None:
    full, half = side([Made()]), side([Made(target=f"{CUDA}_fp16", launch_ms=[2.0] * 5)])
    assert {verdict_name(x.verdict) for x in judged(full, half)} == {"Added", "Removed"}
    found = p50_of(judged(full, half, "precision"))
    assert verdict_name(found.verdict) == "Faster"
    assert "precision: fp32 -> fp16" in found.across


def test_two_io_modes_of_one_cell_are_paired_with_their_own() -> None:
    host, device = Made(launch_ms=[5.0] * 5), Made(io=Io.DEVICE, launch_ms=[1.0] * 5)
    lines = judged(side([host, device]), side([device, host]))
    assert [verdict_name(x.verdict) for x in lines if x.metric is Metric.P50] == ["Same", "Same"]


def test_the_smallest_change_seen_is_stated_and_shrinks_with_launches() -> None:
    seen = []
    for n in (3, 30):
        one = side([Made(launch_ms=[5.0] * n)])
        change = change_of(p50_of(judged(one, one)).verdict)
        assert change
        seen.append(change.detectable)
    assert seen[1] < seen[0]


@pytest.mark.parametrize("ratio", [1.02, 0.98])
def test_a_change_below_the_threshold_is_none(ratio: float) -> None:
    lines = judged(side([Made()]), side([Made(launch_ms=[5.0 * ratio] * 5)]))
    assert verdict_name(p50_of(lines).verdict) == "Same"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.sampled_from([0.01, 0.05, 0.2]))
def test_rejects_what_scipy_rejects(p_values: list[float], rate: float) -> None:
    adjusted = false_discovery_control(p_values, method="bh")
    for mine, theirs in zip(find_discoveries(p_values, rate), adjusted, strict=True):
        if theirs != pytest.approx(rate, rel=1e-9):  # at the very limit rounding decides
            assert mine == (theirs <= rate)


@given(st.lists(st.integers(0, 1024), min_size=1, max_size=30))
def test_swapping_sides_rejects_the_same(parts: list[int]) -> None:
    p_up = [n / 1024 for n in parts]  # 1 - p is exact
    assert find_two_sided(p_up, 0.02) == find_two_sided([1 - p for p in p_up], 0.02)


def test_keeps_the_rate_when_nothing_changed() -> None:
    chance = random.Random(3)
    tables = [[chance.random() for _ in range(40)] for _ in range(2000)]
    alarmed = sum(any(find_two_sided(t, 0.01)) for t in tables)
    assert alarmed / len(tables) < 0.017  # 1 % is expected; 1.7 % lies 3 standard errors above


def test_of_nothing_nothing_is_discovered() -> None:
    assert find_two_sided([], 0.01) == ()


@pytest.mark.parametrize(
    ("device_ms", "verdict", "note"),
    [
        (4.0, "Same", "not on the device: launching costs more"),
        (6.0, "Slower", "the device takes longer too"),
        (0.0, "", ""),
    ],
)
def test_a_slower_device_is_told_apart_from_dearer_launching(
    device_ms: float, verdict: str, note: str
) -> None:
    known = 4.0 if device_ms else 0.0
    before = side([Made(launch_ms=[5.0] * 5, device_ms=known)])
    after = side([Made(launch_ms=[9.0] * 5, device_ms=device_ms)])
    lines = {x.metric: x.verdict for x in judged(before, after)}
    slower = lines[Metric.P50]
    assert isinstance(slower, Slower)
    assert slower.note.endswith(note)
    assert ("device" in slower.note) == bool(note)
    device = lines.get(Metric.DEVICE)
    assert ("" if device is None else verdict_name(device)) == verdict


@pytest.mark.parametrize(
    ("device_ms", "says"),
    [(4.0, "takes as long"), (6.0, "takes longer"), (2.0, "takes less long")],
)
def test_where_launches_differ_too_much_the_device_says_whether_its_part_changed(
    device_ms: float, says: str
) -> None:
    noisy = (5.0, 7.0, 5.5, 6.5, 6.0)
    before = side([Made(launch_ms=noisy, device_ms=4.0)])
    after = side([Made(launch_ms=[ms * 1.08 for ms in noisy], device_ms=device_ms)])
    unclear = {x.metric: x.verdict for x in judged(before, after)}[Metric.P50]
    assert isinstance(unclear, Unclear)
    assert unclear.why.endswith(f"; the device itself {says}")


def test_a_span_between_events_is_no_time_of_the_devices_own() -> None:
    made = record_of(Made(launch_ms=[5.0] * 5, device_ms=4.0))
    spans = [
        replace(x, device_timed=replace(x.device_timed, source=EVENTS_AROUND))
        if x.device_timed
        else x
        for x in made.launches
    ]
    for record, told in ((made, True), (replace(made, launches=tuple(spans)), False)):
        cell = summarise_record(ShapedRecord(record, 1, 1), {})
        assert (Metric.DEVICE in cell.values) is told
