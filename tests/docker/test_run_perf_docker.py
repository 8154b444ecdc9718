"""The exact command that starts a container, for docker and podman, with paths that hold spaces."""

import os
from pathlib import Path

import pytest

from tests.docker.recorded import Programs, Run

USER = f"{os.getuid()}:{os.getgid()}"
ID = "print({'-u': 1000, '-g': 100}[sys.argv[1]])"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "some models"
    folder.mkdir()
    (folder / "list of models.json").write_text("[]")
    return folder


def mounted(source: Path | str, target: Path | str, how: str = "") -> list[str]:
    return ["--mount", f"type=bind,source={source},target={target}{how}"]


# The folder of machine-wide leases, where this machine has it.
LEASES = mounted("/run/lock", "/run/lock") if os.access("/run/lock", os.W_OK) else []


def test_everything_reaches_docker(
    script: Run, programs: Programs, checkout: Path, models: Path
) -> None:
    programs.add("docker", "sys.exit(7)")
    done = script(
        checkout / "docker/run_perf_docker.sh",
        *("-d", "registry.example/perf:1", "-o", "selected-models", "-p", str(checkout)),
        *("-m", str(models / "list of models.json"), "--gpus", "all", "--engine", "docker"),
        *("--", "-e", "CPUExecutionProvider CUDAExecutionProvider", "--label", 'a "b" $c *'),
    )
    results = checkout / "result/selected-models"
    assert done.returncode == 7, done.stderr  # the harness's own exit code comes back
    assert results.is_dir()
    assert programs.calls() == [
        [
            *("docker", "run", "--rm", "--user", USER, "--env", "HOME=/tmp"),
            *("--pid=host", "--gpus", "all"),
            *mounted(results, "/result"),
            *LEASES,
            *mounted(checkout, "/perf", ",readonly"),
            *("--env", "EP_PERF_DIR=/perf"),
            *mounted(models, models, ",readonly"),
            *("registry.example/perf:1", "-o", "/result", "-m", f"{models}/list of models.json"),
            *("-e", "CPUExecutionProvider CUDAExecutionProvider", "--label", 'a "b" $c *'),
        ]
    ]


def test_by_default_the_offline_set_runs_on_the_gpus_of_a_driver(
    script: Run, programs: Programs, checkout: Path
) -> None:
    programs.add("docker")
    assert script(checkout / "docker/run_perf_docker.sh").returncode == 0
    [call] = programs.calls()
    assert ("--gpus" in call) == Path("/dev/nvidiactl").exists()
    assert ("--pid=host" in call) == Path("/dev/nvidiactl").exists()
    assert mounted(checkout / "result/offline", "/result")[1] in call
    assert call[-3:] == ["ep-perf", "-o", "/result"]


@pytest.mark.parametrize(
    ("arguments", "handed"),
    [
        (["--gpus", "0,1"], ["--gpus", '"device=0,1"']),
        (["--gpus", "all", "--cdi"], ["--device", "nvidia.com/gpu=all"]),
        (
            ["--gpus", "0,GPU-5c", "--cdi"],
            ["--device", "nvidia.com/gpu=0", "--device", "nvidia.com/gpu=GPU-5c"],
        ),
        (
            ["--gpus", "0,1", "--engine", "podman"],
            ["--device", "nvidia.com/gpu=0", "--device", "nvidia.com/gpu=1"],
        ),
    ],
)
def test_gpus_are_handed_over(
    script: Run, programs: Programs, checkout: Path, arguments: list[str], handed: list[str]
) -> None:
    programs.add("docker")
    programs.add("podman")
    assert script(checkout / "docker/run_perf_docker.sh", *arguments).returncode == 0
    [call] = programs.calls()
    at = call.index("--pid=host")
    assert call[at + 1 : at + 1 + len(handed)] == handed
    assert call[at + 1 + len(handed)] == "--mount"


def test_rootless_podman_keeps_the_callers_number(
    script: Run, programs: Programs, checkout: Path
) -> None:
    programs.add("podman")
    programs.add("id", ID)
    done = script(checkout / "docker/run_perf_docker.sh", "--engine", "podman", "--gpus", "none")
    assert done.returncode == 0, done.stderr
    [call] = [c for c in programs.calls() if c[0] == "podman"]
    assert call[:8] == [
        *("podman", "run", "--rm", "--user", "1000:100", "--env", "HOME=/tmp"),
        "--userns=keep-id",
    ]


def test_podman_is_taken_where_docker_is_not(
    script: Run, programs: Programs, checkout: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("bash", "env", "dirname", "basename", "realpath", "mkdir", "id", "cat"):
        (bare / name).symlink_to(
            next(d for d in map(Path, ("/usr/bin", "/bin")) if (d / name).exists()) / name
        )
    run = checkout / "docker/run_perf_docker.sh"
    none = script(run, path_only=[bare])
    assert none.returncode == 2
    assert none.stderr == (
        "run_perf_docker.sh: docker or podman is not installed here; "
        "install it, or use docker/run_perf_machine.sh\n"
    )
    programs.add("podman")
    assert script(run, path_only=[bare]).returncode == 0
    assert script(run, path_only=[bare], env={"CONTAINER_ENGINE": "docker"}).returncode == 2
    assert [c[0] for c in programs.calls()] == ["podman"]


def test_a_group_is_a_folder_of_models(script: Run, programs: Programs, checkout: Path) -> None:
    programs.add("docker")
    group = checkout / "models/partner-models"
    group.mkdir(parents=True)
    done = script(checkout / "docker/run_perf_docker.sh", "-o", group.name, "--gpus", "none")
    assert done.returncode == 0, done.stderr
    [call] = programs.calls()
    assert mounted(group, group, ",readonly")[1] in call
    assert call[-5:] == ["ep-perf", "-o", "/result", "-m", str(group)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o"], "-o needs a value"),
        (["-x"], "unknown argument '-x'; the harness's own flags follow after --"),
        (["-o", "../out"], "-o '../out' must be one word"),
        (["-o", "selected-models"], "-o selected-models needs -m PATH"),
        (["-o", "many-models"], "name the models with -m PATH"),
        (["-m", "/nowhere"], "-m '/nowhere' does not exist"),
        (["-m", "/usr/bin"], "would hide the image's own"),
        (["-m", "/"], "would hide the image's own"),
        (["-p", "/usr"], "-p '/usr' has no benchmark_wrapper.py"),
        (["-m", "a,b"], "has a comma in its name"),
        (["--gpus", "first one"], "--gpus 'first one' must be"),
        (["--engine", "lxc"], "engine 'lxc' is neither docker nor podman"),
    ],
)
def test_a_wrong_request_is_one_line(
    script: Run, programs: Programs, checkout: Path, arguments: list[str], said: str
) -> None:
    programs.add("docker")
    (checkout / "a,b").mkdir()
    words = [str(checkout / word) if word == "a,b" else word for word in arguments]
    done = script(checkout / "docker/run_perf_docker.sh", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.startswith("run_perf_docker.sh: ")
    assert done.stderr.count("\n") == 1
    assert programs.calls() == []


def test_help(script: Run, checkout: Path) -> None:
    done = script(checkout / "docker/run_perf_docker.sh", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    for flag in ("--docker_image", "--option", "--perf_dir", "--model_path", "--gpus", "--engine"):
        assert flag in done.stdout
