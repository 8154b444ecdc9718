"""Standalone TensorRT through the real wrapper: a fake trtexec and a fake NVML, which we do not own."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from perf.machine.machine_lock import MachineLock
from perf.results import run_folder, run_names
from perf.schema.record import Passed, PrecisionNotAttained, Skipped
from tests import models
from tests.asking import ROOT, Said, ask, command
from tests.fakes.trt_cells import FAKE

NVML = str(ROOT / "tests" / "fakes" / "nvml")
QUICK = ("-i", "zoo", "-t", "10", "--launches", "2", "-r", "both")
ALONE, EP = "Standalone_TRT", "TensorrtExecutionProvider"


def program(home: Path) -> Path:
    """A trtexec below the folder of the run, where -w lets it be found."""
    path = home / "TensorRT-10.6" / "bin" / "trtexec"
    path.parent.mkdir(parents=True)
    path.write_text(
        f"#!{sys.executable}\nimport runpy\nrunpy.run_path({str(FAKE)!r}, run_name='__main__')\n"
    )
    path.chmod(0o755)
    return path


def run(home: Path, *words: str, **variables: str) -> Said:
    """A run on a machine that has the fake's boards."""
    boards = {"PYTHONPATH": NVML, "CUDA_VISIBLE_DEVICES": "0,1,2"}
    which = () if "--models" in words else ("--models", "relu")
    return ask(home, *QUICK, *which, *words, env={**boards, **variables})


def run_that_waits(home: Path, lease: MachineLock, *words: str, **variables: str) -> Said:
    """A run that meets a lock which another holds, until it has said for whom it waits."""
    boards = {"PYTHONPATH": NVML, "CUDA_VISIBLE_DEVICES": "0,1,2"}
    with subprocess.Popen(
        command("-m", "models", "-o", "result", *QUICK, *words), cwd=home, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **boards, **variables},
    ) as process:  # fmt: skip
        assert process.stderr is not None
        first = process.stderr.readline()
        assert not (home / "said.jsonl").exists()  # trtexec has not been started
        lease.release()
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, first + err
    return Said(process.returncode, out, first + err, home / "result")


@pytest.fixture(scope="module")
def said(shared_home: Path) -> Said:
    program(shared_home)
    return run(shared_home, "-e", "cpu", EP, ALONE, f"{ALONE}_fp16", "--no_install")


def test_it_is_offered_where_trtexec_is_found(home: Path) -> None:
    before = run(home, "--list").out.splitlines()
    line = next(x for x in before if x.startswith(f"{ALONE} "))
    assert "no trtexec (--trtexec, below -w, TENSORRT_HOME, PATH)" in line
    path = program(home)
    after = run(home, "--list").out.splitlines()
    assert next(x for x in after if x.startswith(f"{ALONE} ")).endswith("runs here")
    path = path.rename(home / "elsewhere")
    named = run(home, "--list", "--trtexec", str(path)).out.splitlines()
    assert next(x for x in named if x.startswith(f"{ALONE} ")).endswith("runs here")


def test_it_is_validated_timed_and_told_in_the_columns_of_any_cell(said: Said) -> None:
    assert said.status == 1  # the TensorRT EP was named, and cannot run here
    record = said.records[f"relu::{ALONE}"]
    assert record.outcome == Passed()
    assert [x.name for x in record.launches] == ["check", "measure_0", "measure_1"]
    row = said.cells[record.cell.id]
    assert (row["check"], row["compared_outputs"]) == ("checked", 2)
    assert row["samples"] == 20
    assert row["p50_ms"] == pytest.approx(0.25 + 2.5 + 0.125, rel=0.01)
    assert row["parts_p50_ms"]["h2d"] == 0.25
    assert (row["io"], row["gpu_only"], row["math_mode"]) == ("host", False, "fp32")
    assert row["engine_cached"] is True
    assert row["creation_cold_s"] > 0
    assert row["creation_second_s"] > 0
    assert row["gpu_baseline_mib"] == 500
    assert row["cpu_gain_pairs"] == 2


def test_the_wide_tables_have_its_columns_and_the_gain_of_the_ep_over_it(said: Said) -> None:
    (latency,) = said.table("latency")
    assert float(latency[f"{ALONE} mean (ms)"]) == pytest.approx(2.88, rel=0.01)
    assert latency["TRT_Standalone_gain(%)"] == ""  # the EP did not run: nothing is claimed
    assert latency[f"{EP} status"] == "Skipped"
    (status,) = said.table("status")
    assert (status["CPUExecutionProvider"], status[ALONE]) == ("Pass", "Pass")
    (session,) = said.table("session")
    assert float(session[f"{ALONE} session creation time (s)"]) > 0
    success = {r["cell"]: r for r in said.table("success")}[f"relu::{ALONE}"]
    assert (success["engine"], success["version"][:4]) == ("trtexec", "10.6")
    assert isinstance(said.records[f"relu::{EP}"].outcome, Skipped)


def test_half_precision_by_the_builders_flag(said: Said) -> None:
    record = said.records[f"relu::{ALONE}_fp16"]
    assert record.outcome == Passed()
    (check, *_) = record.launches
    assert check.attested is not None
    assert check.attested.precision == "fp16"


def test_a_model_that_half_precision_cannot_hold_is_lost_to_versions_without_a_flag_alone(
    home: Path,
) -> None:
    program(home)
    big = np.array([1e6], np.float32)  # more than fp16 holds: its conversion is refused
    node = helper.make_node("Mul", ["x", "big"], ["y"], name="scale")
    x, shape = models.noise(0, (2, 8)), (2, 8)
    models.write(
        home / "models" / "big", [node], {"x": shape}, {"y": shape}, [({"x": x}, {"y": x * big})],
        parameters={"big": big},
    )  # fmt: skip
    words = ("-r", "validate", "--models", "big", "-e", f"{ALONE}_fp16")
    flagged = run(home, *words).records[f"big::{ALONE}_fp16"]
    assert flagged.outcome == Passed()
    typed = run(home, *words, FAKE_TRTEXEC_VERSION="11.1").records[f"big::{ALONE}_fp16"]
    assert isinstance(typed.outcome, Skipped)
    assert "it needs the fp16 artefact, and there is none" in typed.outcome.reason


@pytest.mark.parametrize("version", ["10.6", "11.1"])
def test_an_engine_that_is_not_in_the_precision_asked_for_is_no_result(
    home: Path, version: str
) -> None:
    """TensorRT was asked for fp16 and its inspector tells fp32: it ended well, and that is not enough."""
    program(home)
    layers = home / "layers.json"
    tensor = [{"Name": "t", "Format/Datatype": "Row major linear FP32 format"}]
    one = {"LayerType": "CaskConvolution", "Inputs": tensor, "Outputs": tensor}
    layers.write_text(json.dumps({"Layers": [{**one, "Name": f"/conv{i}"} for i in range(30)]}))
    said = run(
        home, "-e", f"{ALONE}_fp16",
        FAKE_TRTEXEC_VERSION=version, FAKE_TRTEXEC_LAYERS=str(layers),
    )  # fmt: skip
    record = said.records[f"relu::{ALONE}_fp16"]
    assert record.outcome == PrecisionNotAttained("fp16", 0.0)
    assert [x.name for x in record.launches] == ["check"]
    row = said.cells[record.cell.id]
    assert (row["status"], row["p50_ms"], row["attested_layer_share"]) == ("Fail", None, 0.0)
    assert row["attested_source"] == "engine inspector: 30 fp32"
    regime = {"10.6": "weakly typed --fp16", "11.1": "strongly typed model"}[version]
    assert row["precision_regime"].startswith("TensorRT 1")
    assert row["precision_regime"].endswith(regime)
    (fail,) = said.table("fail")
    assert fail["exact outcome"] == "PrecisionNotAttained(fp16, 0.0%)"


def test_version_11_is_built_from_the_converted_model(home: Path) -> None:
    program(home)
    log = home / "said.jsonl"
    said = run(
        home, "-r", "validate", "-e", f"{ALONE}_fp16", "--no_fence",
        FAKE_TRTEXEC_VERSION="11.1", FAKE_TRTEXEC_LOG=str(log),
    )  # fmt: skip
    assert said.records[f"relu::{ALONE}_fp16"].outcome == Passed()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    (built,) = {word for line in lines for word in line if word.startswith("--onnx=")}
    assert built.endswith("model.fp16.onnx")


def test_an_engine_cache_that_runs_share_is_built_once_and_its_second_run_is_not_cold(
    home: Path,
) -> None:
    program(home)
    models.relu(home / "models" / "one", sets=1)
    words = ("-e", ALONE, "--keep_cache", "engines", "--launches", "1", "--models", "one")
    first = run(home, *words, "--run_id", "first").records[f"one::{ALONE}"]
    assert first.launches[0].created is not None
    assert (first.launches[0].created.cached, first.launches[0].cold) == (False, True)
    engines = list((home / "engines").glob("*/*.engine"))
    assert len(engines) == 1
    again = run(home, *words, "--run_id", "again")
    second = again.records[f"one::{ALONE}"]
    assert second.outcome == Passed()
    assert second.launches[0].created is not None
    assert (second.launches[0].created.cached, second.launches[0].cold) == (True, False)
    assert again.cells[second.cell.id]["creation_cold_s"] is None
    assert again.cells[second.cell.id]["creation_second_s"] > 0
    assert list((home / "engines").glob("*/*.engine")) == engines


def test_who_writes_the_shared_cache_is_waited_for(home: Path) -> None:
    program(home)
    words = ("-e", ALONE, "--keep_cache", "engines", "-r", "validate")
    run(home, *words)
    (lock,) = (home / "engines").glob("*.lock")
    what = lock.stem.removeprefix("ep-perf-")
    with MachineLock(what, "another", folder=lock.parent) as lease:
        assert lease.path == lock
        said = run_that_waits(home, lease, *words, "--models", "relu")
    assert said.err.startswith("waiting for run another (pid ")
    assert said.records[f"relu::{ALONE}"].outcome == Passed()


@pytest.mark.alone
def test_launches_that_ran_throttled_are_repeated_as_often_as_asked(home: Path) -> None:
    program(home)
    reasons = home / "reasons"
    reasons.write_text("0x40")  # nvml.h: hardware thermal slowdown
    words = ("-e", ALONE, "-t", "100", "--retry_throttled", "2", "--launches", "1")
    models.relu(home / "models" / "one", sets=1)
    said = run(home, *words, "--models", "one", FAKE_NVML_REASONS=str(reasons))
    record = said.records[f"one::{ALONE}"]
    assert [x.name for x in record.launches] == ["check", "measure_0_again_2"]
    folder = said.run.cell(record.cell)
    tried = {"measure_0", "measure_0_again_1", "measure_0_again_2"}
    assert {p.name for p in folder.glob("measure_*")} == tried
    row = said.cells[record.cell.id]
    assert (row["throttled_share"], row["throttle_reasons"]) == (1.0, ["hw_thermal_slowdown"])
    assert "throttled" in row["marks"]
    assert f"throttled: one::{ALONE}\n" in said.out
    assert (
        "retried: measure_0_again_2 took the place of a launch whose device was throttled; "
        "it was throttled too"
    ) in row["notes"]
    reasons.write_text("0x0")
    calm = run(home, *words, "--models", "one", FAKE_NVML_REASONS=str(reasons))
    launches = calm.records[f"one::{ALONE}"].launches
    assert [x.name for x in launches] == ["check", "measure_0"]


def test_models_are_spread_over_devices_that_a_run_holds_for_itself(home: Path) -> None:
    program(home)
    log = home / "said.jsonl"
    words = ("-r", "validate", "--models", "*", "-e", ALONE, "--devices", "0,1", "--no_fence")
    variables = {"FAKE_NVML_BOARDS": "3", "FAKE_TRTEXEC_LOG": str(log)}
    with MachineLock.gpu("GPU-1000", "another") as lease:
        said = run_that_waits(home, lease, *words, **variables)
    assert said.err.startswith("waiting for run another (pid ")
    boards = {i: (c["gpu"], c["gpu_uuid"]) for i, c in said.cells.items()}
    assert boards == {
        f"linear::{ALONE}": ("Imaginary 100", "GPU-0000"),
        f"relu::{ALONE}": ("Imaginary 100", "GPU-1000"),
    }
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    used = {word for line in lines for word in line if word.startswith("--device=")}
    assert used == {"--device=0", "--device=1"}
    hidden = run(home, "-e", ALONE, "--devices", "1", CUDA_VISIBLE_DEVICES="2", **variables)
    assert hidden.err == "error: --devices 1: no one device is '1'; visible: 0=Imaginary 100\n"
    assert hidden.status == 2


def test_engines_are_built_as_often_as_asked(home: Path) -> None:
    program(home)
    models.relu(home / "models" / "one", sets=1)
    words = ("-e", ALONE, "--builds", "2", "--launches", "1", "--models", "one", "--rtol", "1e-3")
    said = run(home, *words, FAKE_TRTEXEC="differ")
    ids = [f"one::{ALONE}[build={i}]" for i in (1, 2)]
    assert list(said.cells) == ids
    built = [said.records[i].launches[0].created for i in ids]
    assert [b.cached for b in built if b] == [False, False]
    row = told_of_builds(said)
    assert (row["builds"], row["published"], row["outcomes"]) == ("2", "2", '["Passed","Passed"]')
    middle, half = float(row["median_ms"]), float(row["half_range_ms"])
    slow, fast = middle + half, middle - half
    assert sorted(json.loads(row["medians_ms"])) == pytest.approx([fast, slow])
    assert float(row["spread_pct"]) == pytest.approx(100 * half / middle, rel=1e-3)
    assert half > 0
    norms = json.loads(row["relative_norms"])
    assert len(norms) == 2
    assert norms[0] != norms[1]


def told_of_builds(said: Said) -> dict[str, str]:
    """The one row of builds.csv."""
    with (said.run.root / "builds.csv").open(encoding="utf-8", newline="") as f:
        (row,) = csv.DictReader(f)
    return row


def test_benchmark_py_finds_trtexec_too_and_holds_the_named_device_alone(home: Path) -> None:
    path = program(home)
    argv = [sys.executable, str(ROOT / "benchmark.py"), "-m", "models", "-o", "result", *QUICK[:4],
            "--models", "relu", "-e", ALONE, "--trtexec", str(path), "--devices", "1"]  # fmt: skip
    log = home / "said.jsonl"
    boards = {"PYTHONPATH": NVML, "CUDA_VISIBLE_DEVICES": "0,1", "FAKE_NVML_BOARDS": "2"}
    done = subprocess.run(
        argv, cwd=home, capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, **boards, "FAKE_TRTEXEC_LOG": str(log)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (record,) = run_folder.read_records(run_names.find_run(home / "result"))
    assert record.outcome == Passed()
    assert record.cell.gpu == "GPU-1000"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    used = {word for line in lines for word in line if word.startswith("--device=")}
    assert used == {"--device=0"}  # the one that CUDA_VISIBLE_DEVICES leaves this process
