"""The files of one model as they lie on disk: what identifies them, and what makes them no model at all."""

import contextlib
import errno
import hashlib
import mmap
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from perf.request.onnx_wire import external_names
from perf.schema.untrusted_file import UntrustedFileError, open_regular, read_regular

MOST_ONNX_BYTES = 2 << 30  # a protobuf message holds less
SLOW_BYTES = 8 << 30
_PIECE = 1 << 20


@dataclass(frozen=True)
class Identity:
    """sha256 of a model's bytes and of all files that it names; `problem` is why it is no model."""

    sha256: str
    problem: str = ""


def identify_model(path: Path) -> Identity:
    """Read a model and its external data, never held whole, and no more of each than it has bytes.

    What is no regular file (a folder, a pipe), is empty, larger than ONNX allows, or mostly holes is
    not read. Links are followed: a hub's cache is made of them.
    """
    total = hashlib.sha256()
    try:
        size = add_file(total, path)
        if not size:
            return Identity("", f"{path}: truncated, or not an ONNX model: it is empty")
        if size >= MOST_ONNX_BYTES:
            return Identity("", f"{path}: {size} bytes, and an ONNX file has less than 2 GiB")
        names = _external_names(path)
        for name in sorted(names):
            _add_external(total, path, name)
    except FileNotFoundError:
        return Identity("", "")  # who lists it says that there is none
    except OSError as e:
        return Identity("", f"{e.filename or path}: {e.strerror}")
    except ValueError as e:  # a NUL in a name, a surrogate that no file system takes
        return Identity("", f"{str(path)!r}: {e}")
    return Identity(total.hexdigest())


NO_LIBRARY = "not a shared library; give the .so that a compiler made for this machine"


def is_shared_library(path: Path) -> bool:
    """Whether a file begins as an ELF object does; raises OSError for what cannot be read."""
    return read_regular(path, 3, follow=True) == b"\x7fELF"


def digest_model(path: Path) -> str:
    """The sha256 that identifies a model; for one that has none, why."""
    found = identify_model(path)
    return found.sha256 or f"unreadable: {found.problem}"


def lacks_external_data(path: Path) -> bool:
    """Whether a file that a model names is not beside it; False for what cannot be read as a model."""
    with contextlib.suppress(OSError, ValueError):
        return not all((path.parent / name).exists() for name in _external_names(path))
    return False


def digest_file(path: Path) -> str:
    """sha256 of a regular file's bytes as 64 hex digits; raises UntrustedFileError, OSError."""
    total = hashlib.sha256()
    add_file(total, path)
    return total.hexdigest()


def _external_names(path: Path) -> frozenset[str]:
    fd = open_regular(path, follow=True)
    try:
        with contextlib.suppress(ValueError), mmap.mmap(fd, 0, access=mmap.ACCESS_READ) as data:
            return external_names(data)  # what is no protobuf is for the engine to say
        return frozenset()
    finally:
        os.close(fd)


def _add_external(total: "hashlib._Hash", path: Path, name: str) -> None:
    """A file of external data by its name and digest; one that is not there is for the engine to miss."""
    part = hashlib.sha256()
    try:
        size = add_file(part, path.parent / name)
    except FileNotFoundError:
        return
    if not size:
        raise UntrustedFileError(errno.EINVAL, "it is empty", str(path.parent / name))
    total.update(os.fsencode(name) + part.digest())


def add_file(total: "hashlib._Hash", path: Path) -> int:
    """Hash a regular file's bytes, as many as it has when it is opened; returns how many."""
    fd = open_regular(path, follow=True)
    try:
        found = os.fstat(fd)
        if found.st_size > MOST_ONNX_BYTES and found.st_blocks * 512 < found.st_size // 16:
            there = found.st_blocks * 512
            raise UntrustedFileError(
                errno.EINVAL, f"{found.st_size} bytes long, and {there} are there", str(path)
            )
        if found.st_size > SLOW_BYTES:
            print(
                f"reading {found.st_size / 2**30:.0f} GiB of {path}, to tell it from others",
                file=sys.stderr,
            )
        left = found.st_size
        while left and (piece := os.read(fd, min(left, _PIECE))):
            total.update(piece)
            left -= len(piece)
        return found.st_size
    finally:
        os.close(fd)
