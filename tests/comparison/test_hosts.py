"""Runs of many hosts compared: where two cells were measured is said, and unlike hosts are not compared."""

from dataclasses import replace
from pathlib import Path

import pytest

from comparison.cell_summary import Metric
from comparison.judge import Criteria, judge_cells
from comparison.load import read_source
from comparison.match import CellPair, match_cells
from comparison.verdict import Line, NotComparable, Same, Slower
from perf.fleet.merge import merge_runs
from perf.machine.system import SystemInfo
from tests.fleet.made_runs import IDS, RUN_ID, canary, host, measured, write_shard

N1, N2 = host("n1"), host("n2")


def merged(folder: Path, first: SystemInfo, second: SystemInfo, ms: float = 4.0) -> Path:
    """A run whose first two cells `first` measured, and the others `second`."""
    parts = ((first, IDS[:2], (2.0, 2.0)), (second, IDS[2:], (2.0, 2.0)))
    made = [
        write_shard(folder / str(n), [*(measured(i, h, ms) for i in ids), canary(h, moments)], (h,), shard=f"{n}/2")
        for n, (h, ids, moments) in enumerate(parts, 1)
    ]  # fmt: skip
    return merge_runs(made, RUN_ID, folder / "merged").run.root


def lines(previous: Path, current: Path, *across: str) -> dict[str, Line]:
    sides = [read_source(str(p), p.parent) for p in (previous, current)]
    assert all(len(s.cells) == len(IDS) for s in sides)  # canaries are no cells
    matched = match_cells(sides[0], sides[1], across)
    told = judge_cells(matched, sides[0], sides[1], Criteria(metrics=frozenset({Metric.P50})))
    return {x.cell: x for x in told}


def test_cells_of_one_host_are_compared_as_ever(tmp_path: Path) -> None:
    told = lines(merged(tmp_path / "a", N1, N2), merged(tmp_path / "b", N1, N2))
    assert all(isinstance(x.verdict, Same) for x in told.values())
    assert not any(x.across for x in told.values())


def test_hosts_alike_are_compared_and_both_are_named(tmp_path: Path) -> None:
    told = lines(merged(tmp_path / "a", N1, N2), merged(tmp_path / "b", N1, host("n3"), 6.0))
    assert [told[i].across for i in IDS[1:3]] == [(), ("host: n2 -> n3",)]
    assert all(isinstance(x.verdict, Slower) for x in told.values())


def test_unlike_hosts_are_not_compared_unless_that_is_the_question(tmp_path: Path) -> None:
    other = replace(N2, cpu="Another CPU")
    before, after = merged(tmp_path / "a", N1, N2), merged(tmp_path / "b", N1, other)
    told = lines(before, after)
    assert isinstance(told[IDS[0]].verdict, Same)
    blocked = told[IDS[2]].verdict
    assert isinstance(blocked, NotComparable)
    assert "cpu: AMD EPYC -> Another CPU" in blocked.why
    asked = lines(before, after, "cpu")[IDS[2]]
    assert isinstance(asked.verdict, Same)
    assert asked.across == ("cpu: AMD EPYC -> Another CPU",)


def test_a_cell_of_a_flagged_host_says_what_was_wrong_with_it(tmp_path: Path) -> None:
    slow = [
        write_shard(tmp_path / h.hostname, [measured(IDS[n], h), canary(h, (ms, ms))], (h,), shard=f"{n + 1}/2")
        for n, (h, ms) in enumerate(((N1, 2.0), (N2, 3.0)))
    ]  # fmt: skip
    run = merge_runs(slow, RUN_ID, tmp_path / "slow").run.root
    cells = {c.id: c for c in read_source(str(run), run.parent).cells}
    assert cells[IDS[0]].disturbances == ()
    (told,) = cells[IDS[1]].disturbances
    assert told.startswith("host n2 off its peer: ")
    assert "+50 %" in told


@pytest.mark.parametrize("name", ["cells.csv", "cells.jsonl"])
def test_a_merged_run_s_table_names_hosts_too(tmp_path: Path, name: str) -> None:
    before = merged(tmp_path / "a", N1, N2) / name
    after = merged(tmp_path / "b", N1, host("n3")) / name
    sides = [read_source(str(p), tmp_path) for p in (before, after)]
    matched = match_cells(sides[0], sides[1], ())
    found = {m.current.id: m.across for m in matched if isinstance(m, CellPair)}
    assert list(found) == list(IDS)
    assert [found[i] for i in IDS[1:3]] == [(), ("host: n2 -> n3",)]
