"""Runs of one plan merged: whatever the order, nothing lost, nothing told twice, and what is odd is said."""

import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perf.fleet import merge
from perf.fleet.merge import Merge, describe_merge, merge_runs
from perf.request.options import BadRequestError
from perf.results import run_folder, tables
from perf.results.cell_row import CellRow
from perf.results.host_records import host_key, read_host_records
from perf.schema.journal import Stage
from perf.schema.merged_run import Fate
from perf.schema.record import Crashed, Record
from perf.schema.whole_plan import WholePlan
from tests.asking import snapshot
from tests.fleet.made_runs import (
    COLUMNS,
    IDS,
    PLAN,
    RUN_ID,
    canary,
    host,
    measured,
    on_host,
    write_shard,
)
from tests.results import hand_made
from tests.results.hand_made import CPU, CUDA
from tests.results.test_shapes import mixed

N1, N2 = host("n1"), host("n2")


def failed(cell_id: str) -> Record:
    model, _, target = cell_id.partition("::")
    return on_host(
        hand_made.failed(hand_made.cell(model, target), Crashed(Stage.RUN, "SIGSEGV")), N2
    )


# Records that a cell may have brought: from one host, another, or one that crashed.
VARIANTS: tuple[Record, ...] = (
    *(r for i in IDS for r in (measured(i, N1), measured(i, N2, 5.0), failed(i))),
    canary(N1, (2.0, 2.0)),
    canary(N2, (2.0, 2.01)),
)
PARTS = st.lists(
    st.lists(
        st.integers(0, len(VARIANTS) - 1), max_size=6, unique_by=lambda n: VARIANTS[n].cell.id
    ),
    min_size=1,
    max_size=4,
)


def rows(done: Merge) -> dict[str, list[CellRow]]:
    """Rows of the long table by cell."""
    found = tables.read_cells(done.run.root / "cells.csv")
    assert found == tables.read_cells(done.run.root / "cells.jsonl")
    return {i: list(same) for i, same in itertools.groupby(found, key=lambda r: r.cell)}


def files(done: Merge) -> Mapping[str, str]:
    return {k: v for k, v in snapshot(done.run.results).items() if not k.endswith(".lock")}


def shards(folder: Path, parts: Sequence[Sequence[int]]) -> list[Path]:
    return [
        write_shard(
            folder / f"s{i}", [VARIANTS[n] for n in part], (N1, N2), shard=f"{i + 1}/{len(parts)}"
        )
        for i, part in enumerate(parts)
    ]


def merged(folder: Path, *sources: Path, into: str = "merged") -> Merge:
    return merge_runs(sources, RUN_ID, folder / into)


# --- laws


@settings(max_examples=15)
@given(PARTS)
def test_order_and_grouping_do_not_matter_and_again_changes_nothing(
    parts: list[list[int]],
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        made = shards(folder, parts)
        at_once = merged(folder, *made)
        expected = files(at_once)
        assert files(merged(folder, *made)) == expected  # again
        assert files(merged(folder, *reversed(made), into="reversed")) == expected
        left = merged(folder, *made[:2], into="left").run.results
        right = merged(folder, *made[1:], into="right").run.results if made[1:] else left
        assert files(merged(folder, left, right, into="grouped")) == expected
        for one in made:  # as they come back
            last = merged(folder, one, into="growing")
        assert files(last) == expected


@settings(max_examples=15)
@given(PARTS)
def test_every_record_is_kept_once_and_every_planned_cell_is_told(
    parts: list[list[int]],
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        done = merged(folder, *shards(folder, parts))
        given_records = [VARIANTS[n] for n in {n for part in parts for n in part}]
        kept = run_folder.read_records(done.run)
        assert len(kept) == len(given_records)
        assert all(r in kept for r in given_records)
        found = rows(done)
        came = {i: [r for r in given_records if r.cell.id == i] for i in IDS}
        for cell_id, records in came.items():
            told = found[cell_id]
            assert len(told) == max(1, len(records))
            assert all(r.status == "NotRun" and r.detail == "not returned" for r in told) == (
                not records
            )
            assert all(("replica" in r.marks) == (len(records) > 1) for r in told)
        assert done.merged.missing == sum(not records for records in came.values())
        assert done.merged.replicas == tuple(sorted(i for i in IDS if len(came[i]) > 1))
        for row in (r for same in found.values() for r in same if r.log):
            assert (done.run.results / row.log).is_file()


# --- what a merged run holds


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    """Two shards that between them have every cell."""
    first = [*(measured(i, N1) for i in IDS[:4]), canary(N1, (2.0, 2.01))]
    second = [*(measured(i, N2) for i in IDS[4:]), canary(N2, (2.0, 2.02))]
    return [
        write_shard(tmp_path / "one", first, (N1,), shard="1/2"),
        write_shard(tmp_path / "two", second, (N2,), shard="2/2"),
    ]


def test_a_whole_run_names_the_host_of_each_cell(two: list[Path], tmp_path: Path) -> None:
    done = merged(tmp_path, *two)
    assert done.complete
    assert {i: [r.host for r in same] for i, same in rows(done).items() if i in IDS} == {
        i: ["n1" if i in IDS[:4] else "n2"] for i in IDS
    }
    assert read_host_records(done.run.root) == {host_key(h): h for h in (N1, N2)}
    told = json.loads((done.run.root / "run.json").read_text())
    assert told["cells"] == list(IDS)
    assert told["merged"]["shards"] == ["1/2", "2/2"]
    assert told["command"] == ["benchmark_wrapper.py", "--ep_list", "cpu"]
    assert (done.run.results / "latest").resolve() == done.run.root


def test_the_machine_s_table_tells_hosts_apart_where_they_differ(
    two: list[Path], tmp_path: Path
) -> None:
    done = merged(tmp_path, *two)
    text = (done.run.results / f"benchmark_system_info_{RUN_ID}.csv").read_text()
    lines = text.splitlines()
    assert "CPU,AMD EPYC" in lines
    assert {"n1: boot id,boot-n1", "n2: boot id,boot-n2"} <= set(lines)
    common = run_folder.read_json(done.run.root / "host.json")
    assert (common["hostname"], common["cpu"], common["boot_id"]) == ("2 hosts", "AMD EPYC", "")


def test_what_failed_brings_its_journals_and_what_passed_its_log(tmp_path: Path) -> None:
    source = write_shard(tmp_path / "s", [measured(IDS[0], N1), failed(IDS[1])], (N1, N2))
    done = merged(tmp_path, source)
    names = {
        r.cell.id: sorted(str(p.relative_to(leaf)) for p in leaf.rglob("*") if p.is_file())
        for r in run_folder.read_records(done.run)
        for leaf in [done.run.cell(r.cell)]
    }
    assert names == {
        IDS[0]: ["cell.json", "measure_1/output.log", "record.json"],
        IDS[1]: ["cell.json", "check/journal.jsonl", "check/output.log", "record.json"],
    }


def test_both_records_of_a_cell_that_two_hosts_ran_are_kept_and_told(tmp_path: Path) -> None:
    made = [
        write_shard(tmp_path / h.hostname, [measured(IDS[0], h, ms)], (h,), shard=f"{i}/2")
        for i, (h, ms) in enumerate(((N1, 4.0), (N2, 5.0)), 1)
    ]
    done = merged(tmp_path, *made)
    (leaf,) = {p.parent for p in done.run.root.glob("cells/a/*/*")}
    assert sorted(p.name.partition("@")[2][:3] for p in leaf.iterdir()) == ["n1-", "n2-"]
    assert [(r.host, r.marks) for r in rows(done)[IDS[0]]] == [
        ("n1", ("replica",)),
        ("n2", ("replica",)),
    ]
    status = (done.run.results / f"benchmark_status_{RUN_ID}.csv").read_text().splitlines()
    assert status[0] == f"Model,{CPU},{CUDA},{CPU} (replica 2),{CUDA} (replica 2)"
    assert status[1] == "a,Pass,NotRun,Pass,"
    assert f"{IDS[0]}: from more than one host; all are kept, as replicas" in describe_merge(done)
    assert not done.complete


def test_a_gain_is_over_what_the_same_host_measured(tmp_path: Path) -> None:
    """n2 ran only the GPU's half again: its time is not set against n1's CPU."""
    made = [
        write_shard(
            tmp_path / "one", [measured(IDS[0], N1, 8.0), measured(IDS[1], N1, 4.0)], (N1,)
        ),
        write_shard(tmp_path / "two", [measured(IDS[1], N2, 1.0)], (N2,), shard="2/2"),
    ]
    told = {r.host: r.cpu_gain_pct for r in rows(merged(tmp_path, *made))[IDS[1]]}
    assert told["n1"] == pytest.approx(50, abs=1)
    assert told["n2"] is None


def test_what_is_missing_says_why_until_it_comes(tmp_path: Path) -> None:
    here = write_shard(tmp_path / "one", [measured(i, N1) for i in IDS[:2]], (N1,))
    fates = {"b": Fate.HOST_LOST, "a": Fate.PREEMPTED}
    done = merge_runs([here], RUN_ID, tmp_path / "merged", fates)
    told = {i: same[0].detail for i, same in rows(done).items()}
    assert told == {**dict.fromkeys(IDS[:2], ""), IDS[2]: "host lost", IDS[3]: "host lost",
                    IDS[4]: "not returned", IDS[5]: "not returned"}  # fmt: skip
    assert done.merged.fates == {"b": Fate.HOST_LOST}
    assert f"{IDS[2]} and 3 more: NotRun (host lost, not returned)" in describe_merge(done)
    again = merged(tmp_path, done.run.results)  # what was told is kept
    assert again.merged.fates == {"b": Fate.HOST_LOST}
    late = write_shard(tmp_path / "late", [measured(i, N2) for i in IDS[2:]], (N2,), shard="2/2")
    assert merged(tmp_path, late).merged.missing == 0


def test_a_row_of_what_did_not_come_claims_nothing_of_its_host(tmp_path: Path) -> None:
    row = rows(merged(tmp_path, write_shard(tmp_path / "s", [], (N1,))))[IDS[0]][0]
    known = {k: v for k, v in vars(row).items() if v not in ("", None, (), {})}
    assert known == {
        "run_id": RUN_ID, "cell": IDS[0], "model": "a", "target": CPU, "precision": "fp32",
        "environment": "default", "status": "NotRun", "outcome": "NotRun", "exact_outcome": "NotRun",
        "error_type": "not run", "detail": "not returned", "shape_number": 1,
    }  # fmt: skip


def test_a_torn_record_counts_as_missing_and_is_named(two: list[Path], tmp_path: Path) -> None:
    torn = next((two[0] / RUN_ID).glob("cells/a/*/*/record.json"))
    torn.write_bytes(torn.read_bytes()[:200])
    done = merged(tmp_path, *two)
    assert done.merged.missing == 1
    assert any(
        "record.json" in line and "counts as missing" in line for line in describe_merge(done)
    )


def test_links_and_pipes_that_a_worker_left_are_not_brought(tmp_path: Path) -> None:
    source = write_shard(tmp_path / "s", [failed(IDS[1])], (N2,))
    (leaf,) = (source / RUN_ID).glob("cells/*/*/*")
    (leaf / "check" / "secret").symlink_to("/etc/hostname")
    os.mkfifo(leaf / "check" / "pipe")
    done = merged(tmp_path, source)
    (placed,) = done.run.root.glob("cells/*/*/*")
    assert sorted(p.name for p in (placed / "check").iterdir()) == ["journal.jsonl", "output.log"]


@pytest.mark.parametrize("text", ["{}", "[]", '{"launches": [1], "outcome": 2}'])
def test_a_record_that_is_none_counts_as_missing(
    two: list[Path], tmp_path: Path, text: str
) -> None:
    next((two[0] / RUN_ID).glob("cells/a/*/*/record.json")).write_text(text)
    done = merged(tmp_path, *two)
    assert done.merged.missing == 1
    assert any("counts as missing" in line for line in describe_merge(done))


def test_files_of_another_file_system_are_copied(
    two: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked = files(merged(tmp_path, *two))

    def other_device(*_args: object, **_kwargs: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", other_device)
    copied = merged(tmp_path, *two, into="copied")
    assert files(copied) == linked
    shutil.rmtree(two[0])
    assert len(run_folder.read_records(copied.run)) == len(IDS) + 2


def test_a_cell_of_several_shapes_has_a_row_for_each_and_is_no_replica(tmp_path: Path) -> None:
    made = on_host(mixed(CPU, 0.5, 2.5), N1)
    plan = WholePlan("0123456789abcdef", ("mixed",), COLUMNS[:1])
    done = merged(tmp_path, write_shard(tmp_path / "s", [made], (N1,), shard="1/1", plan=plan))
    assert [(r.shape_number, r.p50_ms, r.marks) for r in rows(done)[f"mixed::{CPU}"]] == [
        (1, 0.5, ("shapes 1 of 2",)), (2, 2.5, ("shapes 2 of 2",)),
    ]  # fmt: skip
    assert done.summary.outcomes == {"Passed": 1}
    assert done.complete


# --- hosts


def test_a_host_that_drifts_is_flagged_and_its_cells_are_marked(tmp_path: Path) -> None:
    made = [
        write_shard(tmp_path / "1", [measured(IDS[0], N1), canary(N1, (2.0, 3.0))], (N1,)),
        write_shard(
            tmp_path / "2", [measured(IDS[4], N2), canary(N2, (2.0, 2.0))], (N2,), shard="2/2"
        ),
    ]
    done = merged(tmp_path, *made)
    assert list(done.merged.flagged) == [host_key(N1)]
    assert "drifted" in done.merged.flagged[host_key(N1)]
    assert "went +50 %" in done.merged.flagged[host_key(N1)]
    assert [r.marks for i in (IDS[0], IDS[4]) for r in rows(done)[i]] == [("host flagged",), ()]


def test_of_unlike_hosts_none_is_held_against_another(tmp_path: Path) -> None:
    other = replace(N2, cpu="Another CPU")
    made = [
        write_shard(tmp_path / "1", [canary(N1, (2.0, 2.0))], (N1,)),
        write_shard(tmp_path / "2", [canary(other, (6.0, 6.0))], (other,), shard="2/2"),
    ]
    assert merged(tmp_path, *made).merged.flagged == {}


def test_a_host_with_another_build_is_one_line_and_nothing_is_lost(tmp_path: Path) -> None:
    other = replace(N2, environments={"default": {"onnxruntime": "1.30.0", "numpy": "2.4.6"}})
    third = host("n3")
    made = [
        write_shard(tmp_path / h.hostname, [measured(i, h)], (h,), shard=f"{n}/3")
        for n, (h, i) in enumerate(((N1, IDS[0]), (other, IDS[2]), (third, IDS[4])), 1)
    ]
    done = merged(tmp_path, *made)
    (line,) = (x for x in describe_merge(done) if x.startswith("host"))
    assert line == (
        "host n2: other build: environment default has onnxruntime 1.30.0, others 1.31.1; "
        "its cells are marked `host flagged`"
    )
    assert len(run_folder.read_records(done.run)) == 3
    assert [rows(done)[i][0].marks for i in IDS[::2]] == [(), ("host flagged",), ()]


# --- requests that cannot be served


def test_runs_of_different_plans_are_not_merged(two: list[Path], tmp_path: Path) -> None:
    plan = replace(PLAN, digest="f" * 16)
    more = replace(plan, models=("a", "b", "d"))
    flags = write_shard(tmp_path / "x", [], (N1,), plan=plan, options={"launches": 3})
    models = write_shard(tmp_path / "y", [], (N1,), plan=more)
    column = replace(PLAN.columns[0], variant="io=device")
    columns = write_shard(tmp_path / "z", [], (N1,), plan=replace(plan, columns=(column,)))
    for other, says in (
        (flags, "--launches: 5 and 3"), (models, "model c is in one alone"),
        (columns, f"target {CPU} is in one alone: name targets by -e"),
    ):  # fmt: skip
        with pytest.raises(BadRequestError, match="of another plan than") as e:
            merged(tmp_path, *two, other)
        assert says in str(e.value)
    assert not (tmp_path / "merged" / RUN_ID / "run.json").exists()


def test_a_folder_without_the_run_is_told_and_the_others_are_merged(
    two: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "lost").mkdir()
    done = merged(tmp_path, *two, tmp_path / "lost")
    assert done.merged.missing == 0
    assert f"{tmp_path}/lost: no run {RUN_ID} there; nothing came back from it" in describe_merge(
        done
    )


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    status = merge.main(words)
    return status, capsys.readouterr().err


def test_a_request_that_makes_no_sense_is_one_line(
    two: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there, out = str(two[0]), ("-o", str(tmp_path / "merged"))
    for words, says in (
        ((there, "--run_id", "other", *out), "no run other in any of them"),
        ((str(tmp_path / "none"), "--run_id", RUN_ID, *out), "no such folder"),
        ((there, "--run_id", "a/b", *out), "use letters, digits"),
        ((there, *out), "--run_id"),
        ((there, "--run_id", RUN_ID, "-o", there), "choose another folder with -o"),
        ((str(two[0] / RUN_ID), "--run_id", "other", *out), "not of a run other"),
    ):
        status, err = said(capsys, *words)
        assert (status, err.count("\n")) == (2, 1), err
        assert err.startswith("error: ")
        assert says in err


def test_a_run_of_an_earlier_version_says_nothing_of_its_plan(
    two: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = two[0] / RUN_ID / "run.json"
    told = json.loads(path.read_text())
    del told["plan"]
    path.write_text(json.dumps(told))
    status, err = said(capsys, str(two[0]), "--run_id", RUN_ID, "-o", str(tmp_path / "m"))
    assert status == 2
    assert "says nothing of its plan" in err


def test_strict_is_a_gate(
    two: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("--run_id", RUN_ID, "--strict", "-o")
    assert said(capsys, *map(str, two), *out, str(tmp_path / "whole"))[0] == 0
    assert said(capsys, str(two[0]), *out, str(tmp_path / "half"))[0] == 1
