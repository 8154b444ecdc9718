"""A failing cell's command can be pasted where the run was: with the Python that ran it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from perf.report import rerun_command
from perf.request.locations import CODE
from tests.results import hand_made as made

COMMAND = ("benchmark_wrapper.py", "-t", "7", "--rerun", "failed")
RECORD = made.two_models()[6]


def test_the_python_is_named_as_it_can_be_typed_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / ".venv" / "bin" / "python"
    there.parent.mkdir(parents=True)
    there.touch(0o755)
    monkeypatch.setattr(sys, "executable", str(there))
    monkeypatch.setenv("PATH", os.defpath)
    given = f"--test_times 7 -e {RECORD.cell.target.label} --rerun {RECORD.cell.id}"
    rest = f" {CODE / 'benchmark_wrapper.py'} {given}"
    monkeypatch.chdir(tmp_path.parent)
    assert f"{tmp_path.name}/.venv/bin/python{rest}" in rerun_command.format_rerun_command(
        RECORD, COMMAND
    )
    monkeypatch.chdir(CODE)
    monkeypatch.setenv("PATH", f"{there.parent}:{os.defpath}")
    rest = f" benchmark_wrapper.py {given}"
    assert rerun_command.format_rerun_command(RECORD, COMMAND).endswith(f"python{rest}")
    assert str(there) not in rerun_command.format_rerun_command(RECORD, COMMAND)


def test_a_command_repeats_what_the_shell_lacks_and_what_an_engine_heeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """NVIDIA's images set 1.5 kB of these, which were in every command."""
    of_an_image = {
        "NVIDIA_REQUIRE_CUDA": "cuda>=9.0 brand=tesla,driver>=384", "NVIDIA_VISIBLE_DEVICES": "all",
        "CUDA_VERSION": "13.0.1", "CUDA_HOME": "/usr/local/cuda", "TENSORRT_VERSION": "10.9",
    }  # fmt: skip
    of_the_user = {"ORT_LOG": "a b", "NVIDIA_TF32_OVERRIDE": "0", "OMP_NUM_THREADS": "2"}
    for name, value in (of_an_image | of_the_user).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "9")  # a worker has its own
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    found = rerun_command.format_rerun_command(RECORD, COMMAND)
    given = [w.partition("=")[0] for w in found.split() if w.partition("=")[0] in os.environ]
    assert {*of_the_user} == {*given}
    assert "ORT_LOG='a b'" in found


def test_a_command_leaves_out_what_the_shell_has(tmp_path: Path) -> None:
    program = (
        "from perf.report.rerun_command import format_rerun_command\n"
        "from tests.report.test_screen import COMMAND, RECORD\n"
        "print(format_rerun_command(RECORD, COMMAND))\n"
    )
    shell = f"OMP_NUM_THREADS=3 {sys.executable} -c '{program}'"
    env = {"PATH": os.defpath, "PYTHONPATH": str(CODE), "ORT_LOG": "1"}
    done = subprocess.run(
        ["bash", "-c", f"{shell}; exit $?"], env=env, cwd=tmp_path, capture_output=True, text=True,
        check=True, start_new_session=True,
    )  # fmt: skip
    assert "OMP_NUM_THREADS=3 " in done.stdout
    assert "ORT_LOG" not in done.stdout
