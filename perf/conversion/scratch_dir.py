"""Scratch folders beside what they become: gone at the end, or swept by the next after a kill."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def scratch_folder(
    parent: Path, prefix: str, undo: Callable[[Path], None] = lambda _left: None
) -> Iterator[Path]:
    """A new folder `<parent>/<prefix>…`, so that what is made in it moves into place by renaming.

    It is locked while it is in use, so what is there unlocked was left by a maker that was killed:
    `undo` gets to see it, then it goes. Raises OSError.
    """
    with hold_folder(parent):
        _sweep(parent, prefix, undo)
        path = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
        handle = os.open(path, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(handle)


@contextlib.contextmanager
def hold_folder(path: Path) -> Iterator[None]:
    """Hold a folder against others; the folder itself is locked: no lock file to leave behind."""
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _sweep(parent: Path, prefix: str, undo: Callable[[Path], None]) -> None:
    for left in sorted(parent.glob(f"{prefix}*")):
        try:
            handle = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue  # another's, or not a folder: not ours to judge
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # in use
        else:
            undo(left)
            shutil.rmtree(left, ignore_errors=True)
        finally:
            os.close(handle)
