"""Cells whose test sets differ in shapes: no figure, gain or comparison is drawn from unlike runs."""

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from comparison.run_records import read_run
from perf.exports.export import export
from perf.page.document import render_page
from perf.report import terminal
from perf.report.finished_run import FinishedRun
from perf.results import tables
from perf.results.cell_row import CellRow
from perf.results.shapes import split_by_shapes
from perf.schema.cell import TensorFile, TestSet
from perf.schema.journal import Compared
from perf.schema.record import GpuCounters, LaunchKind, Record
from tests.asking import Said, ask
from tests.comparison.runs import compare, write_run
from tests.results import hand_made as made

SMALL, LARGE = {"x": "8x512"}, {"x": "512x512"}
SETS = tuple(
    TestSet(f"set_{i}", (TensorFile("x", f"{i}.npy", 1, (rows, 512)),))
    for i, rows in enumerate((8, 512))
)


def mixed(target: str, small_ms: float, large_ms: float, launches: int = 5) -> Record:
    """A cell that was fed 8 and 512 rows in turn, ten runs of each a launch; launches differ by ±1 %."""
    cell = replace(made.cell("mixed", target), sets=SETS)
    compared = tuple(Compared(s.name, "y", "", 0, 10, 1e-5, relative_norm=1e-6) for s in SETS)
    found = [made.check(target, {target: 3}, compared=compared)]
    for i in range(launches):
        factor = 1 + (i % 3 - 1) / 100
        found.append(made.measure(i, [small_ms * factor, large_ms * factor] * 10))
    return Record(cell, made.PASSED, tuple(found), made.RUN_ID)


RECORDS = (mixed(made.CPU, 0.07, 2.5), mixed(made.CUDA, 0.14, 0.25))


def rows(records: Sequence[Record] = RECORDS) -> dict[tuple[str, str], CellRow]:
    """Rows by target and the shape of x."""
    found = tables.tabulate_cells(records, run_id="RUN")
    return {(c.row.target, c.row.input_shapes["x"]): c.row for c in found}


def test_each_shape_has_a_row_with_its_own_median_under_one_cell_id() -> None:
    found = rows()
    assert [(k, r.p50_ms, r.samples) for k, r in found.items()] == [
        ((made.CPU, "8x512"), 0.07, 50), ((made.CPU, "512x512"), 2.5, 50),
        ((made.CUDA, "8x512"), 0.14, 50), ((made.CUDA, "512x512"), 0.25, 50),
    ]  # fmt: skip
    assert {r.cell for r in found.values()} == {f"mixed::{made.CPU}", f"mixed::{made.CUDA}"}
    assert [(r.shape_number, r.shape_count) for r in found.values()] == [(1, 2), (2, 2)] * 2
    assert all(r.compared_outputs == 1 for r in found.values())


def test_a_gain_is_of_one_shape() -> None:
    found = rows()
    small, large = found[made.CUDA, "8x512"], found[made.CUDA, "512x512"]
    assert small.cpu_gain_pct == pytest.approx(-100.0)
    assert large.cpu_gain_pct == pytest.approx(90.0)


def test_a_target_fed_another_shape_is_not_set_against_the_cpu_ep() -> None:
    cpu = split_by_shapes(RECORDS[0])[0].record
    other = split_by_shapes(RECORDS[1])[1].record
    assert [c.gain for c in tables.tabulate_cells([cpu, other], run_id="RUN")] == [
        tables.tabulate_cells([cpu], run_id="RUN")[0].gain,
        None,
    ]


def test_sets_of_equal_shapes_are_one_row_as_before() -> None:
    alike = replace(RECORDS[0], cell=replace(RECORDS[0].cell, sets=(SETS[0], SETS[0])))
    (row,) = rows([alike]).values()
    assert row.samples == 100
    assert (row.shape_number, row.shape_count) == (1, 1)


def test_sets_that_were_timed_one_after_another_are_told_apart_too() -> None:
    """As trtexec times them: all runs of one set, then all of the next."""
    timed = made.timed(
        [0.07] * 30 + [2.5] * 10, runs_by_set=(30, 10), parts_ns={"h2d": (1,) * 30 + (9,) * 10}
    )
    launches = (RECORDS[0].launches[0], made.measure(0, [], timed=timed))
    record = replace(RECORDS[0], launches=launches)
    found = rows([record])
    assert [(r.p50_ms, r.samples) for r in found.values()] == [(0.07, 30), (2.5, 10)]
    assert [r.parts_p50_ms for r in found.values()] == [{"h2d": 1e-6}, {"h2d": 9e-6}]


def test_what_cannot_be_taken_apart_is_unknown() -> None:
    """Energy is of the whole timed stage: divided by the runs of one shape, nobody ever had it."""
    counters = GpuCounters(4.0, 4.4, 100.0, 30.0, 300.0, 1500.0, 1200.0, 60.0, 0.0, window_s=1.0)
    record = made.with_launches(
        RECORDS[0], LaunchKind.MEASURE, cpu_energy_j=3.0, gpu_counters=counters
    )
    for row in rows([record]).values():
        assert row.cpu_energy_j_per_run is row.energy_counter_j_per_run is row.average_w is None
        assert row.sm_mhz == 1500.0
    small, large = rows([record]).values()
    assert small.first_run_ms == 12.5  # of the first set
    assert large.first_run_ms is None


def test_a_launch_that_waited_is_preempted_for_every_shape() -> None:
    waited = made.timed([0.07, 2.5] * 10, run_delay_ns=2_000_000)  # 8 % of the loop
    calm = made.timed([0.07, 2.5] * 10, run_delay_ns=200_000)  # 0.8 %
    for timed, share in ((waited, 1), (calm, 0)):
        record = made.with_launches(RECORDS[0], LaunchKind.MEASURE, timed=timed)
        assert [r.preempted_launches for r in rows([record]).values()] == [5 * share] * 2


def test_the_seven_tables_hold_the_first_shape_and_say_how_many_more(tmp_path: Path) -> None:
    written = tables.write_all(RECORDS, made.host(), tmp_path, tmp_path, "RUN")
    told = {
        p.name: list(csv.DictReader(p.read_text(encoding="utf-8").splitlines()))
        for p in written
        if p.suffix == ".csv"
    }
    success = told["benchmark_success_RUN.csv"]
    assert [
        (r["device"], float(r["p50_ms"]), json.loads(r["input_shapes"]), r["more_shapes"])
        for r in success
    ] == [(made.CPU, 0.07, SMALL, "1"), (made.CUDA, 0.14, SMALL, "1")]
    (latency,) = told["benchmark_latency_RUN.csv"]
    assert float(latency[f"{made.CUDA} p50 (ms)"]) == 0.14
    assert json.loads(latency[f"{made.CUDA} input shapes"]) == SMALL
    assert latency[f"{made.CUDA} more shapes"] == "1"
    assert len(told["cells.csv"]) == 4


def test_the_terminal_tells_a_line_for_each_shape() -> None:
    first, second = tables.tabulate_cells(RECORDS[1:], run_id="")
    line = terminal.format_cell(RECORDS[1], first.gain)
    assert "p50 0.1400 ms ± 0.0014  of x=8x512  5 x 10 runs" in line
    assert terminal.format_further_shapes(second) == (
        "    x=512x512  p50 0.2500 ms ± 0.0025  5 x 10 runs  io host"
    )


def test_page_and_exports_pool_no_shapes() -> None:
    run = FinishedRun("RUN", RECORDS)
    page = render_page([run])
    assert "All 2 cells passed" in page
    assert "x=512x512" in page
    pooled = {"1.26", "1.285"}  # the median and the mean of all runs of the CPU EP
    assert not any(f">{p}<" in page for p in pooled)
    junit = export("junit", run)
    assert junit.count("<testcase") == 2
    assert 'name="p50_ms" value="0.07"' in junit
    assert [r["p50_ms"] for r in json.loads(export("json", run))["cells"]] == [
        0.07,
        2.5,
        0.14,
        0.25,
    ]


# --- compared


def test_a_slowdown_of_one_shape_is_seen_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    write_run(Path("result/a"), [mixed(made.CPU, 0.07, 2.5)])
    write_run(Path("result/b"), [mixed(made.CPU, 0.07, 5.0)])
    found = compare("-p", "a", "-c", "b", "--all")
    told = {(r["shapes"], r["metric"]): r["verdict"] for r in found.rows}
    assert told["x=8x512", "latency_p50"] == "Same"
    assert told["x=512x512", "latency_p50"] == "Slower (suspect)"
    assert found.status == 1
    about = [
        r["metric"] for r in found.rows if r["metric"] in ("status", "host_memory", "placement")
    ]
    assert len(about) == len(set(about))  # of the cell: told once
    names = {(c.id, c.shapes) for c in read_run(Path("result/a")).cells}
    assert names == {(f"mixed::{made.CPU}", "x=8x512"), (f"mixed::{made.CPU}", "x=512x512")}


# --- a user's own run


@pytest.fixture(scope="module")
def said(shared_home: Path) -> Said:
    """The tests' linear model: its two sets have 1 and 2 rows."""
    return ask(
        shared_home, "-i", "zoo", "-r", "both", "--models", "linear", "-t", "10", "--launches", "2"
    )


def test_a_run_tells_each_shape_and_k_and_resume_go_by_cell(said: Said, shared_home: Path) -> None:
    assert said.status == 0, said.err
    found = tables.read_cells(said.run.root / "cells.csv")
    assert [(r.cell, r.input_shapes, r.samples) for r in found] == [
        ("linear::CPUExecutionProvider", {"x": "1x8"}, 10),
        ("linear::CPUExecutionProvider", {"x": "2x8"}, 10),
    ]
    (record,) = said.records.values()
    runs = [x.timed.samples_ns for x in record.launches if x.timed]
    for number, row in enumerate(found):
        mine = sorted(ns / 1e6 for samples in runs for ns in samples[number::2])
        assert row.min_ms == pytest.approx(mine[0], abs=1e-6)
        assert row.max_ms == pytest.approx(mine[-1], abs=1e-6)
    assert "1 cell: 1 Passed." in said.out
    assert "    x=2x8  p50" in said.out
    again = ask(shared_home, "--resume", said.run.run_id)
    assert again.status == 0, again.err
    assert len(tables.read_cells(said.run.root / "cells.csv")) == 2
    plan = ask(shared_home, "-i", "zoo", "-k", "linear::CPUExecutionProvider", "--dry_run")
    assert plan.out.count("linear::CPUExecutionProvider") == 1


def test_a_table_of_first_shapes_is_compared_with_the_first_shapes_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """benchmark_latency holds one figure a cell: it must not meet those of 512 rows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    record = mixed(made.CPU, 0.07, 2.5)
    tables.write_all([record], made.host(), tmp_path, tmp_path, "RUN")
    write_run(Path("result/b"), [record])
    found = compare("-p", "benchmark_latency_RUN.csv", "-c", "b", "--all")
    (p50,) = (r for r in found.rows if r["metric"] == "latency_p50" and r["previous"])
    assert (p50["shapes"], p50["previous"], p50["current"]) == ("x=8x512", "0.07", "0.07")
    assert found.status == 0
