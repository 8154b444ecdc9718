"""What an engine's task executes: it begins a shard or resumes it, one attempt at a time, on whichever host."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from perf.fleet.shard import named_host, shard_number
from perf.fleet.shard_folder import ShardFolder
from perf.request.options import BadRequestError
from perf.results import run_folder
from perf.schema.file_lock import LockTaken, hold_lock
from tests.asking import ROOT, snapshot
from tests.fleet.witness import ASKED, entries, ledger_home

WORDS = (*ASKED, "-t", "2", "--launches", "1", "--warmup", "0",
         "--host_canary", "0", "-qq")  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return ledger_home(tmp_path / "home", 2)


def command(*words: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "perf.fleet.shard",
        "--shards",
        "1",
        "--run_id",
        "r",
        *words,
        *WORDS,
    ]


def attempt(
    home: Path, *words: str, env: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(*(words or ("--index", "1"))), cwd=home, env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        capture_output=True, text=True, check=False, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def shard(home: Path) -> ShardFolder:
    return ShardFolder(home / "result", "r", 1)


def test_a_shard_is_begun_then_resumed_then_complete(home: Path) -> None:
    assert attempt(home).returncode == 0
    assert shard(home).is_complete()
    told = entries(home)
    assert len(told) == 2 * 2 * 2
    lost = next(shard(home).run.root.glob("cells/*/*/*/record.json"))
    lost.unlink()
    assert not shard(home).is_complete()
    resumed = attempt(home)
    assert resumed.returncode == 0, resumed.stderr
    assert shard(home).is_complete()
    assert entries(home) == told  # its launches were there
    again = attempt(home)
    assert (again.returncode, again.stdout) == (0, "shard 1/1 of run r is complete\n")


def test_what_an_attempt_left_that_died_before_it_began_is_no_hindrance(home: Path) -> None:
    (shard(home).run.root / "inputs").mkdir(parents=True)
    assert attempt(home).returncode == 0
    assert shard(home).is_complete()


def test_a_second_attempt_waits_for_the_first(home: Path) -> None:
    shard(home).results.mkdir(parents=True)
    holder = "import fcntl,sys,time; f=open(sys.argv[1],'w'); fcntl.flock(f,2); print(flush=True); time.sleep(600)"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(shard(home).results / ".shard.lock")],
        stdout=subprocess.PIPE,
    ) as first:
        assert first.stdout is not None
        first.stdout.readline()
        given_up = attempt(home, "--index", "1", "--wait_minutes", "0.01")
        assert given_up.returncode == 75
        assert "another attempt still works on" in given_up.stderr
        with subprocess.Popen(
            command("--index", "1"), cwd=home, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
            stderr=subprocess.PIPE,
        ) as second:  # fmt: skip
            assert second.stderr is not None
            assert "waiting for another attempt" in second.stderr.readline()
            assert not entries(home)
            first.kill()
            assert second.wait(120) == 0
    assert shard(home).is_complete()


def test_the_lock_is_held_for_as_long_as_the_run_lives(home: Path) -> None:
    """The attempt becomes the run, and no worker of it holds the lock after it."""
    slow = ledger_home(home.parent / "slow", 1, run_s=30)
    with subprocess.Popen(
        command("--index", "1"), cwd=slow, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    ) as first:  # fmt: skip
        deadline = time.monotonic() + 60
        while len(entries(slow)) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        waits = attempt(slow, "--index", "1", "--wait_minutes", "0.01")
        assert waits.returncode == 75
        first.send_signal(signal.SIGKILL)
        first.wait(60)
    assert is_free(shard(slow).results / ".shard.lock")


def is_free(lock: Path) -> bool:
    """Whether a lock comes free as those die who could have held it."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            with hold_lock(lock, wait=False):
                return True
        except LockTaken:
            time.sleep(0.05)
    return False


def test_results_are_fetched_before_and_stored_after(home: Path) -> None:
    store = home / "store"
    copy = f"{shlex.quote(sys.executable)} -c 'import shutil,sys; shutil.copytree(sys.argv[1], sys.argv[2], dirs_exist_ok=True)'"
    hooks = ("--store", f"{copy} {{folder}} {store}/{{run_id}}-{{shard}}",
             "--fetch", f"{copy} {store}/{{run_id}}-{{shard}} {{folder}}")  # fmt: skip
    (store / "r-1").mkdir(parents=True)
    done = attempt(home, "--index", "1", *hooks)
    assert done.returncode == 0, done.stderr
    kept = snapshot(store / "r-1")
    assert any(name.endswith("record.json") for name in kept)
    elsewhere = attempt(home, "--index", "1", "-o", "another_host", *hooks)
    assert elsewhere.returncode == 0, elsewhere.stderr
    assert len(entries(home)) == 8  # nothing was run again
    assert len(run_folder.read_records(ShardFolder(home / "another_host", "r", 1).run)) == 4


def test_a_hook_that_fails_is_one_line_and_the_results_stay(home: Path) -> None:
    done = attempt(home, "--index", "1", "--store", "false {folder}")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: false ")
    assert "results stay in" in done.stderr
    assert shard(home).is_complete()
    missing = attempt(home, "--index", "1", "-o", "x", "--fetch", "/no/such/program")
    assert missing.returncode == 2
    assert "/no/such/program: No such file" in missing.stderr


def test_a_stored_run_ends_when_its_task_is_told_to(home: Path) -> None:
    slow = ledger_home(home.parent / "slow", 1, run_s=30)
    with subprocess.Popen(
        command("--index", "1", "--store", "true"), cwd=slow, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as task:  # fmt: skip
        deadline = time.monotonic() + 60
        while not entries(slow) and time.monotonic() < deadline:
            time.sleep(0.05)
        task.terminate()
        assert task.wait(60) == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    ("index", "variables", "number"),
    [("3", {}, 3), ("I:1", {"I": "3"}, 3), ("I:0", {"I": "0"}, 1), ("I:0", {"I": "7"}, 8)],
)
def test_a_shard_is_told_by_number_or_by_an_engine_s_variable(
    index: str, variables: Mapping[str, str], number: int
) -> None:
    assert shard_number(index, variables, 8) == number


@pytest.mark.parametrize(
    ("index", "variables", "says"),
    [
        ("0", {}, "shard 0 is none of 1…8"), ("9", {}, "shard 9 is none of 1…8"),
        ("I:0", {"I": "8"}, "shard 9 is none of 1…8"), ("I:0", {}, "variable I is ''"),
        ("I:0", {"I": "x"}, "variable I is 'x'"), ("I:x", {"I": "1"}, "no number"), ("x", {}, "'x', no number"),
    ],
)  # fmt: skip
def test_a_shard_out_of_range_is_one_line(
    index: str, variables: Mapping[str, str], says: str
) -> None:
    with pytest.raises(BadRequestError, match=says):
        shard_number(index, variables, 8)


def test_a_host_goes_by_the_name_that_the_engine_has_for_it() -> None:
    assert named_host({"NODE": "n7"}, "NODE") == {"NODE": "n7", "EP_PERF_HOST": "n7"}
    assert named_host({"EP_PERF_HOST": "mine", "NODE": "n7"}, "NODE")["EP_PERF_HOST"] == "mine"
    assert named_host({}, "NODE") == named_host({}, "") == {}
