"""Files that are there whole or not at all: written aside, then renamed into place."""

import contextlib
import errno
import json
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def draft_of(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A path beside `path` to be written; it takes its place at the end, and is gone after an error.

    `durable` flushes it to disk first, so that a machine that loses power keeps the old file or the new
    one. Raises OSError.
    """
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield aside
        if durable:
            flush_to_disk(aside)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file whole, its folder made where it is not there; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with draft_of(path, durable=durable) as aside:
        aside.write_bytes(data)


def write_to(path: Path, data: bytes) -> None:
    """Write what a user named: a file whole, also where a link leads; a device or a pipe in place.

    A file that took the place of /dev/null would be met by every program of the machine. Raises OSError.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder; name a file", str(path))
    if stat.S_ISREG(mode):
        write_bytes(path.resolve() if path.is_symlink() else path, data)
        return
    fd = os.open(
        path, os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK
    )  # refused by a pipe without a reader
    with os.fdopen(fd, "wb") as file:
        os.set_blocking(fd, True)
        file.write(data)


def write_json(path: Path, value: Any, *, indent: int | None = 1, durable: bool = True) -> None:
    """Write a JSON document whole; raises OSError, or TypeError for what JSON cannot hold."""
    separators = None if indent is not None else (",", ":")
    text = json.dumps(value, indent=indent, separators=separators)
    write_bytes(path, f"{text}\n".encode(), durable=durable)


def flush_to_disk(path: Path) -> None:
    """Have the kernel write out what it holds of a file; raises OSError where the disk refuses it."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
