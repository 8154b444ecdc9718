"""Runs that earlier versions stored: read, folded, tabulated, compared and resumed by the code of today."""

import csv
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from perf.machine.system import SystemInfo
from perf.planning.launch import expectation_of
from perf.results import run_folder, tables
from perf.results.run_folder import RunFolder
from perf.schema import cell as cells
from perf.schema import codec, fold, journal, outcomes, record
from perf.schema.cell import digest_of
from perf.schema.record import Outcome, Record
from perf.schema.version import VERSION, NewerSchemaError
from tests.asking import CURRENT, ROOT, ask, command, one_line

STORED = Path(__file__).parent / "stored_runs" / "cb0f346"
RUNS = ("outcomes", "again")
# Their two test sets have 1 and 2 rows. That version pooled the runs of both; what is drawn from them differs.
UNLIKE = ("linear", "wrong")
OF_THEIR_RUNS = re.compile(
    r"(.* )?(marks|samples|sets|mean.*|stdev_ms|min_ms|p50.*|launch_[mhp].*_ms|runs_per_s|compared_outputs"
    r"|max_rel|relative_norm|cosine|test_times|QPS|.*latency.*|spread.*)"
)


def kept(run_id: str) -> RunFolder:
    return RunFolder(STORED / "result", run_id)


def in_plan_order(run: RunFolder) -> tuple[Record, ...]:
    by_id = {r.cell.id: r for r in run_folder.read_records(run)}
    planned = run_folder.read_json(run.root / "run.json")["cells"]
    return tuple(by_id[cell] for cell in planned)


def host_of(run: RunFolder) -> SystemInfo:
    return codec.decode(SystemInfo, run_folder.read_json(run.root / "host.json"))


def test_a_cell_of_each_outcome_is_read() -> None:
    found = [r.outcome for run_id in RUNS for r in run_folder.read_records(kept(run_id))]
    names = {outcomes.name(o) for o in found}
    assert names == {codec.tag_of(kind) for kind in Outcome.__args__}
    stored = list((STORED / "result").glob("*/cells/*/*/*/record.json"))
    assert len(found) == len(stored) == 19


def test_a_stored_cell_keeps_its_identity() -> None:
    """An equal question asked today gets the digest, and so the folder, that it had."""
    stored = sorted(STORED.rglob("cell.json"))
    assert len(stored) > 15
    for path in stored:
        cell = cells.read_cell(path)
        assert digest_of(cell) == cell.digest == path.parent.name, path


def test_a_stored_journal_folds_to_the_outcome_that_was_recorded() -> None:
    seen = set()
    for path in sorted(STORED.rglob("record.json")):
        found = record.read_record(path)
        for launch in found.launches:
            account = path.parent / launch.name / "journal.jsonl"
            if not account.exists():
                continue
            events = journal.read_journal(account)
            lines = account.read_bytes().splitlines()
            assert len(events) == len(lines), account
            assert fold.fold(events, launch.ending, expectation_of(found.cell)) == launch.outcome
            seen |= {json.loads(line)["is"] for line in lines}
    assert {
        "Hello",
        "Began",
        "Placed",
        "Attested",
        "Timed",
        "RaisedError",
        "Declined",
    } <= seen


def rows_of(path: Path) -> list[Mapping[str, str]]:
    with path.open(encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f))


def assert_old_columns_are_equal(old: Path, new: Path) -> None:
    """Each stored row has its place and its values; rows and columns of later versions may stand between."""
    before, after = rows_of(old), rows_of(new)
    assert [column for column in after[0] if column in before[0]] == list(before[0])
    rest: Iterator[Mapping[str, str]] = iter(after)
    for row in before:
        model = row.get("model") or row.get("Model") or row.get("model_name")
        if model in UNLIKE and row.get("metric", "").startswith("latency"):
            continue
        if row.get("metric") == "latency_p50":  # that version gave a 25th percentile by this name
            continue
        kept = {
            k: v
            for k, v in row.items()
            if model not in UNLIKE or not OF_THEIR_RUNS.fullmatch(k)
            if k
            != "detectable_pct"  # the more is asked, the less is seen: a cell's shapes are asked apart
        }
        assert any(all(is_same(v, found.get(k)) for k, v in kept.items()) for found in rest), row


def is_same(stored: str, now: str | None) -> bool:
    """Equal as text, or as numbers: a temperature that NVML told as 61 was once written so, and reads 61.0."""
    try:
        return stored == now or float(stored) == float(now or "")
    except ValueError:
        return False


@pytest.mark.parametrize("run_id", RUNS)
def test_tables_written_from_stored_records_equal_the_stored_ones(
    run_id: str, tmp_path: Path
) -> None:
    run = kept(run_id)
    label = run_folder.read_json(run.root / "run.json")["label"]
    written = tables.write_all(
        in_plan_order(run), host_of(run), tmp_path, tmp_path, run_id, label=label
    )
    made = {p.name: p for p in written}
    stored = [*run.results.glob(f"benchmark_*_{run_id}.csv"), run.root / "cells.csv"]
    assert len(stored) == 8
    for old in stored:
        assert_old_columns_are_equal(old, made[old.name])
    assert tables.read_cells(run.root / "cells.jsonl") == tables.read_cells(run.root / "cells.csv")


def test_samples_that_were_pooled_are_told_apart_by_their_shapes(tmp_path: Path) -> None:
    run = kept("outcomes")
    records = in_plan_order(run)
    (old,) = (r for r in records if r.cell.id == "linear::CPUExecutionProvider")
    runs = [x.timed.samples_ns for x in record.measure_launches(old) if x.timed]
    written = tables.write_all(records, host_of(run), tmp_path, tmp_path, "outcomes")
    (path,) = (p for p in written if p.name == "cells.csv")
    rows = [r for r in tables.read_cells(path) if r.cell == old.cell.id]
    assert [r.input_shapes for r in rows] == [{"x": "1x8"}, {"x": "2x8"}]
    for number, row in enumerate(rows):
        mine = [ns / 1e6 for samples in runs for ns in samples[number::2]]
        assert row.p50_ms == pytest.approx(statistics.median(mine), abs=1e-6)
        assert row.samples == len(mine) == 4


def test_two_stored_runs_compare_as_they_did(tmp_path: Path) -> None:
    program = ROOT / "comparison" / "comparison_script.py"
    done = subprocess.run(
        [sys.executable, str(program), "--results", str(STORED / "result"), "-p", "outcomes", "-c", "again",
         "--all", "-o", str(tmp_path / "verdicts.csv")],
        capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert_old_columns_are_equal(STORED / "comparison.csv", tmp_path / "verdicts.csv")


# --- resuming


@pytest.fixture
def interrupted(tmp_path: Path) -> Path:
    """The interrupted run as this machine would have left it: with its versions in every cell's identity."""
    home = tmp_path / "home"
    shutil.copytree(STORED / "other", home / "result")
    shutil.copytree(STORED / "models", home / "models")
    shutil.copy(STORED / "environments.toml", home)
    (home / "environments.toml").write_text(CURRENT, encoding="utf-8")
    plan = subprocess.run(
        command("-m", "models", "-r", "both", "-i", "zoo", "-t", "300", "--launches", "2", "--warmup", "1",
                "-e", "cpu", "--dry_run", "--json"),
        cwd=home, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    digests = {c["id"]: c["cell"]["digest"] for c in json.loads(plan.stdout)["cells"]}
    for cell_id, digest in digests.items():
        model, _, target = cell_id.partition("::")
        (folder,) = (home / "result/interrupted/cells" / model / target).iterdir()
        folder.rename(folder.with_name(digest))
    description = home / "result/interrupted/run.json"
    told: dict[str, Any] = json.loads(description.read_text())
    told["options"]["ep_list"] = ["cpu"]  # its other engine was a fake of that day
    description.write_text(json.dumps(told))
    return home


def test_a_stored_run_is_finished_by_resume(interrupted: Path) -> None:
    run = interrupted / "result" / "interrupted"
    before = {p: p.read_bytes() for p in run.rglob("launch.json") if "CPU" in str(p)}
    said = ask(interrupted, "--resume", "interrupted")
    assert said.status == 0, said.err
    assert {p: p.read_bytes() for p in before} == before
    got = {c: r["outcome"] for c, r in said.cells.items()}
    assert got == {
        "broken::CPUExecutionProvider": "ArtefactFailed",
        "linear::CPUExecutionProvider": "Passed",
        "relu::CPUExecutionProvider": "Passed",
        "wrong::CPUExecutionProvider": "Mismatched",
    }
    old = record.read_record(
        next((STORED / "other/interrupted/cells/linear").rglob("record.json"))
    )
    assert said.records["linear::CPUExecutionProvider"].launches == old.launches


# --- versions


def test_what_is_written_now_says_its_version(home: Path) -> None:
    said = ask(home, "-i", "zoo", "-t", "2", "--launches", "1", "--models", "relu")
    assert said.status == 0
    root = said.run.root
    for name in ("run.json", "record.json", "launch.json", "cell.json"):
        for path in root.rglob(name):
            assert json.loads(path.read_text())["schema"] == VERSION, path
    accounts = list(root.rglob("journal.jsonl"))
    assert accounts
    for path in accounts:
        assert json.loads(path.read_text().splitlines()[0])["schema"] == VERSION


@pytest.mark.parametrize("name", ["run.json", "record.json", "launch.json"])
def test_a_run_of_a_newer_version_is_refused_by_its_file_name(
    interrupted: Path, name: str
) -> None:
    for path in (interrupted / "result" / "interrupted").rglob(name):
        told = {"schema": VERSION + 1, **json.loads(path.read_text())}
        path.write_text(json.dumps(told))
    said = ask(interrupted, "--resume", "interrupted", "-q", "-q")
    assert said.status == 2
    line = one_line(said)
    assert name in line
    assert f"written by a newer ep-perf (schema {VERSION + 1}; this one reads up to" in line


def test_a_journal_of_a_newer_version_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"is":"Hello","pid":1,"python":"3.15","at_s":1.0,"schema":99,"new":1}\n')
    with pytest.raises(NewerSchemaError, match=r"journal\.jsonl: written by a newer ep-perf"):
        journal.read_journal(path)


def test_a_comparison_with_a_newer_run_names_the_file(tmp_path: Path) -> None:
    shutil.copytree(STORED / "result", tmp_path / "result")
    newer = next((tmp_path / "result/again").rglob("record.json"))
    newer.write_text(json.dumps({"schema": 99, **json.loads(newer.read_text())}))
    program = ROOT / "comparison" / "comparison_script.py"
    done = subprocess.run(
        [sys.executable, str(program), "--results", str(tmp_path / "result"), "-p", "outcomes", "-c", "again"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "record.json: written by a newer ep-perf (schema 99" in done.stderr
