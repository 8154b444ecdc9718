"""Leases between real processes: exclusive, freed by any death, and clear about who holds them."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from perf.machine import machine_lock
from perf.machine.machine_lock import LockHeld, MachineLock

ROOT = Path(__file__).parents[2]
HOLDER = """
import sys, time
from pathlib import Path
from perf.machine.machine_lock import MachineLock
with MachineLock.gpu("GPU-1", "run-a", folder=Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def test_a_second_run_is_told_who_holds_the_device_in_one_line(tmp_path: Path) -> None:
    child = holder(tmp_path)
    with pytest.raises(LockHeld) as e:
        MachineLock.gpu("GPU-1", "run-b", folder=tmp_path).acquire()
    line = str(e.value)
    assert f"device GPU-1: still held by run run-a (pid {child.pid}, since 20" in line
    assert "\n" not in line
    with MachineLock.gpu("GPU-2", "run-b", folder=tmp_path):  # another device is free
        pass
    child.communicate("")
    with MachineLock.gpu("GPU-1", "run-b", folder=tmp_path) as lease:
        assert lease.held
    assert not lease.held


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    child = holder(tmp_path)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    with MachineLock.gpu("GPU-1", "run-b", folder=tmp_path):
        pass


def test_waits_and_gets_it(tmp_path: Path) -> None:
    child = holder(tmp_path)
    assert child.stdin is not None
    lease = MachineLock.gpu("GPU-1", "run-b", wait_s=30, folder=tmp_path)
    slept: list[float] = []

    def free_it_then_sleep(seconds: float) -> None:
        slept.append(seconds)
        child.communicate("")

    lease.acquire(sleep=free_it_then_sleep)
    assert len(slept) == 1
    lease.release()


def test_waits_no_longer_than_told(tmp_path: Path) -> None:
    child = holder(tmp_path)
    with pytest.raises(LockHeld, match=r"after 0\.3 s"):
        MachineLock.gpu("GPU-1", "run-b", wait_s=0.3, folder=tmp_path).acquire()
    child.communicate("")


def test_a_program_started_while_it_is_held_does_not_keep_it(tmp_path: Path) -> None:
    with MachineLock.measuring("run-a", folder=tmp_path):
        child = subprocess.Popen(["sleep", "30"], close_fds=False)
    try:
        with MachineLock.measuring("run-b", folder=tmp_path):
            pass
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize(("folder_mode", "mode"), [(0o700, 0o600), (0o1777, 0o666)])
def test_others_may_open_it_only_where_all_may_write(
    tmp_path: Path, folder_mode: int, mode: int
) -> None:
    tmp_path.chmod(folder_mode)
    before = os.umask(0o077)
    try:
        with MachineLock.measuring("run-a", folder=tmp_path) as lease:
            assert stat.S_IMODE(lease.path.stat().st_mode) == mode
    finally:
        os.umask(before)


def test_a_planted_link_is_not_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    lease = MachineLock.measuring("run-a", folder=tmp_path)
    lease.path.symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        lease.acquire()
    assert victim.read_text() == "precious"


def test_a_torn_signature_still_gives_one_clear_line(tmp_path: Path) -> None:
    child = holder(tmp_path)
    lease = MachineLock.gpu("GPU-1", "run-b", folder=tmp_path)
    lease.path.write_bytes(b'{"pid": 12, "run_')
    with pytest.raises(LockHeld, match="another run that left no name"):
        lease.acquire()
    child.communicate("")


@pytest.mark.parametrize("what", ["hard link", "pipe", "folder"])
def test_a_lock_that_is_no_file_of_its_own_is_refused(tmp_path: Path, what: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    lease = MachineLock.measuring("run-a", folder=tmp_path)
    match what:
        case "hard link":
            lease.path.hardlink_to(victim)
        case "pipe":
            os.mkfifo(lease.path)
        case _:
            lease.path.mkdir()
    with pytest.raises(OSError, match=r"the lock is|Is a directory"):
        lease.acquire()
    assert victim.read_text() == "precious"


def test_what_a_lock_says_is_made_safe_before_it_is_shown(tmp_path: Path) -> None:
    child = holder(tmp_path)
    lease = MachineLock.gpu("GPU-1", "run-b", folder=tmp_path)
    told = {"pid": 7, "run_id": "\x1b[2J\x1b]0;mine\x07" + "x" * 5000, "since": "\n\r\u202e"}
    lease.path.write_text(json.dumps(told)[:4096])
    with pytest.raises(LockHeld) as e:
        lease.acquire()
    assert str(e.value).isprintable()
    child.communicate("")


@pytest.fixture
def other_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No folder is named, and this user's is one of the test's; the name in the kernel is the machine's."""
    monkeypatch.delenv("EP_PERF_LEASES")
    monkeypatch.setattr(machine_lock, "own_folder", lambda: tmp_path / "ep-perf-7")
    return tmp_path


def test_two_users_with_folders_of_their_own_do_not_both_hold_a_lock(
    other_users: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = f"device of {other_users}"
    with MachineLock(what, "run-a") as mine:
        assert stat.S_IMODE(mine.path.parent.stat().st_mode) == 0o700
        monkeypatch.setattr(machine_lock, "own_folder", lambda: other_users / "ep-perf-8")
        with pytest.raises(LockHeld, match=rf"a run of user {os.getuid()} \(pid {os.getpid()}\)"):
            MachineLock(what, "run-b").acquire()
    with MachineLock(what, "run-b"):
        pass


@pytest.mark.parametrize("mode", [0o777, 0o720])
def test_a_folder_that_others_can_write_in_is_refused(other_users: Path, mode: int) -> None:
    (other_users / "ep-perf-7").mkdir()
    (other_users / "ep-perf-7").chmod(mode)
    with pytest.raises(OSError, match="not a folder that only you can write in"):
        MachineLock.measuring("run-a").acquire()


def test_a_users_folder_is_found_by_the_user_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert machine_lock.own_folder() == Path(f"/tmp/ep-perf-{os.getuid()}")


def test_a_variable_names_the_folder_where_the_default_would_not_meet(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EP_PERF_LEASES", str(tmp_path))
    with MachineLock.measuring("run-a") as lease:
        assert lease.path.parent == tmp_path


def test_who_waits_is_told_once_for_whom(tmp_path: Path) -> None:
    child = holder(tmp_path)
    told: list[str] = []
    with pytest.raises(LockHeld):
        MachineLock.gpu("GPU-1", "run-b", wait_s=0.5, folder=tmp_path).acquire(waiting=told.append)
    child.communicate("")
    assert len(told) == 1
    assert told[0].startswith(f"waiting for run run-a (pid {child.pid}, since 20")
