"""The exact command line that the harness gets on a bare machine and inside an image."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.docker.recorded import HOME, Programs, Run


@pytest.fixture
def harness(programs: Programs, checkout: Path) -> Programs:
    """Writes down what perf.sh would be started with."""
    there = replace(programs, folder=checkout)
    there.add("perf.sh", "sys.exit(3)")
    return there


def test_everything_reaches_the_harness(
    script: Run, harness: Programs, checkout: Path, tmp_path: Path
) -> None:
    models = tmp_path / "some models"
    models.mkdir()
    done = script(
        checkout / "docker/run_perf_machine.sh",
        *("-o", "selected-models", "-m", str(models / ".." / "some models")),
        *("--", "-e", "cpu ov", "-t", "5", "--label", "it's"),
    )
    assert done.returncode == 3, done.stderr
    assert harness.calls() == [
        [
            *("perf.sh", "-o", str(checkout / "result/selected-models"), "-m", str(models)),
            *("-e", "cpu ov", "-t", "5", "--label", "it's"),
        ]
    ]


def test_an_onnx_runtime_built_here_is_used(
    script: Run, harness: Programs, checkout: Path
) -> None:
    built = checkout / ".envs/ort/bin"
    built.mkdir(parents=True)
    replace(harness, folder=built).add("python")
    assert script(checkout / "docker/run_perf_machine.sh").returncode == 3
    assert harness.calls() == [
        [
            *("perf.sh", "-o", str(checkout / "result/offline")),
            *("--env", f"cuda={built}/python"),
        ]
    ]


def test_a_wrong_request_is_one_line(script: Run, harness: Programs, checkout: Path) -> None:
    done = script(checkout / "docker/run_perf_machine.sh", "-d", "image")
    assert (done.returncode, harness.calls()) == (2, [])
    assert done.stderr == (
        "run_perf_machine.sh: unknown argument '-d'; the harness's own flags follow after --\n"
    )


def test_in_an_image_nothing_is_installed(script: Run, harness: Programs, checkout: Path) -> None:
    done = script(checkout / "docker/entrypoint.sh", "--list")
    assert done.returncode == 3, done.stderr
    assert harness.calls() == [["perf.sh", "--no_install", "--list"]]


def test_in_an_image_its_own_onnx_runtime_serves(
    script: Run, harness: Programs, checkout: Path, tmp_path: Path
) -> None:
    python = harness.add("python")
    done = script(
        checkout / "docker/entrypoint.sh", "-t", "5", env={"EP_PERF_ORT_PYTHON": str(python)}
    )
    assert done.returncode == 3, done.stderr
    assert harness.calls() == [
        ["perf.sh", "--no_install", "--env", f"cuda={python}", "-t", "5"],
    ]


def test_in_an_image_pytorch_of_its_own_serves_and_lab_starts_jupyter_among_the_notebooks(
    script: Run, harness: Programs, checkout: Path
) -> None:
    python = harness.add("torch_python")
    env = {"EP_PERF_TORCH_PYTHON": str(python)}
    script(checkout / "docker/entrypoint.sh", "--list", env=env)
    own, notebooks = checkout / ".venv/bin", checkout / "docs/notebooks"
    own.mkdir(parents=True)
    notebooks.mkdir(parents=True)
    where = "print(os.getcwd(), os.environ['EP_PERF_TORCH_PYTHON'])"
    replace(harness, folder=own).add("jupyter", where)
    done = script(checkout / "docker/entrypoint.sh", "lab", "--port", "9999", env=env)
    assert done.stdout.split("\n")[0] == f"{notebooks} {python}", done.stderr
    assert harness.calls() == [
        ["perf.sh", "--no_install", "--env", f"torch={python}", "--list"],
        ["jupyter", "lab", "--ip", "0.0.0.0", "--no-browser", "--port", "9999"],
    ]


def test_in_an_image_a_mounted_checkout_runs_in_the_images_environment(
    script: Run, harness: Programs, checkout: Path, tmp_path: Path
) -> None:
    own = checkout / ".venv/bin"
    own.mkdir(parents=True)
    replace(harness, folder=own).add("python")
    mounted = tmp_path / "mounted here"
    for flags in (["-v"], ["--resume", "latest"]):
        done = script(checkout / "docker/entrypoint.sh", *flags, env={"EP_PERF_DIR": str(mounted)})
        assert done.returncode == 0, done.stderr
    assert harness.calls() == [
        [
            *("python", f"{mounted}/benchmark_wrapper.py", "-r", "both", "-i", "zoo", "-t", "20"),
            *("-m", f"{checkout}/model_list.json", "--no_install", "-v"),
        ],
        ["python", f"{mounted}/benchmark_wrapper.py", "--no_install", "--resume", "latest"],
    ]


def test_the_real_harness_takes_what_the_scripts_pass(script: Run) -> None:
    machine = HOME / "docker/run_perf_machine.sh"
    plan = ("--no_install", "--dry_run", "-e", "CPUExecutionProvider", "--models", "squeezenet")
    runs = (
        script(machine, "--", *plan),
        script(machine, "-o", "selected-models", "-m", str(HOME / "model_list.json"), "--", *plan),
        script(HOME / "docker/entrypoint.sh", *plan, env={"EP_PERF_ORT_PYTHON": sys.executable}),
        script(HOME / "docker/entrypoint.sh", *plan, env={"EP_PERF_DIR": str(HOME)}),
    )
    for done in runs:
        assert done.returncode == 0, done.stderr
        assert "squeezenet::CPUExecutionProvider" in done.stdout
    listed = script(HOME / "docker/entrypoint.sh", "--list")
    assert listed.returncode == 0, listed.stderr
    assert "CPUExecutionProvider" in listed.stdout
