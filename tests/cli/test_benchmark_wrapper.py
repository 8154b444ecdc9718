"""Flags end to end: every one reaches the worker, and the exit status says what became of the run."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from perf.schema import cell as cells
from perf.schema.cell import Cell, Io
from perf.schema.journal import Stage
from perf.schema.record import Passed, TimedOut
from tests import models
from tests.asking import Said, ask, command, complaints
from tests.conftest import made_home

QUICK = ("-i", "zoo", "-t", "4", "--launches", "2", "-r", "both")
RELU = "relu::CPUExecutionProvider"


def given(said: Said, cell_id: str = RELU) -> Cell:
    """What the worker was given: cell.json as it lies beside its launches."""
    record = said.records[cell_id]
    assert record.outcome == Passed(), record.outcome
    return cells.read_cell(said.run.cell(record.cell) / "cell.json")


# Every flag reaches the worker


FLAGS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "of a measured cell": (
        ["-t", "7", "--launches", "1", "--warmup", "2", "--min_time", "0.5", "--max_time", "9",
         "--seed", "3", "--intra_op_threads", "1", "--inter_op_threads", "2", "--cpu_affinity", "0",
         "--isolation", "spawn", "--no_track_memory",
         "--rtol", "0.5", "--atol", "0.25", "--percent_mismatch", "1.5", "--min_ep_share", "0.5",
         "-g", "basic", "-b", "--tf32", "-w", ".", "--trtexec", "/bin/true",
         "--session_config", "session.intra_op.allow_spinning=0", "--ep_options", "cpu:use_arena=0"],
        {"protocol.launches": 1, "protocol.runs": 7, "protocol.warmup": 2, "protocol.min_time_s": 0.5,
         "protocol.max_time_s": 9.0, "protocol.seed": 3, "protocol.intra_op_threads": 1,
         "protocol.inter_op_threads": 2, "protocol.affinity": (0,), "protocol.isolation": "spawn",
         "tolerance.rtol": 0.5, "tolerance.atol": 0.25, "tolerance.percent_mismatch": 1.5,
         "min_ep_share": 0.5, "graph_optimization": "basic", "io": Io.DEVICE, "tf32": True,
         "trtexec": "/bin/true", "session_config": {"session.intra_op.allow_spinning": "0"},
         "benchmarked": True, "options": {"use_arena": "0"}, "variant": "io=device,use_arena=0,session.intra_op.allow_spinning=0"},
    ),
    "of an unchecked shape": (
        ["-i", "random", "--shape", "x=2x8", "--no_check"], {"variant": "x=2x8", "checked": False},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def flags_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_home(tmp_path_factory.mktemp("flags") / "home")


@pytest.mark.parametrize("name", FLAGS)
def test_every_flag_reaches_the_worker(flags_home: Path, name: str) -> None:
    words, wanted = FLAGS[name]
    said = ask(flags_home, *QUICK, "--models", "relu", *words, out=name)
    assert said.status == 0, said.err
    (cell_id,) = said.records
    cell = given(said, cell_id)
    for path, value in wanted.items():
        found: Any = cell
        for part in path.split("."):
            found = getattr(found, part)
        assert found == value, path
    assert (said.cells[cell_id]["host_peak_mib"] is None) is ("--no_track_memory" in words)


def test_flags_of_the_gpu_targets_stand_in_their_cells(flags_home: Path) -> None:
    """Their cells cannot run here, so the plan is asked for them."""
    shapes = "trt_profile_min_shapes=x:1x8,trt_profile_max_shapes=x:4x8"
    said = ask(
        flags_home, "--dry_run", "--json", "--models", "relu", "-e", "cuda", "trt", "trt:fp16",
        "--cuda_ep_options", "cudnn_conv_algo_search=DEFAULT", "--trt_ep_options", shapes,
        "--ep_options", "trt:fp16[deep]:trt_builder_optimization_level=5",
    )  # fmt: skip
    assert said.status == 0, said.err
    options = {c["id"]: c["cell"]["options"] for c in json.loads(said.out)["cells"]}
    assert options["relu::CUDAExecutionProvider"]["cudnn_conv_algo_search"] == "DEFAULT"
    plain = options["relu::TensorrtExecutionProvider_fp16"]
    deep = options["relu::TensorrtExecutionProvider_fp16[deep]"]
    assert plain["trt_profile_min_shapes"] == "x:1x8"
    assert plain["beneath.cudnn_conv_algo_search"] == "DEFAULT"  # CUDA runs what TensorRT leaves
    assert plain["trt_profile_max_shapes"] == "x:4x8"
    assert deep == {**plain, "trt_builder_optimization_level": "5"}
    assert "trt_profile_min_shapes" not in options["relu::CUDAExecutionProvider"]


def test_both_io_modes_are_two_cells_and_the_row_says_which(flags_home: Path) -> None:
    said = ask(flags_home, *QUICK, "--models", "relu", "-b", "both", out="io")
    assert said.status == 0
    rows = said.cells
    assert {i: r["io"] for i, r in rows.items()} == {RELU: "host", f"{RELU}[io=device]": "device"}
    assert {i: {x.timed.io for x in r.launches if x.timed} for i, r in said.records.items()} == {
        RELU: {"host"},
        f"{RELU}[io=device]": {"device"},
    }
    assert {r["io_binding"] for r in said.table("success")} == {"true", "false"}
    assert "CPUExecutionProvider[io=device] mean (ms)" in said.table("latency")[0]


def test_options_of_a_target_make_a_variant_beside_the_plain_cell(flags_home: Path) -> None:
    said = ask(
        flags_home, *QUICK, "--models", "relu", "--ep_options", "cpu[no arena]:use_arena=0",
        "--ep_options", "CPUExecutionProvider[second]:use_arena=1", out="variants",
    )  # fmt: skip
    assert said.status == 0, said.err
    assert list(said.cells) == [RELU, f"{RELU}[no arena]", f"{RELU}[second]"]
    assert len({r["digest"] for r in said.cells.values()}) == 3
    assert said.records[f"{RELU}[no arena]"].cell.options == {"use_arena": "0"}


def test_a_prefix_is_run_and_marked_and_publishes_no_latency(flags_home: Path) -> None:
    words = ("--models", "relu", "--isolation", "spawn", "--exec_prefix", "env PREFIXED=1")
    said = ask(flags_home, *QUICK, *words, out="prefix")
    assert said.status == 0, said.err
    row = said.cells[RELU]
    assert (row["outcome"], row["instrumented"]) == ("Passed", "env PREFIXED=1")
    assert row["p50_ms"] is row["mean_ms"] is None
    assert "instrumented" in row["marks"]
    (latency,) = said.table("latency")
    assert latency["CPUExecutionProvider mean (ms)"] == ""
    assert latency["CPUExecutionProvider status"] == "Pass"
    missing = ask(
        flags_home, *QUICK, *words[:-1], "no-such-profiler --with args", out="prefix_missing"
    )
    assert missing.status == 2
    assert missing.err == (
        "error: --exec_prefix no-such-profiler: no such program; install it, or give its path\n"
    )


def test_without_a_check_the_row_says_so(flags_home: Path) -> None:
    models.linear(flags_home / "wrong" / "wrong", error=1.0)
    said = ask(
        flags_home, *QUICK, "-m", "wrong", "-r", "benchmark", "--no_check", out="unchecked_2"
    )
    assert said.status == 0
    (row,) = said.table("success")
    assert row["check"] == "unchecked"
    assert float(row["average_latency_ms"]) > 0
    checked = ask(flags_home, *QUICK, "-m", "wrong", "-r", "benchmark", out="checked")
    (fail,) = checked.table("fail")
    assert fail["error type"] == "result accuracy issue"
    assert checked.table("latency")[0]["CPUExecutionProvider mean (ms)"] == ""


def test_each_stage_has_its_own_deadline(flags_home: Path) -> None:
    models.relu(flags_home / "slow" / "slow", shape=(512, 1024))  # 200,000 runs take a minute
    adaptive = ("-i", "zoo", "-r", "benchmark", "--launches", "1", "-m", "slow", "--min_time", "20",
                "--warmup", "0", "--max_time", "30")  # fmt: skip
    run = ask(flags_home, *adaptive, "-t", "200000", "--timeout", "launch=60,run=1", out="run")
    outcome = run.records["slow::CPUExecutionProvider"].outcome
    assert outcome == TimedOut(Stage.TIME, 1.0)
    whole = ask(flags_home, *adaptive, "-t", "200000", "--timeout", "6", out="whole")
    assert isinstance(whole.records["slow::CPUExecutionProvider"].outcome, TimedOut)


def test_the_number_of_runs_fits_the_time_where_it_is_left_out(flags_home: Path) -> None:
    said = ask(flags_home, "-i", "zoo", "--launches", "1", "--models", "relu", "--min_time", "0",
               out="adaptive")  # fmt: skip
    (n,) = [len(x.timed.samples_ns) for x in said.records[RELU].launches if x.timed]
    assert n == 20
    most = ask(flags_home, "-i", "zoo", "--launches", "1", "--models", "relu", out="adaptive_2")
    (n,) = [len(x.timed.samples_ns) for x in most.records[RELU].launches if x.timed]
    assert n == 1000


def test_a_label_and_memory_stand_in_every_row_and_verbose_tells_every_launch_as_it_begins(
    flags_home: Path,
) -> None:
    said = ask(flags_home, *QUICK, "--models", "relu", "--label", "=nightly", "-v", out="label")
    assert {r["label"] for r in said.cells.values()} == {"=nightly"}
    assert said.cells[RELU]["host_peak_mib"] > 0
    assert [x for x in said.err.splitlines() if x.startswith("measuring")] == [
        f"measuring relu::CPUExecutionProvider, launch {n}" for n in (1, 2)
    ]
    assert b"\r\n" in (said.run.root / "cells.csv").read_bytes()
    assert "\n=nightly" not in (said.run.root / "cells.csv").read_text()


# Exit statuses


def test_a_failing_cell_is_a_finding(home: Path) -> None:
    models.linear(home / "models" / "wrong", error=1.0)
    said = ask(home, *QUICK)
    assert said.status == 0
    assert said.out.strip().splitlines()[-1] == (
        "3 cells: 2 Passed, 1 Mismatched. With --strict, 1 cell that did not pass would make the "
        "exit status 1."
    )


def test_a_mismatch_says_whose_fault_it_is_and_ends_in_a_command_that_runs_just_that_cell(
    home: Path,
) -> None:
    models.linear(home / "models" / "wrong", error=1.0)
    said = ask(home, *QUICK, "--ep_options", "cpu[v]:use_arena=0", "--atol", "0.5")
    lines = said.out.splitlines()
    at = next(i for i, x in enumerate(lines) if "wrong::CPUExecutionProvider[v]" in x)
    assert "Mismatched(test_data_set_0/y)" in lines[at]
    assert lines[at + 1].strip().startswith("stored data: ")
    done = subprocess.run(  # pasted as it stands, to the letter
        ["bash", "-c", lines[at + 2] + " --run_id pasted"], cwd=home, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    again = Said(0, done.stdout, "", home / "result")
    assert list(again.cells) == ["wrong::CPUExecutionProvider[v]"]
    (record,) = again.records.values()
    assert record.cell.digest == said.records[record.cell.id].cell.digest


def test_quiet_leaves_the_last_line_alone(home: Path) -> None:
    said = ask(home, *QUICK, "-qq")
    assert said.out == "2 cells: 2 Passed.\n"
    assert complaints(said.err) == ""
    assert len(list((home / "result").glob("benchmark_*.csv"))) == 7


def test_an_unreadable_output_ends_nothing(home: Path) -> None:
    """`… | head -1`: who reads our output may stop; the run and its tables do not."""
    argv = shlex.join(command("-m", "models", "-o", "result", *QUICK))
    done = subprocess.run(
        ["bash", "-c", f"{argv} | head -c 1; exit ${{PIPESTATUS[0]}}"], cwd=home, timeout=60,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, complaints(done.stderr)) == (0, "")
    assert len(list((home / "result").glob("benchmark_*.csv"))) == 7


def test_help_is_shown_for_every_flag() -> None:
    done = subprocess.run(command("--help"), capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert len(re.findall(r"^  -", done.stdout, re.M)) > 50
    assert "--exec_prefix" in done.stdout
