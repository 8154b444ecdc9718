"""Advisory locks on files and folders, which the kernel frees when their holder dies, however it dies."""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path


class LockTaken(Exception):
    """Another process holds the lock; the argument is its path."""


@contextlib.contextmanager
def hold_lock(path: Path, *, wait: bool = True, shared: bool = False) -> Iterator[int]:
    """Hold the lock of a folder, or of a file that is made where it is not there; yields its descriptor.

    `shared`: beside others who share it. Raises LockTaken where another holds it and `wait` is off; OSError
    without locks or rights, and for a link, or a file that has another name too.
    """
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT
    fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        refuse_strange_lock(fd, path)
        lock_descriptor(fd, path, wait=wait, shared=shared)
        yield fd
    finally:
        os.close(fd)


def refuse_strange_lock(fd: int, path: Path) -> None:
    """Raise OSError for a lock that is neither a folder nor a regular file of this one name."""
    found = os.fstat(fd)
    if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
        return
    if not stat.S_ISDIR(found.st_mode):
        why = "a file of two names" if stat.S_ISREG(found.st_mode) else "not a regular file"
        raise OSError(errno.EPERM, f"the lock is {why}; remove it", str(path))


def lock_descriptor(fd: int, path: Path, *, wait: bool = True, shared: bool = False) -> None:
    """Lock an open file until it is closed; raises LockTaken, OSError."""
    try:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(fd, kind | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError as e:
        raise LockTaken(path) from e
