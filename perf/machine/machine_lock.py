"""Machine-wide locks, so that two runs never share a GPU or a measuring moment unknowingly."""

import errno
import fcntl
import json
import os
import re
import socket
import stat
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from perf.schema import strict_json
from perf.schema.file_lock import LockTaken, lock_descriptor, refuse_strange_lock

_POLL_S = 0.2


class LockHeld(Exception):
    """Another run holds the lock; the message says which, since when, and what to do."""


class MachineLock:
    """One lock: a context manager that holds it, or raises LockHeld.

    It is a lock on a file in a folder of the user's own, and a name in the kernel (an abstract socket) that
    other users' runs meet at. A folder that is given, or named by EP_PERF_LEASES, is one that those who share
    it meet in, and there is no such name. The kernel frees both when the holder dies, however it dies; both
    are close-on-exec, but a child made by fork alone shares them until it exits.
    """

    def __init__(
        self, what: str, run_id: str, wait_s: float = 0.0, folder: Path | None = None
    ) -> None:
        self.what, self.run_id = what, run_id
        self._wait_s = wait_s
        self._shared = folder or leases_folder()
        self.path = (self._shared or own_folder()) / f"ep-perf-{_file_name(what)}.lock"
        self._fd: int | None = None
        self._name: socket.socket | None = None

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
        if self._shared is None:
            _make_own(self.path.parent)
        fd = _opened(self.path)
        told = False
        try:
            while not self._take(fd):
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
        if self._name is not None:
            self._name.close()
            self._name = None

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

    def _take(self, fd: int) -> bool:
        """The file's lock, then the name; neither where one of them is another's."""
        try:
            lock_descriptor(fd, self.path, wait=False)
        except LockTaken:
            return False
        if self._shared is None:
            self._name = _bound(self.path.name)
            if self._name is None:
                fcntl.flock(fd, fcntl.LOCK_UN)
                return False
        return True

    def _sign(self, fd: int) -> None:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        text = json.dumps({"pid": os.getpid(), "run_id": self.run_id, "since": since})
        with suppress(OSError):  # a full disk must not cost the lock, only the signature
            os.ftruncate(fd, 0)
            os.pwrite(fd, text.encode() + b"\n", 0)

    def _holder(self, fd: int) -> str:
        try:
            told = strict_json.parse(os.pread(fd, 4096, 0))
            return f"run {_shown(told['run_id'])} (pid {int(told['pid'])}, since {_shown(told['since'])})"
        except (ValueError, KeyError, TypeError, OSError):
            return _holder_of_name(self.path.name) or "another run that left no name"

    def _who(self, fd: int) -> str:
        waited = f" after {self._wait_s:g} s" if self._wait_s else ""
        return (
            f"{self.what}: still held by {self._holder(fd)}{waited}; "
            f"wait for it, or end it. Lock: {self.path}"
        )


def leases_folder() -> Path | None:
    """The folder that EP_PERF_LEASES names: one mounted into every container of a host, or a test's own."""
    named = os.environ.get("EP_PERF_LEASES")
    return Path(named) if named else None


def own_folder() -> Path:
    """Where this user's locks lie; by the user alone, never by TMPDIR, or two runs of one would not meet."""
    return Path("/tmp") / f"ep-perf-{os.getuid()}"


def _make_own(folder: Path) -> None:
    """Make the folder, where nobody else may write; raises OSError for one that is another's."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        why = "it is not a folder that only you can write in; remove it, or name another: EP_PERF_LEASES"
        raise OSError(errno.EPERM, why, str(folder))


def _bound(name: str) -> socket.socket | None:
    """The name in the kernel, taken; None where somebody has it."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        made.bind(f"\0{name}")
        made.listen(1)  # so that who asks is told whose it is
    except OSError as e:
        made.close()
        if e.errno == errno.EADDRINUSE:
            return None
        raise
    return made


def _holder_of_name(name: str) -> str:
    """The process and the user that have a name in the kernel, by the kernel's word; "" for none."""
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)
        asking.connect(f"\0{name}")
        told = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid, uid, _ = struct.unpack("3i", told)
        return f"a run of user {uid} (pid {pid})"
    return ""


def _shown(text: object) -> str:
    """What a file says, made safe for a terminal."""
    return "".join(c if c.isprintable() else "?" for c in str(text)[:100])


def _opened(path: Path) -> int:
    """Open the lock's file for reading and writing; raises OSError for what is not a plain file of one name.

    In a sticky folder the kernel may refuse O_CREAT on another user's file (fs.protected_regular), so an
    existing file is opened without it. Others may open it where the folder is one that all may write in.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    for _ in range(100):
        with suppress(FileNotFoundError):
            return _checked(os.open(path, flags), path)
        with suppress(FileExistsError):
            fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
            if path.parent.stat().st_mode & stat.S_IWOTH:
                os.fchmod(fd, 0o666)
            return fd
    raise OSError(errno.EAGAIN, "the lock's file comes and goes", str(path))


def _checked(fd: int, path: Path) -> int:
    try:
        refuse_strange_lock(fd, path)
    except OSError:
        os.close(fd)
        raise
    return fd


def _file_name(what: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", what)
