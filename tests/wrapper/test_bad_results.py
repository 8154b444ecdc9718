"""Result folders that are full, read-only, a file or taken: one clear line, and nothing half-written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from perf.schema.record import Passed
from tests.asking import QUICK, ROOT, Said, ask, one_line, snapshot


def test_a_result_folder_that_is_a_file_is_refused(home: Path) -> None:
    (home / "result").write_text("mine")
    said = ask(home, *QUICK)
    assert said.status == 2
    assert "result: not a folder; choose another with -o" in one_line(said)
    assert (home / "result").read_text() == "mine"


def test_a_read_only_result_folder_is_refused(home: Path) -> None:
    (home / "result").mkdir(mode=0o555)
    said = read_only(home)
    assert said.status == 2
    assert "choose a writable folder with -o" in one_line(said)
    assert list((home / "result").iterdir()) == []


def read_only(home: Path) -> Said:
    """Run where the folder cannot be written: by mode, or for root without the right to override it."""
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    argv = [*drop, sys.executable, "benchmark_wrapper.py", "-m", str(home / "models"), "-o",
            str(home / "result"), *QUICK]  # fmt: skip
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    return Said(done.returncode, done.stdout, done.stderr, home / "result")


LIMIT = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
from perf.cli.benchmark_wrapper import main
raise SystemExit(main(sys.argv[2:]))
"""


def run_in(room: int, home: Path) -> "subprocess.CompletedProcess[str]":
    """A run of which every file may hold `room` bytes."""
    words = (str(room), "-m", "models", "-o", "result", *QUICK, "-r", "both")
    return subprocess.run(
        [sys.executable, "-c", LIMIT, *words], cwd=home, capture_output=True, text=True, timeout=60,
        check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.mark.parametrize("room", [1300, 2560, 5140])
def test_a_full_disk_ends_the_run_with_status_2_and_a_way_to_go_on(home: Path, room: int) -> None:
    """What the wrapper writes fails early, later and last."""
    done = run_in(room, home)
    assert done.returncode == 2, done.stderr
    line = one_line(Said(done.returncode, done.stdout, done.stderr, home))
    assert "File too large" in line
    assert "make room" in line
    assert ("--resume" in line) == bool(list((home / "result").glob("*/run.json")))
    for path in (home / "result").rglob("*.json"):
        if not path.name.startswith("profile"):  # the engine's own
            json.loads(path.read_text(encoding="utf-8"))  # whole, or not there
    assert not list((home / "result").glob("benchmark_*.csv"))


def test_after_a_full_disk_the_run_is_finished_by_resume(home: Path) -> None:
    done = run_in(2560, home)
    assert done.returncode == 2
    said = ask(home, "--resume")
    assert said.status == 0, said.err
    assert {r.outcome for r in said.records.values()} == {Passed()}
    assert len(said.records) == 2


def test_a_run_id_that_is_being_written_is_refused_and_the_other_run_unharmed(home: Path) -> None:
    first = ask(home, *QUICK, "--run_id", "one")
    assert first.status == 0
    before = snapshot(home / "result")
    again = ask(home, *QUICK, "--run_id", "one")
    assert again.status == 2
    assert "choose another --run_id, or --resume one" in one_line(again)
    assert snapshot(home / "result") == before
    other = ask(home, *QUICK, "--run_id", "two")
    assert other.status == 0
