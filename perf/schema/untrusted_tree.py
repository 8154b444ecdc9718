"""Walks and removes a folder however deep somebody else nested it, following no link out of it."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(path: str | Path, folder: int | None = None) -> None:
    """Remove a file, link or folder, if there is one; raises OSError for what may not be removed.

    `folder` is a descriptor of the folder that a bare name lies in. Subfolders are moved up before they are
    emptied, so that neither the stack nor the descriptors grow with the depth.
    """
    try:
        found = os.stat(path, dir_fd=folder, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISDIR(found.st_mode):
        os.unlink(path, dir_fd=folder)
        return
    with _opened(path, folder) as top:
        moved = 0
        while names := _remove_files(top):
            for name in names:
                with _opened(name, top) as inner:
                    for below in _remove_files(inner):
                        os.rename(below, f"\n{moved}", src_dir_fd=inner, dst_dir_fd=top)
                        moved += 1
                os.rmdir(name, dir_fd=top)
    os.rmdir(path, dir_fd=folder)


def paths_below(top: Path) -> Iterator[Path]:
    """Every file, link and folder below a folder, as far as paths reach; what cannot be read is left out."""
    folders = [top]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                path = Path(entry.path)
                yield path
                if entry.is_dir(follow_symlinks=False):
                    folders.append(path)


@contextlib.contextmanager
def _opened(path: str | Path, folder: int | None) -> Iterator[int]:
    """A descriptor of a folder, made ours to change where its mode forbids it."""
    try:
        fd = os.open(path, _FOLDER, dir_fd=folder)
    except PermissionError:
        os.chmod(path, 0o700, dir_fd=folder)
        fd = os.open(path, _FOLDER, dir_fd=folder)
    try:
        if os.fstat(fd).st_mode & 0o700 != 0o700:
            os.fchmod(fd, 0o700)
        yield fd
    finally:
        os.close(fd)


def _remove_files(folder: int) -> list[str]:
    """Unlink what is no folder; the names of those that are."""
    folders = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=folder)
    return folders
