"""The README's own run, shortened: the offline set on the CPU and OpenVINO, from perf.sh to its tables."""

import csv
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from perf.results import run_folder, run_names
from perf.results.run_folder import RunFolder
from perf.schema.record import Passed, Raised, Record

ROOT = Path(__file__).parents[1]
CPU, OPENVINO = "CPUExecutionProvider", "OpenVINOExecutionProvider"
MODELS = [
    entry["model_name"]
    for entry in json.loads((ROOT / "model_list.json").read_text(encoding="utf-8"))
    if "model_name" in entry
]
FAILS_ON_OPENVINO = (
    "loop_if"  # its Loop is not converted: an exception when the session is created
)


class Run:
    """One run's output and its folder."""

    def __init__(self, results: Path, done: "subprocess.CompletedProcess[str]") -> None:
        self.done = done
        self.results = results
        self.folder: RunFolder = run_names.find_run(results)
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
    words = ["--no_install", "-r", "both", "-t", "5", "--launches", "2", "-o"]
    done = subprocess.run(
        ["./perf.sh", *words, str(results)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
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


def test_the_screen_shows_a_line_per_cell_three_for_a_failure_and_the_count(run: Run) -> None:
    out = run.done.stdout
    heads = re.findall(r"^\[(\d+)/(\d+)\] (\S+)  (\S+)", out, re.M)
    assert [int(i) for i, _, _, _ in heads] == list(range(1, len(run.records) + 1))
    assert {cell for _, _, cell, _ in heads} == set(run.records)
    after = out[out.index(f"{FAILS_ON_OPENVINO}::{OPENVINO}") :].splitlines()
    assert "Raised(create" in after[0]
    assert "--rerun" in after[2]
    assert "Fail)  x node not found in graph cache (" in after[0]  # the reason first
    assert out.index("== Fastest EP per model ==") < out.index(" no GPU\nrun ")
    total = len(run.records)
    assert f"{total} cells: {total - 1} Passed, 1 Raised." in out
    assert "--strict" in out.strip().splitlines()[-1]


def test_nothing_was_written_beside_the_models(run: Run) -> None:
    newest = max(p.stat().st_mtime for p in (ROOT / "models").rglob("*"))
    assert newest < (run.folder.root / "run.json").stat().st_mtime
