"""The README's own run, shortened: the offline set on the CPU and OpenVINO, from perf.sh to its tables."""

import csv
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from perf.results import run_folder
from perf.results.run_folder import RunFolder
from perf.schema.outcomes import STATUSES
from perf.schema.record import Passed, Raised, Record

ROOT = Path(__file__).parents[1]
CPU, OPENVINO = "CPUExecutionProvider", "OpenVINOExecutionProvider"
MODELS = [
    entry["model_name"]
    for entry in json.loads((ROOT / "model_list.json").read_text(encoding="utf-8"))
    if "model_name" in entry
]
LATENCY = (
    "mean (ms)", "90th percentile (ms)", "peak memory usage (MiB)", "peak host memory usage (MiB)",
    "p50 (ms)", "spread between launches (ms)", "launches", "samples", "io", "math mode", "status",
    "marks",
)  # fmt: skip
SESSION = (
    "session creation time (s)", "second session creation time (s)", "first run (ms)", "status",
)  # fmt: skip
HEADERS = {
    "fail": "model,ep,error type,error message,exact outcome,stage,cell,environment,log",
    "success": "engine,version,device,fp16,io_binding,graph_optimizations,enable_cache,model_name,inputs,"
    "batch_size,sequence_length,datetime,test_times,QPS,average_latency_ms,latency_variance,"
    "latency_90_percentile,latency_95_percentile,latency_99_percentile,p50_ms,spread_ms,launches,io,"
    "math_mode,check,exact_outcome,ratio_of_ops_on_ep,host_peak_mib,gpu_peak_mib,marks,cell,environment",
    "latency": ",".join(
        ["Model", *(f"{ep} {part}" for ep in (CPU, OPENVINO) for part in LATENCY)]
        + [f"{OPENVINO}_CPU_gain(%){part}" for part in ("", " low", " high", " pairs")]
    ),
    "metrics": "Model,EP,provider,total_ops,total_ops_in_trt,ratio_of_ops_in_trt,total_execution_time,"
    "total_trt_execution_time,ratio_of_execution_time_in_trt,total_ops_in_ep,ratio_of_ops_in_ep,"
    "total_ep_execution_time,ratio_of_execution_time_in_ep,partitions_in_ep,ops_elsewhere,source,status",
    "session": ",".join(
        ["Model", *(f"{ep} {part}" for part in SESSION for ep in (CPU, OPENVINO))]
    ),
    "status": f"Model,{CPU},{OPENVINO}",
    "system_info": "Spec,Version",
}
FAILS_ON_OPENVINO = (
    "loop_if"  # its Loop is not converted: an exception when the session is created
)


class Run:
    """One run's output and its folder."""

    def __init__(self, results: Path, done: "subprocess.CompletedProcess[str]") -> None:
        self.done = done
        self.results = results
        self.folder: RunFolder = run_folder.find_run(results)
        self.records: dict[str, Record] = {
            r.cell.id: r for r in run_folder.read_records(self.folder)
        }

    def path(self, table: str) -> Path:
        return self.results / f"benchmark_{table}_{self.folder.run_id}.csv"

    def table(self, name: str) -> list[dict[str, str]]:
        with self.path(name).open(encoding="utf-8", newline="") as f:
            return list(csv.DictReader(f))


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    results = tmp_path_factory.mktemp("end_to_end") / "result"
    argv = [
        "./perf.sh",
        "--no_install",
        "-r",
        "both",
        "-t",
        "5",
        "--launches",
        "2",
        "-o",
        str(results),
    ]
    done = subprocess.run(
        argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "COLUMNS": "100"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return Run(results, done)


def test_every_model_is_right_and_measured_on_the_cpu_and_all_but_one_on_openvino(
    run: Run,
) -> None:
    status = {row["Model"]: (row[CPU], row[OPENVINO]) for row in run.table("status")}
    wanted = {m: ("Pass", "Fail" if m == FAILS_ON_OPENVINO else "Pass") for m in MODELS}
    assert status == wanted
    outcome = run.records[f"{FAILS_ON_OPENVINO}::{OPENVINO}"].outcome
    assert isinstance(outcome, Raised)
    assert outcome.stage.value == "create"
    for record in run.records.values():
        if isinstance(record.outcome, Passed):
            assert [x.name for x in record.launches] == ["check", "measure_0", "measure_1"]
            assert all(len(x.timed.samples_ns) == 5 for x in record.launches if x.timed)
            assert sum(x.timed is not None for x in record.launches) == 2


@pytest.mark.parametrize("name", HEADERS)
def test_the_seven_tables_have_their_golden_headers(run: Run, name: str) -> None:
    lines = run.path(name).read_bytes().decode("utf-8").split("\r\n")
    assert lines[0] == HEADERS[name]


def test_no_planned_cell_is_blank_in_the_wide_tables(run: Run) -> None:
    for name in ("status", "latency", "session"):
        rows = run.table(name)
        assert [r["Model"] for r in rows] == MODELS
        for row in rows:
            told = [v for k, v in row.items() if k.endswith("status") or name == "status"]
            assert told
            assert all(v in STATUSES for v in told if v not in MODELS)


def test_a_passed_cell_is_a_row_of_success_and_another_a_row_of_fail(run: Run) -> None:
    success = {row["cell"]: row for row in run.table("success")}
    fail = {row["cell"]: row for row in run.table("fail")}
    assert set(fail) == {f"{FAILS_ON_OPENVINO}::{OPENVINO}"}
    assert set(success) | set(fail) == set(run.records)
    for row in success.values():
        assert float(row["average_latency_ms"]) > 0
        assert row["exact_outcome"] == "Passed"
        assert row["check"] == "checked"
        assert row["io"] == "host"
        assert row["test_times"] == "10"
    (row,) = fail.values()
    assert row["error type"] == "runtime error"
    assert row["exact outcome"].startswith("Raised(create")
    assert row["error message"]


def test_percentiles_that_ten_samples_cannot_bear_are_empty(run: Run) -> None:
    for row in run.table("success"):
        assert row["latency_99_percentile"] == ""


def test_placement_is_proved_and_has_one_denominator_for_all_targets(run: Run) -> None:
    rows = {(r["Model"], r["EP"]): r for r in run.table("metrics")}
    for (model, ep), row in rows.items():
        assert row["source"], model
        if ep == CPU:
            assert row["ratio_of_ops_in_ep"] == "1.0"
    on_openvino = rows["squeezenet", OPENVINO]
    assert float(on_openvino["ratio_of_ops_in_ep"]) > 0.5
    assert int(on_openvino["total_ops"]) > 0


def test_every_cell_ran_in_the_environment_that_serves_it(run: Run) -> None:
    for record in run.records.values():
        name = "openvino" if record.cell.target.name == OPENVINO else "current"
        assert record.cell.environment.name == name
        version = record.launches[0].versions["onnxruntime"]
        assert version == record.cell.environment.versions["onnxruntime (loaded)"]


def test_the_long_tables_hold_a_row_for_every_cell(run: Run) -> None:
    lines = (run.folder.root / "cells.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["cell"] for line in lines} == set(run.records)
    with (run.folder.root / "cells.csv").open(encoding="utf-8", newline="") as f:
        rows = list(csv.DictReader(f))
    assert [row["cell"] for row in rows] == [json.loads(line)["cell"] for line in lines]


def test_the_screen_shows_a_line_per_cell_three_for_a_failure_and_the_count(run: Run) -> None:
    out = run.done.stdout
    heads = re.findall(r"^\[(\d+)/(\d+)\] (\S+)  (\S+)", out, re.M)
    assert [int(i) for i, _, _, _ in heads] == list(range(1, len(run.records) + 1))
    assert {cell for _, _, cell, _ in heads} == set(run.records)
    after = out[out.index(f"{FAILS_ON_OPENVINO}::{OPENVINO}") :].splitlines()
    assert "Raised(create" in after[0]
    assert "--rerun" in after[2]
    tables = out[out.index("== Models/EPs latency") : out.rindex("\nrun ")]
    assert max(len(line) for line in tables.splitlines()) <= 100
    total = len(run.records)
    assert f"{total} cells: {total - 1} Passed, 1 Raised." in out
    assert "--strict" in out.strip().splitlines()[-1]


def test_nothing_was_written_beside_the_models(run: Run) -> None:
    newest = max(p.stat().st_mtime for p in (ROOT / "models").rglob("*"))
    assert newest < (run.folder.root / "run.json").stat().st_mtime


def test_no_worker_outlives_the_run(run: Run) -> None:
    mark = str(run.results).encode()
    alive = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                words = (process / "cmdline").read_bytes()
                where = str((process / "cwd").readlink()).encode()
            except OSError:
                continue
            if mark in words or mark in where:
                alive.append((process.name, words))
    assert alive == []
