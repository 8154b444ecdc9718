"""Every environment is data: two ORT builds in one run, what a probe finds, what --list tells without one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from perf.request.environments import EnvironmentSpec
from perf.request.options import parse
from perf.schema.record import Passed
from perf.wrapper import environments
from tests import models
from tests.asking import CURRENT, ROOT, Said, ask, command
from tests.docker.wheels import make_wheel

QUICK = ("-i", "zoo", "-t", "4", "--launches", "2", "-r", "both")
BEFORE = f"before={ROOT}/.envs/ort_before/bin/python"


@pytest.fixture(scope="module")
def two_builds(shared_home: Path) -> Said:
    return ask(
        shared_home, *QUICK, "--env", BEFORE, "-e", "CPUExecutionProvider@current",
        "CPUExecutionProvider@before", "--models", "relu",
    )  # fmt: skip


def test_two_builds_of_ort_in_one_run_are_two_columns_with_their_versions(
    two_builds: Said,
) -> None:
    assert two_builds.status == 0
    assert two_builds.table("status") == [
        {"Model": "relu", "CPUExecutionProvider": "Pass", "CPUExecutionProvider@before": "Pass"}
    ]
    loaded = {
        cell: {x.versions["onnxruntime"] for x in record.launches}
        for cell, record in two_builds.records.items()
    }
    assert loaded == {
        "relu::CPUExecutionProvider": {"1.31.1"},
        "relu::CPUExecutionProvider@before": {"1.30.0"},
    }
    rows = two_builds.cells
    assert rows["relu::CPUExecutionProvider@before"]["versions"]["onnxruntime"] == "1.30.0"
    assert len({row["digest"] for row in rows.values()}) == 2
    system = {r["Spec"]: r["Version"] for r in two_builds.table("system_info")}
    assert system["before: onnxruntime"] == "1.30.0"
    assert system["current: onnxruntime"] == "1.31.1"


def test_their_launches_are_neighbours_so_that_drift_falls_on_both(two_builds: Said) -> None:
    order = sorted(
        (x.order, x.round, cell)
        for cell, record in two_builds.records.items()
        for x in record.launches
        if x.timed
    )
    assert [round_ for _, round_, _ in order] == [0, 0, 1, 1]
    assert len({cell for _, _, cell in order[:2]}) == 2


def test_variables_of_an_environment_reach_its_workers_and_no_others(home: Path) -> None:
    (home / "environments.toml").write_text(
        '[current]\npython = "current"\n'
        '[loud]\npython = "current"\nenv = { ORT_LOG = "x", PYTHONPATH = "/extra" }\n',
        encoding="utf-8",
    )
    said = ask(home, *QUICK, "-e", "cpu", "cpu@loud", "--models", "relu")
    assert said.status == 0
    cells = {i: r.cell.environment for i, r in said.records.items()}
    assert cells["relu::CPUExecutionProvider"].variables == {}
    assert cells["relu::CPUExecutionProvider@loud"].variables == {
        "ORT_LOG": "x",
        "PYTHONPATH": "/extra",
    }
    assert all(r.outcome == Passed() for r in said.records.values())


def test_options_of_an_environment_are_a_targets_defaults(home: Path) -> None:
    (home / "environments.toml").write_text(
        f'[openvino]\npython = "{ROOT}/.envs/openvino/bin/python"\n'
        'targets = ["OpenVINOExecutionProvider"]\n'
        'options.OpenVINOExecutionProvider = { num_of_threads = "1" }\n'
        '[current]\npython = "current"\n',
        encoding="utf-8",
    )
    said = ask(home, *QUICK, "-e", "ov", "--models", "relu")
    (record,) = said.records.values()
    assert record.outcome == Passed()
    assert record.cell.options["num_of_threads"] == "1"
    assert record.cell.id == "relu::OpenVINOExecutionProvider"


def test_the_list_names_targets_and_what_would_fix_those_that_cannot_run(
    shared_home: Path,
) -> None:
    said = ask(shared_home, "--list", out="list")
    assert said.status == 0
    lines = said.out.splitlines()
    assert lines[0] == "GPUs: none seen by NVML"
    told = {x.split()[0]: x for x in lines if "cannot run" in x or "runs here" in x}
    assert "runs here" in told["CPUExecutionProvider"]
    assert "no device: NVML sees no NVIDIA GPU here" in told["CUDAExecutionProvider"]
    assert "an environment with onnxruntime-openvino" in told["OpenVINOExecutionProvider"]
    assert not (shared_home / "list").exists()


def test_the_list_tells_a_targets_precisions_in_one_entry_unless_each_is_asked_for(
    shared_home: Path,
) -> None:
    short = ask(shared_home, "--list", out="list").out.splitlines()
    whole = ask(shared_home, "--list", "-v", out="list").out.splitlines()
    at = next(i for i, x in enumerate(short) if x.startswith("torch_compile "))
    assert short[at + 1].strip() == (
        "also _tf32 _fp16 _bf16 _fp32+fp16 _fp32+bf16; environment current"
    )
    assert len(short) < 50 < 2 * len(short) < len(whole)
    assert not any(x.startswith("torch_compile_bf16 ") for x in short)
    assert any(x.startswith("torch_compile_bf16 ") for x in whole)
    at = next(i for i, x in enumerate(short) if x.startswith("CUDAExecutionProvider "))
    assert "also _fp16; aliases: cuda ORT-CUDAFp32 cuda:fp16 ORT-CUDAFp16" in short[at + 1]


def test_the_list_works_before_anything_is_installed(shared_home: Path) -> None:
    python = sys._base_executable  # type: ignore[attr-defined]
    done = subprocess.run(
        [python, "-E", "-S", *command("--list")[1:]], cwd=shared_home, capture_output=True,
        text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "CPUExecutionProvider" in done.stdout
    assert "`./perf.sh --setup` fixes it" in done.stdout
    assert "pip install" not in done.stdout


def test_the_plan_is_shown_as_lines_and_as_json_and_nothing_is_written(shared_home: Path) -> None:
    said = ask(shared_home, "--dry_run", "-e", "cpu", "cuda", "-r", "both", out="dry")
    assert said.status == 0
    *plan, expected = said.out.splitlines()
    assert expected.startswith("about ")
    assert plan == [
        "linear::CPUExecutionProvider",
        "linear::CUDAExecutionProvider  (skipped: no device: NVML sees no NVIDIA GPU here)",
        "relu::CPUExecutionProvider",
        "relu::CUDAExecutionProvider  (skipped: no device: NVML sees no NVIDIA GPU here)",
        "4 cells, 2 can run here; 1 check launch and 5 measure launches each",
    ]
    told = json.loads(ask(shared_home, "--dry_run", "--json", out="dry").out)
    assert [c["id"] for c in told["cells"]] == [
        "linear::CPUExecutionProvider",
        "relu::CPUExecutionProvider",
    ]
    assert told["cells"][0]["cell"]["model"]["name"] == "linear"
    assert not (shared_home / "dry").exists()


def test_an_environment_that_is_not_built_says_its_size_and_how(home: Path) -> None:
    (home / "environments.toml").write_text(
        f'{CURRENT}[never]\nrequirements = ["no-such-package==9.9"]\n'
        'targets = ["OpenVINOExecutionProvider"]\nsize_mib = 7\n',
        encoding="utf-8",
    )
    said = ask(home, *QUICK, "-e", "ov", "cpu", "--no_install", "--models", "relu")
    assert said.status == 1
    detail = said.cells["relu::OpenVINOExecutionProvider"]["detail"]
    assert "environment never is not built, about 7 MiB; leave out --no_install" in detail


def test_a_plan_counts_on_what_a_run_would_build_first(home: Path) -> None:
    (home / "environments.toml").write_text(
        f'{CURRENT}[never]\nrequirements = ["no-such-package==9.9"]\n'
        'targets = ["OpenVINOExecutionProvider"]\nsize_mib = 7\n',
        encoding="utf-8",
    )
    said = ask(home, "--dry_run", "--models", "relu")
    assert said.out.splitlines()[1] == "relu::OpenVINOExecutionProvider"
    assert said.err == (
        "environments that a run would build: never (about 7 MiB on disk in .envs/)\n"
    )
    assert "OpenVINO" not in ask(home, "--dry_run", "--no_install", "--models", "relu").out
    assert not (ROOT / ".envs" / "never").exists()


def test_a_probe_that_hangs_or_crashes_is_a_line(tmp_path: Path) -> None:
    for text, says in (
        ("#!/bin/sh\nexit 7\n", "exit status 7 without an exception told"),
        ("#!/bin/sh\necho the loader is angry >&2; kill -SEGV $$\n", "the loader is angry"),
        ("#!/no/such/interpreter\n", "no interpreter"),
        ("\x7fELF", "no interpreter"),
    ):
        python = tmp_path / "python"
        python.write_text(text)
        python.chmod(0o755)
        spec = EnvironmentSpec("odd", str(python))
        ((_, found),) = environments.probe_all([spec], (), "", parse([]))
        assert says in found.problem
        assert "\n" not in found.problem


def test_building_an_unknown_environment_names_those_there_are(tmp_path: Path) -> None:
    path = tmp_path / "e.toml"
    path.write_text('[a]\npython = "current"\n')
    done = subprocess.run(
        [sys.executable, "-m", "perf.cli.env", "build", "--file", str(path), "b"], cwd=ROOT,
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == f"error: {path}: no environment 'b'; it has a\n"


def test_an_interpreter_given_under_a_name_of_the_file_serves_its_targets_as_they_stand(
    home: Path,
) -> None:
    (home / "environments.toml").write_text(
        '[openvino]\nrequirements = ["no-such-package==9.9"]\nneeds_gpu = true\n'
        'targets = ["OpenVINOExecutionProvider"]\n'
        'options.OpenVINOExecutionProvider = { num_of_threads = "1" }\n'
        '[current]\npython = "current"\n',
        encoding="utf-8",
    )
    given = ("--env", f"openvino={ROOT}/.envs/openvino/bin/python")
    said = ask(home, *QUICK, *given, "-e", "ov", "--models", "relu")
    assert said.status == 0, said
    (record,) = said.records.values()
    assert record.cell.id == "relu::OpenVINOExecutionProvider"
    assert record.cell.environment.python == f"{ROOT}/.envs/openvino/bin/python"
    assert record.cell.options["num_of_threads"] == "1"


def test_an_environment_without_onnxruntime_serves_what_needs_none(home: Path) -> None:
    """The real TensorRT for RTX; the GPU is a fake's."""
    (home / "environments.toml").write_text(
        f'{CURRENT}[rtx]\npython = "{ROOT}/.envs/rtx/bin/python"\ntargets = ["TensorRT_RTX"]\n',
        encoding="utf-8",
    )
    boards = {"PYTHONPATH": f"{ROOT}/tests/fakes/nvml", "CUDA_VISIBLE_DEVICES": "0"}
    lines = ask(home, "--list", env=boards).out.splitlines()
    told = {x.split()[0]: x for x in lines if "cannot run" in x or "runs here" in x}
    assert told["TensorRT_RTX"].endswith("runs here")
    bare = ask(home, "--list", "--env", f"alone={ROOT}/.envs/rtx/bin/python", env=boards).out
    cpu = next(x for x in bare.splitlines() if x.startswith("CPUExecutionProvider@alone "))
    assert "environment alone cannot import onnxruntime (ModuleNotFoundError" in cpu
    assert "choose another, or have one built: --env alone='onnxruntime==VERSION'" in cpu


def test_what_pip_says_while_an_environment_is_built_is_told_whole(home: Path) -> None:
    names = [f"engine_of_a_vendor_with_a_long_name_{n}" for n in range(4)]
    wheels = [make_wheel(home, name, "1.0", {f"{name}.py": ""}).name for name in names]
    offline = {"PIP_NO_INDEX": "1", "EP_PERF_ENVS": str(home / "envs")}
    given = ("--env", f"mine={' '.join(wheels)}", "-e", "cpu@mine", "--models", "relu")
    said = ask(home, *QUICK, *given, env=offline)
    (line,) = (x for x in said.err.splitlines() if x.startswith("Installing collected packages: "))
    assert sorted(line.partition(": ")[2].replace("-", "_").split(", ")) == names


def test_an_environment_is_built_from_a_wheel_that_a_flag_names(home: Path) -> None:
    """The wheel is no engine: it is built, probed, and its targets are told why they cannot run."""
    wheel = make_wheel(
        home, "onnxruntime", "9.9", {"onnxruntime/__init__.py": "raise ImportError('a fake')\n"}
    )
    offline = {"PIP_NO_INDEX": "1", "EP_PERF_ENVS": str(home / "envs")}
    named = ("--env", f"mine={wheel.name}", "-e", "cpu@mine", "--models", "relu")
    planned = ask(home, *QUICK, *named, "--dry_run", env=offline)
    assert "environments that a run would build: mine" in planned.err
    assert planned.out.splitlines()[0] == "relu::CPUExecutionProvider@mine"
    assert not (home / "envs").exists()
    said = ask(home, *QUICK, *named, env=offline)
    assert "building environment mine: " in said.err
    detail = said.cells["relu::CPUExecutionProvider@mine"]["detail"]
    assert "environment mine cannot import numpy" in detail
    assert "python -m perf.cli.env remove mine` has it built anew" in detail


def test_a_plugin_needs_no_file(home: Path) -> None:
    """A real one, whose EP is not named: its library is asked for it."""
    (library,) = ROOT.glob(".envs/nxrt/lib/python*/site-packages/nxrt_ep_cpu/*.so")
    models.two_outputs(home / "models" / "two")
    given = ("--env", f"mine={ROOT}/.envs/nxrt/bin/python", "--plugin", f"mine={library}")
    listed = {x.split()[0]: x for x in ask(home, "--list", *given).out.splitlines() if x.strip()}
    assert listed["mine"].endswith("runs here")
    said = ask(home, *QUICK, *given, "--models", "two")  # what a flag adds runs unnamed
    assert said.status == 0, said
    record = said.records["two::mine"]
    assert (record.outcome, record.cell.provider) == (Passed(), "cpu_ep")
    named = ask(
        home, *QUICK, *given[:3], f"mine={library}:cpu_ep", "--models", "two", "-e", "mine"
    )
    assert named.records["two::mine"].cell.provider == "cpu_ep"
    alone = ("--in_process", "--launches", "1", "--models", "two", "-e", "here")
    here = ask(home, *QUICK, *alone, "--plugin", f"here={library}")
    assert (here.status, here.records["two::here"].cell.provider) == (0, "cpu_ep")
    gone = ask(home, *QUICK, "--plugin", "x=/no/lib.so:y")
    assert (gone.status, gone.err) == (
        2,
        "error: --plugin x=/no/lib.so:y: there is no library /no/lib.so\n",
    )
