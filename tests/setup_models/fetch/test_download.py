"""Downloads from a real server that drops, lies, redirects and stalls; whole and verified, or nothing."""

import contextlib
import fcntl
import hashlib
import os
import resource
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from perf.conversion.errors import UserError
from perf.request.model_file import digest_file
from setup_models.fetch.download import DownloadSpec, RetryPolicy, fetch
from tests.setup_models.conftest import Server

ROOT = Path(__file__).resolve().parents[3]
BODY = bytes(range(256)) * 4096  # 1 MiB
DIGEST = hashlib.sha256(BODY).hexdigest()
QUICK = RetryPolicy(attempts=4, pause_s=0.01, timeout_s=5.0)
CHILD = (
    "import sys; from pathlib import Path\n"
    "from setup_models.fetch.download import DownloadSpec, UserError, fetch\n"
    "try: fetch(DownloadSpec(sys.argv[1]), Path(sys.argv[2]))\n"
    "except UserError as e: print(e); sys.exit(3)\n"
)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "m.bin"


def test_a_file_comes_once_whole_and_verified(server: Server, target: Path) -> None:
    spec = DownloadSpec(server.put("/m.bin", BODY), DIGEST, len(BODY))
    for _ in range(2):  # the second time it is there
        assert fetch(spec, target, QUICK) == DIGEST
        assert target.read_bytes() == BODY
    assert len(server.requests) == 1
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(
    ("how", "ranges"),
    [
        ({"drops": [300_000, 200_000]}, [None, "bytes=300000-", "bytes=500000-"]),
        ({"drops": [400_000], "ranges": False}, [None, "bytes=400000-"]),
        ({"drops": [400_000], "wrong_range": True}, [None, "bytes=400000-", None]),
        ({"statuses": [503, 429]}, [None, None, None]),
    ],
)
@pytest.mark.parametrize("digest", [DIGEST, None])
def test_whatever_a_server_does_on_the_way_the_bytes_are_right(
    how: dict[str, Any], ranges: list[str | None], digest: str | None, server: Server, target: Path
) -> None:
    url = server.put("/m.bin", BODY, **how)
    assert fetch(DownloadSpec(url, digest), target, QUICK) == DIGEST
    assert target.read_bytes() == BODY
    assert [asked for _, asked in server.requests] == ranges


def test_every_byte_that_came_before_a_kill_is_kept(server: Server, target: Path) -> None:
    stall = threading.Event()
    url = server.put("/m.bin", BODY, drops=[123_456], stall=stall)
    child = subprocess.Popen([sys.executable, "-c", CHILD, url, str(target)], cwd=ROOT)
    partial = target.with_name("m.bin.part")
    deadline = time.monotonic() + 30
    while not (partial.is_file() and partial.stat().st_size == 123_456):
        assert time.monotonic() < deadline, "the bytes that came are not on the disk"
        time.sleep(0.01)
    child.kill()
    child.wait(30)
    stall.set()
    fetch(DownloadSpec(url, DIGEST), target, QUICK)
    assert digest_file(target) == DIGEST
    assert server.requests[-1][1] == "bytes=123456-"


@pytest.mark.parametrize("digest", [DIGEST, None])
@pytest.mark.parametrize("kept", [b"something else altogether", b"x" * len(BODY), BODY[:5000]])
def test_kept_bytes_are_believed_only_where_a_digest_judges_them(
    kept: bytes, digest: str | None, server: Server, target: Path
) -> None:
    target.with_name("m.bin.part").write_bytes(kept)
    fetch(DownloadSpec(server.put("/m.bin", BODY), digest), target, QUICK)
    assert digest_file(target) == DIGEST
    assert bool(server.requests[0][1]) is bool(digest)


def test_a_file_that_changes_between_two_tries_comes_whole(server: Server, target: Path) -> None:
    url = server.put("/m.bin", b"old" * 100_000, drops=[5_000], etag='"old"')
    old = server.files["/m.bin"]

    def change() -> None:
        while old.drops:
            time.sleep(0.001)
        server.put("/m.bin", BODY, etag='"new"')

    changing = threading.Thread(target=change)
    changing.start()
    slow = RetryPolicy(attempts=4, pause_s=0.3)
    assert fetch(DownloadSpec(url), target, slow) == DIGEST
    changing.join()


@pytest.mark.parametrize(
    ("how", "spec", "says", "requests"),
    [
        ({"statuses": [503] * 20}, {}, r"HTTP 503 .*\(4 tries\)", 4),
        ({"statuses": [404]}, {}, "HTTP 404 Not Found; check the link", 1),
        ({}, {"sha256": "0" * 64}, rf"sha256 is {DIGEST}, expected 0+; nothing was kept", 1),
        ({"promise": 1000}, {"size_bytes": 1 << 20}, "1000 bytes came, 1048576 were expected", 1),
        ({"drops": [500_000]}, {"size_bytes": 1000}, "bytes came, 1000 were expected", 1),
        ({"promise": 1 << 60}, {}, r"No space left on device .*free some space", 1),
        ({"redirect": "http://models.example/m.bin"}, {}, "only https:// links", 1),
        ({"redirect": "file:///etc/passwd"}, {}, "only https:// links", 1),
        ({"redirect": "/m.bin"}, {}, "more than 10 redirects", 10),
    ],
)
def test_what_is_refused_is_named_and_leaves_nothing(
    how: dict[str, Any],
    spec: dict[str, Any],
    says: str,
    requests: int,
    server: Server,
    target: Path,
) -> None:
    url = server.put("/m.bin", BODY, **how)
    with pytest.raises(UserError, match=says):
        fetch(DownloadSpec(url, **spec), target, QUICK)
    assert len(server.requests) == requests
    assert list(target.parent.iterdir()) == []


def test_a_promise_of_too_much_ends_after_the_tries(server: Server, target: Path) -> None:
    url = server.put("/m.bin", BODY, promise=len(BODY) + 10, ranges=False)
    with pytest.raises(UserError, match=r"received 1048576 bytes, expected 1048586\) \(4 tries\)"):
        fetch(DownloadSpec(url, DIGEST), target, QUICK)
    kept = target.with_name("m.bin.part")
    assert list(target.parent.iterdir()) == [kept]
    assert kept.read_bytes() == BODY  # for the next run to go on from


def test_an_address_that_cannot_be_asked_is_one_line(target: Path) -> None:
    for url, says in (
        ("http://127.0.0.1:1/m.bin", "refused.*check the network"),
        ("http://models.example/m.bin", "only https:// links"),
        ("https://[/m.bin", "m.bin"),
    ):
        with pytest.raises(UserError, match=says):
            fetch(DownloadSpec(url), target, QUICK)
        assert list(target.parent.iterdir()) == []


def test_a_disk_that_fails_in_the_middle_leaves_nothing(server: Server, target: Path) -> None:
    """A real failing write: the child may not write files past 200 kB."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, server.put("/m.bin", BODY), str(target)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)),
    )
    assert done.returncode == 3, done.stderr
    assert "File too large while downloading" in done.stdout
    assert list(target.parent.iterdir()) == []


def test_two_downloads_of_one_file_do_not_mix(server: Server, target: Path) -> None:
    with target.with_name("m.bin.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another process is downloading"):
            fetch(DownloadSpec(server.put("/m.bin", BODY)), target, QUICK)


def test_a_redirect_to_a_safe_address_is_followed(server: Server, target: Path) -> None:
    server.put("/real.bin", BODY, drops=[1000])
    url = server.put("/m.bin", b"", redirect=server.base + "/real.bin")
    fetch(DownloadSpec(url, DIGEST), target, QUICK)
    assert server.requests[-1] == ("/real.bin", "bytes=1000-")


def test_a_terminal_sees_a_bar(
    server: Server, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch(DownloadSpec(server.put("/m.bin", BODY)), target, QUICK)
    assert capsys.readouterr() == ("", "")
    master, slave = os.openpty()
    termios.tcsetwinsize(slave, (24, 80))
    with os.fdopen(slave, "w") as terminal, contextlib.redirect_stderr(terminal):
        fetch(DownloadSpec(server.put("/m.bin", BODY)), target, QUICK)
    shown = os.read(master, 4096).decode()
    os.close(master)
    assert "m.bin: 100%" in shown
