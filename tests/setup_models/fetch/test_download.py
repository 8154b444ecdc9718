import contextlib
import fcntl
import hashlib
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from perf.conversion.errors import UserError
from setup_models.fetch.download import DownloadSpec, RetryPolicy, fetch, sha256_of, show_progress
from tests.setup_models.serving import Server

ROOT = Path(__file__).resolve().parents[3]
BODY = bytes(range(256)) * 4096  # 1 MiB
DIGEST = hashlib.sha256(BODY).hexdigest()
QUICK = RetryPolicy(attempts=4, pause_s=0.01, timeout_s=5.0)


def test_whole_file_comes_verified(server: Server, tmp_path: Path) -> None:
    url = server.put("/m.tar.gz", BODY)
    fetched = fetch(DownloadSpec(url, DIGEST, len(BODY)), tmp_path / "m.tar.gz", patience=QUICK)
    assert fetched.path.read_bytes() == BODY
    assert fetched.sha256 == DIGEST
    assert [path.name for path in tmp_path.iterdir()] == ["m.tar.gz"]


def test_a_complete_file_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    url = server.put("/m.tar.gz", BODY)
    (tmp_path / "m.tar.gz").write_bytes(BODY)
    fetch(DownloadSpec(url, DIGEST), tmp_path / "m.tar.gz", patience=QUICK)
    assert server.requests == []


def test_a_dropped_connection_is_resumed_from_the_byte_it_broke_at(
    server: Server, tmp_path: Path
) -> None:
    url = server.put("/m.bin", BODY, drops=[300_000, 200_000])
    fetch(DownloadSpec(url, DIGEST), tmp_path / "m.bin", patience=QUICK)
    assert (tmp_path / "m.bin").read_bytes() == BODY
    assert [asked for _, asked in server.requests] == [None, "bytes=300000-", "bytes=500000-"]


def test_what_a_failed_run_kept_is_built_upon_by_the_next(server: Server, tmp_path: Path) -> None:
    url = server.put("/m.bin", BODY, drops=[100_000])
    target = tmp_path / "m.bin"
    with pytest.raises(UserError, match=r"sent 100000 \(1 tries\); check the network"):
        fetch(DownloadSpec(url, DIGEST), target, patience=RetryPolicy(attempts=1))
    assert not target.exists()
    fetch(DownloadSpec(url, DIGEST), target, patience=QUICK)
    assert sha256_of(target) == DIGEST
    assert server.requests[-1][1] == "bytes=100000-"


def test_every_byte_that_came_before_a_kill_is_kept(server: Server, tmp_path: Path) -> None:
    stall = threading.Event()
    url = server.put("/m.bin", BODY, drops=[123_456], stall=stall)
    code = (
        "import sys; from pathlib import Path; from setup_models.fetch.download import DownloadSpec, fetch; "
        "fetch(DownloadSpec(sys.argv[1]), Path(sys.argv[2]))"
    )
    target = tmp_path / "m.bin"
    child = subprocess.Popen([sys.executable, "-c", code, url, str(target)], cwd=ROOT)
    partial = target.with_name("m.bin.part")
    deadline = time.monotonic() + 30
    while not (partial.is_file() and partial.stat().st_size == 123_456):
        assert time.monotonic() < deadline, "the bytes that came are not on the disk"
        time.sleep(0.01)
    child.kill()
    child.wait(30)
    stall.set()
    fetch(DownloadSpec(url, DIGEST), target, patience=QUICK)
    assert sha256_of(target) == DIGEST
    assert server.requests[-1][1] == "bytes=123456-"


def test_a_file_that_changed_between_two_runs_comes_whole(server: Server, tmp_path: Path) -> None:
    url = server.put("/m.bin", b"old" * 100_000, drops=[5_000], etag='"old"')
    target = tmp_path / "m.bin"
    with pytest.raises(UserError):
        fetch(DownloadSpec(url), target, patience=RetryPolicy(attempts=1))
    server.put("/m.bin", BODY, etag='"new"')
    fetch(DownloadSpec(url, DIGEST), target, patience=QUICK)
    assert sha256_of(target) == DIGEST


def test_kept_bytes_of_another_file_cost_one_more_download_not_the_model(
    server: Server, tmp_path: Path
) -> None:
    url = server.put("/m.bin", BODY, etag=None)
    (tmp_path / "m.bin.part").write_bytes(b"something else altogether")
    fetch(DownloadSpec(url, DIGEST), tmp_path / "m.bin", patience=QUICK)
    assert sha256_of(tmp_path / "m.bin") == DIGEST


def test_a_server_without_ranges_is_read_from_the_start(server: Server, tmp_path: Path) -> None:
    url = server.put("/m.bin", BODY, ranges=False, drops=[400_000])
    fetch(DownloadSpec(url, DIGEST), tmp_path / "m.bin", patience=QUICK)
    assert sha256_of(tmp_path / "m.bin") == DIGEST


def test_a_server_that_sends_another_range_is_not_believed(server: Server, tmp_path: Path) -> None:
    url = server.put("/m.bin", BODY, drops=[400_000], wrong_range=True)
    fetch(DownloadSpec(url, DIGEST), tmp_path / "m.bin", patience=QUICK)
    assert sha256_of(tmp_path / "m.bin") == DIGEST


def test_busy_answers_are_waited_out(server: Server, tmp_path: Path) -> None:
    url = server.put("/m.bin", BODY, statuses=[503, 429])
    fetch(DownloadSpec(url, DIGEST), tmp_path / "m.bin", patience=QUICK)
    assert len(server.requests) == 3


def test_retries_are_bounded(server: Server, tmp_path: Path) -> None:
    url = server.put("/m.bin", BODY, statuses=[503] * 20)
    with pytest.raises(UserError, match=r"HTTP 503 .*\(4 tries\)"):
        fetch(DownloadSpec(url), tmp_path / "m.bin", patience=QUICK)
    assert len(server.requests) == 4
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_final_and_leaves_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="HTTP 404"):
        fetch(DownloadSpec(server.base + "/none.bin"), tmp_path / "none.bin", patience=QUICK)
    assert len(server.requests) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_digest_is_named_and_leaves_nothing(server: Server, tmp_path: Path) -> None:
    url = server.put("/m.bin", BODY[:-1] + b"!")
    with pytest.raises(UserError, match=rf"expected {DIGEST}; nothing was kept"):
        fetch(DownloadSpec(url, DIGEST), tmp_path / "m.bin", patience=QUICK)
    assert list(tmp_path.iterdir()) == []


def test_a_length_that_promises_too_little_is_caught(server: Server, tmp_path: Path) -> None:
    url = server.put("/m.bin", BODY, promise=1000)
    with pytest.raises(UserError, match="1000 bytes came, 1048576 were expected"):
        fetch(DownloadSpec(url, DIGEST, len(BODY)), tmp_path / "m.bin", patience=QUICK)
    assert list(tmp_path.iterdir()) == []


def test_a_length_that_promises_too_much_ends_after_the_tries(
    server: Server, tmp_path: Path
) -> None:
    url = server.put("/m.bin", BODY, promise=len(BODY) + 10, ranges=False)
    with pytest.raises(UserError, match=r"promised 1048586 bytes and sent 1048576 \(4 tries\)"):
        fetch(DownloadSpec(url, DIGEST), tmp_path / "m.bin", patience=QUICK)
    assert not (tmp_path / "m.bin").exists()


def test_no_server_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no answer: .*refused.*check the network"):
        fetch(DownloadSpec("http://127.0.0.1:1/m.bin"), tmp_path / "m.bin", patience=QUICK)
    assert list(tmp_path.iterdir()) == []


def test_a_file_larger_than_the_disk_is_refused_before_it_comes(
    server: Server, tmp_path: Path
) -> None:
    url = server.put("/m.bin", b"x", promise=1 << 60)
    with pytest.raises(UserError, match=r"No space left on device .*free some space"):
        fetch(DownloadSpec(url), tmp_path / "m.bin", patience=QUICK)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fails_in_the_middle_leaves_nothing(server: Server, tmp_path: Path) -> None:
    """A real failing write: the child may not write files past 200 kB."""
    url = server.put("/m.bin", BODY)
    script = (
        "import sys; from pathlib import Path; from setup_models.fetch.download import *\n"
        "try: fetch(DownloadSpec(sys.argv[1]), Path(sys.argv[2]))\n"
        "except UserError as e: print(e); sys.exit(3)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, url, str(tmp_path / "m.bin")],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)),
    )
    assert done.returncode == 3, done.stderr
    assert "File too large while downloading" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_two_downloads_of_one_file_do_not_mix(server: Server, tmp_path: Path) -> None:
    url = server.put("/m.bin", BODY)
    with (tmp_path / "m.bin.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another process is downloading"):
            fetch(DownloadSpec(url), tmp_path / "m.bin", patience=QUICK)


def test_a_redirect_is_followed_only_to_a_safe_address(server: Server, tmp_path: Path) -> None:
    server.put("/real.bin", BODY)
    good = server.put("/a.bin", b"", redirect=server.base + "/real.bin")
    fetch(DownloadSpec(good, DIGEST), tmp_path / "a.bin", patience=QUICK)
    bad = server.put("/b.bin", b"", redirect="http://models.example/real.bin")
    with pytest.raises(UserError, match=r"only https:// links"):
        fetch(DownloadSpec(bad), tmp_path / "b.bin", patience=QUICK)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bin"]


def test_progress_is_told_up_to_the_end(server: Server, tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    url = server.put("/m.bin", BODY, drops=[300_000])
    fetch(
        DownloadSpec(url, DIGEST),
        tmp_path / "m.bin",
        patience=QUICK,
        progress=lambda *what: told.append(what),
    )
    assert told[-1] == ("m.bin", len(BODY), len(BODY))
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_the_bar_is_drawn_on_a_terminal_only(capsys: pytest.CaptureFixture[str]) -> None:
    show_progress("m.bin", 1 << 20, 4 << 20)
    assert capsys.readouterr().err == ""
    master, slave = os.openpty()
    with os.fdopen(slave, "w") as terminal, contextlib.redirect_stderr(terminal):
        show_progress("m.bin", 1 << 20, 4 << 20)
        show_progress("m.bin", 4 << 20, 4 << 20)
    shown = os.read(master, 4096).decode()
    os.close(master)
    assert "]  25% of 4.0 MiB" in shown
    assert shown.endswith("] 100% of 4.0 MiB\r\n")
