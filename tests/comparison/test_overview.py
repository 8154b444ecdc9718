"""What a person reads of a comparison: differences once, a line per cell, and nothing made of noise."""

from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest

from perf.results import tables
from perf.results.run_folder import RunFolder, read_records
from tests.comparison.cases import BASE, FAILS, scaled
from tests.comparison.runs import Answer, Made, compare, write_run, write_two
from tests.results.hand_made import CPU

MODELS = ("a", "b", "c")


def body(found: Answer) -> list[str]:
    """The lines of the table, below its headings."""
    lines = found.out.splitlines()
    begin = next(i for i, x in enumerate(lines) if x.startswith("verdict "))
    return [x for x in lines[begin + 1 :] if "::" in x and not x.startswith(" ")]


def test_a_run_compared_with_itself_reads_as_the_same_within_so_much() -> None:
    write_run(Path("result/a"), [Made(model=m) for m in MODELS])
    found = compare("-p", "a", "-c", "a")
    assert found.status == 0
    assert found.out.startswith("a -> a: same within 9.0 % (3 cells).\n")
    assert "Unclear" not in found.out


def test_two_runs_of_the_same_on_a_noisy_machine_are_no_page_of_unclear() -> None:
    previous = [Made(model=m) for m in MODELS]
    current = [scaled(ratio, m) for ratio, m in zip((1.05, 0.94, 1.03), previous, strict=True)]
    found = compare(*write_two(previous, current))
    assert found.status == 0
    assert "same within 16.0 % (3 cells)" in found.out
    assert "Unclear" not in found.out
    told = {r["verdict"] for r in found.rows if r["metric"] == "latency_p50"}
    assert told == {"Unclear"}  # the CSV keeps its words


def test_what_differs_is_told_once_and_then_a_line_per_cell() -> None:
    previous = [Made(model=m) for m in MODELS]
    current = [replace(scaled(1.6, m), version="1.32.0") for m in previous]
    found = compare(*write_two(previous, current), "--across", "ep_version")
    assert found.out.count("onnxruntime 1.31.1 -> onnxruntime 1.32.0") == 1
    assert len(body(found)) == len(MODELS)
    assert found.out.splitlines()[1].startswith("differs in ep_version")


def test_cells_are_told_by_importance() -> None:
    previous = [Made(model=m) for m in ("broke", "faster", "slower", "much_slower", "alike")]
    ratios = {"faster": 1 / 1.6, "slower": 1.6, "much_slower": 3.0}
    current = [scaled(ratios.get(m.model, 1.0), m) for m in previous[1:]]
    found = compare(*write_two(previous, [replace(FAILS, model="broke"), *current]))
    assert [x.rpartition("  ")[2].partition("::")[0] for x in body(found)] == [
        "broke", "much_slower", "slower", "faster",
    ]  # fmt: skip
    assert "1 same within 9.0 %" in found.out


@pytest.mark.parametrize("flags", [(), ("--only", "latency")])
def test_a_gate_does_not_open_where_nothing_was_comparable(flags: tuple[str, ...]) -> None:
    other = replace(BASE, version="1.32.0")
    found = compare(*write_two([BASE], [other]), *flags)
    assert found.status == 2
    assert found.err.startswith("error: nothing was comparable: ep_version: ")
    assert "--across ep_version" in found.err


def test_a_gate_does_not_open_where_the_runs_share_no_cell() -> None:
    found = compare(*write_two([BASE], [replace(BASE, target=CPU)]))
    assert found.status == 2
    assert "no cell was measured on both sides" in found.err


def test_a_gate_opens_where_some_of_it_was_comparable() -> None:
    other = replace(BASE, model="b")
    found = compare(*write_two([BASE, other], [BASE, replace(other, version="1.32.0")]))
    assert found.status == 0


def test_the_medians_compared_are_those_that_the_tables_show() -> None:
    """A quarter of the runs is slow: the 25th percentile, the median and the mean are three numbers."""
    previous = replace(BASE, slow_quarter=1.5)
    words = write_two([previous], [scaled(1.6, previous)])
    found = compare(*words, "--all")
    told = {r["metric"]: r for r in found.rows}
    for side, column in (("a", "previous"), ("b", "current")):
        (cell,) = tables.tabulate_cells(read_records(RunFolder(Path("result"), side)), run_id=side)
        row = cell.row
        assert float(told["latency_p50"][column]) == pytest.approx(row.p50_ms, rel=1e-5)
        runs = [x.timed.samples_ns for x in cell.record.launches if x.timed]
        assert row.p50_ms == pytest.approx(median(ns for r in runs for ns in r) / 1e6)
    assert told["latency_p50"]["verdict"] == "Slower (suspect)"


@pytest.mark.parametrize("ratio", [1.1, 1.15, 1.18, 1.2, 1.22, 1.25, 1.3, 1 / 1.2, 1 / 1.3])
def test_nothing_is_claimed_below_what_could_be_seen(ratio: float) -> None:
    found = compare(*write_two([BASE], [scaled(ratio)]))
    for row in found.rows:
        if row["verdict"].startswith(("Slower", "Faster")):
            size = max(float(row["ratio"]), 1 / float(row["ratio"])) - 1
            assert 100 * size >= float(row["detectable_pct"])
    (p50,) = (r for r in found.rows if r["metric"] == "latency_p50")
    assert p50["verdict"].startswith(("Slower", "Faster")) == (max(ratio, 1 / ratio) > 1.23)
