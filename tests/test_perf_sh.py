"""perf.sh sets itself up, or says in one line why it cannot and what to do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What setting up needs of a fresh clone."""
    shutil.copy(ROOT / "perf.sh", tmp_path)
    shutil.copytree(ROOT / "locks", tmp_path / "locks")
    return tmp_path


def set_up(checkout: Path, python: str, find_links: str = "") -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
    env |= {"PYTHON": python, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": find_links}
    return subprocess.run(
        [checkout / "perf.sh", "--setup"], env=env, capture_output=True, text=True, check=False
    )


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.strip().splitlines()[-1]


def test_packages_that_cannot_be_had_are_status_2_every_time(checkout: Path) -> None:
    nothing = checkout / "nothing"
    nothing.mkdir()
    for _ in range(2):  # a failed attempt is not taken for a finished one
        done = set_up(checkout, sys.executable, str(nothing))
        assert done.returncode == 2, done.stderr
        assert last_line(done).startswith("error: pip could not install into .venv; ")
        assert "PIP_FIND_LINKS" in last_line(done)


def test_a_python_without_venv_is_named_and_its_half_made_venv_is_made_anew(
    checkout: Path,
) -> None:
    bare = checkout / "python3-without-ensurepip"
    bare.write_text(
        f'#!/bin/sh\n[ "$2" = venv ] || exec {sys.executable} "$@"\n'
        f'shift 2; {sys.executable} -m venv --without-pip "$@"; echo no ensurepip; exit 1\n'
    )
    bare.chmod(0o755)
    done = set_up(checkout, str(bare))
    assert (done.returncode, "python3-venv" in last_line(done)) == (2, True), done.stderr
    done = set_up(checkout, sys.executable)
    assert "pip could not install" in last_line(done)  # it got as far as that


def test_a_python_that_is_not_there_is_status_2(checkout: Path) -> None:
    done = set_up(checkout, "/nonexistent/python3")
    assert done.returncode == 2
    assert "install Python 3.11" in last_line(done)


def test_a_list_on_a_fresh_clone_says_what_the_first_run_installs(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    for name in ("perf", "comparison", "setup_models", "locks"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("perf.sh", "benchmark_wrapper.py", "environments.toml", "model_list.json"):
        shutil.copy(ROOT / name, clone)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "own"], check=True)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "EP_PERF"))}
    env |= {"PYTHON": str(tmp_path / "own" / "bin" / "python"), "COLUMNS": "300"}
    done = subprocess.run(
        [clone / "perf.sh", "--list"], env=env, cwd=tmp_path, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "not set up yet: the first run installs into .venv numpy, onnx" in done.stderr
    state = {w[0]: line for line in done.stdout.splitlines() if (w := line.split())}
    assert (
        "the first `./perf.sh` installs numpy, onnxruntime into .venv"
        in state["CPUExecutionProvider"]
    )
    assert "not built, about 420 MiB; a run that asks" in state["OpenVINOExecutionProvider"]
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["--rerun", "failed"], []),
        (["--rerun=failed", "-e", "cpu"], []),
        (["--resume"], []),
        (["--rerun", "m::cpu"], ["-r both", "-i zoo", "-t 20"]),
        (["-m", "failed"], ["-r both", "-i zoo", "-t 20"]),
    ],
)
def test_what_is_run_again_keeps_its_mode_inputs_and_counts(
    tmp_path: Path, words: list[str], kept: list[str]
) -> None:
    shutil.copy(ROOT / "perf.sh", tmp_path)
    (tmp_path / "benchmark_wrapper.py").write_text("import sys; print(' '.join(sys.argv[1:]))")
    done = subprocess.run(
        [tmp_path / "perf.sh", "--no_install", *words], env={**os.environ, "PYTHON": sys.executable},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == " ".join([*kept, "--no_install", *words])


def test_make_clean_removes_what_set_up_made_and_distclean_asks(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "environments.toml", tmp_path)
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "environments.toml", tmp_path / "tests")
    folders = (".venv", ".envs/openvino", ".envs/my_build", "models/mine", "result/one")

    def make(target: str, answer: str = "") -> list[str]:
        for folder in folders:
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["make", target], cwd=tmp_path, input=answer, capture_output=True, text=True, check=False
        )  # fmt: skip
        return [folder for folder in folders if (tmp_path / folder).exists()]

    assert make("clean") == [".envs/my_build", "models/mine", "result/one"]
    assert make("distclean") == list(folders)
    assert make("distclean", "n\n") == list(folders)
    assert make("distclean", "y\n") == []
