"""Scratch folders beside what they become: gone at the end, or swept by the next after a kill."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from perf.schema.file_lock import LockTaken, lock_descriptor


@contextlib.contextmanager
def scratch_folder(
    parent: Path, prefix: str, undo: Callable[[Path], None] = lambda _left: None
) -> Iterator[Path]:
    """A new folder `<parent>/<prefix>…`, so that what is made in it moves into place by renaming.

    It is locked while it is in use, so what is there unlocked was left by a process that was killed:
    `undo` gets to see it, then it goes. Raises OSError.
    """
    _sweep(parent, prefix, undo)
    with contextlib.ExitStack() as in_use:
        path = _make_locked(parent, prefix, in_use)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


def _make_locked(parent: Path, prefix: str, in_use: contextlib.ExitStack) -> Path:
    """A new folder and its lock; one that somebody swept before it was locked is made again."""
    while True:
        path = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
        with contextlib.suppress(FileNotFoundError):
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            in_use.callback(os.close, fd)
            lock_descriptor(fd, path)
            path.stat()
            return path


def _sweep(parent: Path, prefix: str, undo: Callable[[Path], None]) -> None:
    for left in sorted(parent.glob(f"{prefix}*")):
        with contextlib.suppress(LockTaken, OSError):  # in use, or not a folder: not ours to judge
            fd = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(fd).st_uid != os.geteuid():
                    continue  # in a folder for all users' temporary files
                lock_descriptor(fd, left, wait=False)
                undo(left)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(fd)
