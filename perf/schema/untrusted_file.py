"""Bounded reads of regular files that somebody else may have put there, and of nothing else."""

import errno
import os
import stat
from pathlib import Path
from typing import TextIO

TABLE_LIMIT = 2 << 30  # bytes
TEXT_LIMIT = 16 << 20  # bytes
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class UntrustedFileError(OSError):
    """A file that is not what it should be; `strerror` says why in words."""


def open_regular(path: str | Path, folder: int | None = None, *, follow: bool = False) -> int:
    """A descriptor for reading; `folder` is one of the folder that a bare name lies in.

    Raises UntrustedFileError for what is no regular file, FileNotFoundError, OSError. Opening a pipe that
    nobody writes to would wait for ever: it is opened without waiting, and then refused.
    """
    flags = _FLAGS & ~os.O_NOFOLLOW if follow else _FLAGS
    try:
        fd = os.open(path, flags, dir_fd=folder)
    except OSError as e:
        if e.errno in (errno.ELOOP, errno.ENXIO):
            kind = "a symbolic link" if e.errno == errno.ELOOP else "a socket"
            raise UntrustedFileError(
                e.errno, f"it is {kind}, not a regular file", str(path)
            ) from e
        raise
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        os.close(fd)
        raise UntrustedFileError(
            errno.EINVAL, f"it is {_kind(mode)}, not a regular file", str(path)
        )
    return fd


def open_table(path: Path) -> TextIO:
    """A regular file to read row by row; raises as `open_regular` does, and for a sparse or vast one."""
    fd = open_regular(path, follow=True)
    found = os.fstat(fd)
    there = found.st_blocks * 512
    if found.st_size > TABLE_LIMIT or (found.st_size > 1 << 20 and there < found.st_size // 16):
        os.close(fd)
        raise UntrustedFileError(
            errno.EFBIG, f"{found.st_size} bytes long, and {there} are there", str(path)
        )
    return os.fdopen(fd, encoding="utf-8-sig", newline="")


def read_regular(
    path: str | Path, limit: int, folder: int | None = None, *, follow: bool = False
) -> bytes:
    """A file's first `limit` bytes, and one more where there are more; raises as `open_regular` does."""
    fd = open_regular(path, folder, follow=follow)
    try:
        pieces, left = [], limit + 1
        while left > 0 and (piece := os.read(fd, min(left, 1 << 20))):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)
    finally:
        os.close(fd)


def read_whole(
    path: str | Path, limit: int, folder: int | None = None, *, follow: bool = False
) -> bytes:
    """A file of at most `limit` bytes; raises UntrustedFileError for a longer one too."""
    data = read_regular(path, limit, folder, follow=follow)
    if len(data) > limit:
        raise UntrustedFileError(errno.EFBIG, f"it is longer than {limit} bytes", str(path))
    return data


def read_text(path: str | Path, limit: int = TEXT_LIMIT, encoding: str = "utf-8") -> str:
    """A text of a person's own, links followed; raises as `read_whole` does, and UnicodeDecodeError."""
    return read_whole(path, limit, follow=True).decode(encoding)


def file_version(path: Path) -> tuple[int, ...]:
    """What changes with a file's bytes, its place or its kind; nothing where there is no file."""
    try:
        now = path.lstat()
    except OSError:
        return ()
    return now.st_dev, now.st_ino, now.st_mode, now.st_size, now.st_mtime_ns, now.st_ctime_ns


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")
