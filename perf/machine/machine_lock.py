"""Machine-wide locks, so that two runs never share a GPU or a measuring moment unknowingly."""

import errno
import json
import os
import re
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from perf.schema.file_lock import LockTaken, lock_descriptor

_POLL_S = 0.2


class LockHeld(Exception):
    """Another run holds the lock; the message says which, since when, and what to do."""


class MachineLock:
    """One lock: a context manager that holds it, or raises LockHeld.

    The kernel frees it when the holder dies, however it dies. Its file is close-on-exec, but a child made by
    fork alone shares the lock until it exits.
    """

    def __init__(
        self, what: str, run_id: str, wait_s: float = 0.0, folder: Path | None = None
    ) -> None:
        self.what, self.run_id = what, run_id
        self._wait_s = wait_s
        self.path = (folder or shared_folder()) / f"ep-perf-{_file_name(what)}.lock"
        self._fd: int | None = None

    @classmethod
    def gpu(
        cls, uuid: str, run_id: str, wait_s: float = 0.0, folder: Path | None = None
    ) -> "MachineLock":
        """The lock of one GPU."""
        return cls(f"device {uuid}", run_id, wait_s, folder)

    @classmethod
    def measuring(
        cls, run_id: str, wait_s: float = 0.0, folder: Path | None = None
    ) -> "MachineLock":
        """The lock of this machine's quiet: held while anything is timed."""
        return cls("measuring", run_id, wait_s, folder)

    def acquire(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        waiting: Callable[[str], None] = lambda _line: None,
    ) -> None:
        """Take the lock, waiting at most `wait_s` seconds; raises LockHeld, or OSError without locks.

        `waiting` is told once, in a line, for whom it waits; what `sleep` raises ends the wait.
        """
        deadline_s = clock() + self._wait_s
        fd = _opened(self.path)
        told = False
        try:
            while not _locked(fd, self.path):
                if clock() >= deadline_s:
                    raise LockHeld(self._who(fd))
                if not told:
                    waiting(f"waiting for {self._holder(fd)} to end; it holds {self.path}")
                    told = True
                sleep(min(_POLL_S, max(0.0, deadline_s - clock())))
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        self._sign(fd)

    def release(self) -> None:
        """Give the lock back; the file stays, for removing it would race with who waits for it."""
        if self._fd is not None:
            with suppress(OSError):
                os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None

    close = release

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._fd is not None

    def __enter__(self) -> "MachineLock":
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _sign(self, fd: int) -> None:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        text = json.dumps({"pid": os.getpid(), "run_id": self.run_id, "since": since})
        with suppress(OSError):  # a full disk must not cost the lock, only the signature
            os.ftruncate(fd, 0)
            os.pwrite(fd, text.encode() + b"\n", 0)

    def _holder(self, fd: int) -> str:
        try:
            told = json.loads(os.pread(fd, 4096, 0))
            return f"run {told['run_id']} (pid {told['pid']}, since {told['since']})"
        except (ValueError, KeyError, TypeError, OSError):
            return "another run that left no name"

    def _who(self, fd: int) -> str:
        waited = f" after {self._wait_s:g} s" if self._wait_s else ""
        return (
            f"{self.what}: still held by {self._holder(fd)}{waited}; "
            f"wait for it, or end it. Lock: {self.path}"
        )


def shared_folder() -> Path:
    """The one folder every user of this machine agrees on: /run/lock where all may write it, else /tmp.

    Chosen by its mode and not by who asks, and never by TMPDIR, or two users would not meet. EP_PERF_LEASES
    names another: one that is mounted into every container of a host, or a test's own.
    """
    if named := os.environ.get("EP_PERF_LEASES"):
        return Path(named)
    for path in (Path("/run/lock"), Path("/tmp")):
        with suppress(OSError):
            mode = path.stat().st_mode
            if stat.S_ISDIR(mode) and mode & stat.S_IWOTH:
                return path
    return Path("/tmp")


def _opened(path: Path) -> int:
    """Open the lock's file for reading and writing, by whoever made it.

    In a sticky folder the kernel may refuse O_CREAT on another user's file (fs.protected_regular), so an
    existing file is opened without it; O_NOFOLLOW keeps a planted link from being written through.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    for _ in range(100):
        with suppress(FileNotFoundError):
            return os.open(path, flags)
        with suppress(FileExistsError):
            fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
            os.fchmod(fd, 0o666)  # the umask must not keep other users out
            return fd
    raise OSError(errno.EAGAIN, "the lock's file comes and goes", str(path))


def _locked(fd: int, path: Path) -> bool:
    try:
        lock_descriptor(fd, path, wait=False)
    except LockTaken:
        return False
    return True


def _file_name(what: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", what)
