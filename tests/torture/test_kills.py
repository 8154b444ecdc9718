"""Wrappers that are killed at random moments: their runs go on, nothing is lost, doubled or left running."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from perf.results import run_folder, run_names
from perf.schema.record import Passed
from tests.asking import ask, command
from tests.leftovers import MARK
from tests.torture.figures import Figures

WORDS = ("-m", "models", "-i", "zoo", "-t", "3", "--launches", "2", "--warmup", "0", "-e", "cpu")
CELLS = {"relu::CPUExecutionProvider", "linear::CPUExecutionProvider"}
LAUNCHES = ["check", "measure_0", "measure_1"]
END_S = 2.0 + 1.0 + 2.0  # two seconds, the grace second, and what this machine's other work takes
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def survivors(mark: str) -> list[int]:
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if mark.encode() in (process / "environ").read_bytes().split(b"\0"):
                    found.append(int(process.name))
            except OSError:
                continue
    return found


def begin(home: Path, run_id: str, mark: str) -> "subprocess.Popen[bytes]":
    words = ("--resume", run_id) if (home / "result" / run_id / "run.json").exists() else (
        *WORDS, "--run_id", run_id,
    )  # fmt: skip
    return subprocess.Popen(
        command(*words), cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, **dict([mark.split("=", 1)])},
    )  # fmt: skip


def end(child: "subprocess.Popen[bytes]", number: signal.Signals, mark: str) -> float:
    """Send the signal to the pid that the user started; how long it and all it started took to end."""
    began = time.monotonic()
    child.send_signal(number)
    if number is signal.SIGINT:
        time.sleep(0.01)
        child.send_signal(number)
    child.wait(timeout=60)
    while survivors(mark):
        assert time.monotonic() - began < 30, "processes are left"
        time.sleep(0.02)
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("kills", "seed"),
    [(6, 1), pytest.param(300, 2, marks=[pytest.mark.torture, pytest.mark.timeout(1500)])],
)
def test_a_run_that_is_killed_again_and_again_ends_whole(
    home: Path, figures: Figures, kills: int, seed: int
) -> None:
    draw, done, slow = random.Random(seed), 0, 0
    while done < kills:
        run_id = f"run{done}"
        for _ in range(draw.choice((1, 1, 2, 3))):
            mark = f"EP_PERF_KILLED={MARK}{os.getpid()}x{done}"
            child = begin(home, run_id, mark)
            time.sleep(draw.uniform(0, 2.5))
            number = draw.choice(SIGNALS)
            took_s = end(child, number, mark)
            figures.most(f"seconds to end after {number.name}", took_s)
            slow += took_s > END_S
            done += 1
        words: tuple[str, ...] = ("--resume", run_id)
        if not (home / "result" / run_id / "run.json").exists():
            words = (*WORDS, "--run_id", run_id)  # killed before it had begun
        said = ask(home, *words)
        assert said.status == 0, said
        records = run_folder.read_records(run_names.find_run(said.results, run_id))
        assert {r.cell.id for r in records} == CELLS
        for record in records:
            assert record.outcome == Passed(), record.outcome
            assert sorted(x.name for x in record.launches if x.kind != "prepare") == LAUNCHES
            assert len({x.order for x in record.launches}) == len(record.launches)
        assert not list(said.results.rglob("*.tmp"))
    figures.add("kills", done, done - slow)
    assert not slow


def test_kill_9_of_the_pid_that_the_user_started_takes_a_grandchild_of_its_own_session_along(
    home: Path, figures: Figures
) -> None:
    plugin = home / "lingering.py"
    plugin.write_text(LINGERING, encoding="utf-8")
    (home / "environments.toml").write_text(
        f'drop = ["*"]\n[current]\npython = "current"\nbackend = "{plugin}"\n'
        'targets = ["LingeringExecutionProvider"]\n',
        encoding="utf-8",
    )
    for isolation in ("host", "spawn"):
        mark = f"EP_PERF_KILLED={MARK}{os.getpid()}{isolation}"
        child = subprocess.Popen(
            command("-m", "models", "--models", "relu", "-e", "lingering", "-i", "random", "-t", "3",
                    "--isolation", isolation, "--no_fence"),
            cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **dict([mark.split("=", 1)]), "LINGERS": str(home / "lingers")},
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not (home / "lingers").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        took_s = end(child, signal.SIGKILL, mark)
        (home / "lingers").unlink()
        figures.most("seconds until a grandchild of another session ended", took_s)
        assert took_s < END_S


LINGERING = """
import os, subprocess, sys, time
from pathlib import Path
from contextlib import contextmanager
from perf.backends import Backend, TargetSpec
from perf.schema.cell import Precision


@contextmanager
def _open(cell, launch):
    subprocess.Popen(["sh", "-c", "sleep 600"], start_new_session=True)
    Path(os.environ["LINGERS"]).touch()
    time.sleep(600)
    yield None


BACKEND = Backend(
    targets=(TargetSpec("LingeringExecutionProvider", Precision.FP32, ("lingering",)),),
    open=_open,
    missing=lambda _found: "",
)
"""
