"""The exact command that builds an image, for docker and podman, with paths that hold spaces."""

import subprocess
import sys
from pathlib import Path

import pytest

from docker import versions as v
from tests.docker.recorded import Programs, Run


def arguments(flavour: str, branch: str = "") -> list[str]:
    built = v.build_arguments(v.load(), flavour, branch)
    return [word for name, value in built.items() for word in ("--build-arg", f"{name}={value}")]


def test_the_default_is_tensorrt_10_from_the_index(
    script: Run, programs: Programs, checkout: Path
) -> None:
    programs.add("docker")
    done = script(checkout / "docker/build_images.sh")
    assert done.returncode == 0, done.stderr
    [call] = programs.calls()
    assert call[:4] == ["docker", "build", "--file", str(checkout / "docker/Dockerfile")]
    assert call[4:] == ["--tag", "ep-perf", "--target", "gpu", *arguments("trt10"), str(checkout)]


def test_everything_reaches_podman(
    script: Run, programs: Programs, checkout: Path, tmp_path: Path
) -> None:
    programs.add("podman", "sys.exit(5)")
    dockerfile = tmp_path / "My Dockerfile"
    dockerfile.write_text("FROM scratch\n")
    done = script(
        checkout / "docker/build_images.sh",
        *("-p", str(dockerfile), "-i", "registry.example/perf:rel", "-b", "user/a branch"),
        *("-f", "trt11", "--engine", "podman"),
        *("--", "--secret", "id=pipconf,src=/etc/my pip.conf", "--no-cache"),
    )
    assert done.returncode == 5
    assert programs.calls() == [
        [
            *("podman", "build", "--file", str(dockerfile)),
            *("--tag", "registry.example/perf:rel", "--target", "gpu", "--format", "docker"),
            *arguments("trt11", "user/a branch"),
            *("--secret", "id=pipconf,src=/etc/my pip.conf", "--no-cache"),
            str(checkout),
        ]
    ]
    assert "ORT_BRANCH=user/a branch" in programs.calls()[0]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["-p", "/nowhere"], "build_images.sh: -p '/nowhere' is not a file"),
        (
            ["-f", "trt9"],
            "versions.py: no flavour 'trt9': choose from cpu, cuda, trt10, trt11, torch",
        ),
        (
            ["-f", "cpu", "-b", "main"],
            "versions.py: flavour cpu takes ONNX Runtime from the index",
        ),
        (["-i"], "build_images.sh: -i needs a value"),
        (["--no-cache"], "build_images.sh: unknown argument '--no-cache'"),
    ],
)
def test_a_wrong_request_is_one_line(
    script: Run, programs: Programs, checkout: Path, asked: list[str], said: str
) -> None:
    programs.add("docker")
    done = script(checkout / "docker/build_images.sh", *asked)
    assert done.returncode == 2
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
    assert programs.calls() == []


def test_the_versions_are_a_program_too(checkout: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(checkout / "docker/versions.py"), "flavour", "13.3"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "trt11\n"
