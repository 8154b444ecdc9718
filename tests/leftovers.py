"""What tests leave behind: processes that they started, files in the checkout, temporary files."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

MARK = "EP_PERF_TESTED_BY"  # in the environment of whatever this session's tests start
OF_TOOLS = frozenset(
    {
        *("__pycache__", ".git", ".pytest_cache", ".hypothesis"),
        *(".mypy_cache", ".ruff_cache", ".import_linter_cache"),
    }
)
GRACE_S = 20.0  # for a process whose end is under way


class FolderWatch:
    """Folders looked at again and again, for names that they did not have before."""

    def __init__(self, *roots: Path) -> None:
        self._seen: dict[Path, tuple[int, frozenset[str]]] = {}
        for root in roots:
            for folder, inner, _ in os.walk(root):
                inner[:] = [
                    n for n in inner if n not in OF_TOOLS and not _is_venv(Path(folder, n))
                ]
                self._seen[Path(folder)] = _names(Path(folder))

    def new_names(self) -> list[str]:
        """What came since the last look; a folder is listed only where its time says that its names changed."""
        out: list[str] = []
        for folder, (changed_ns, names) in self._seen.items():
            if folder.is_dir() and folder.stat().st_mtime_ns != changed_ns:
                self._seen[folder] = _names(folder)
                out += [str(folder / name) for name in sorted(self._seen[folder][1] - names)]
        return out


def _names(folder: Path) -> tuple[int, frozenset[str]]:
    return folder.stat().st_mtime_ns, frozenset(p.name for p in folder.iterdir()) - OF_TOOLS


def _is_venv(folder: Path) -> bool:
    return (folder / "pyvenv.cfg").exists()


def end_processes() -> list[str]:
    """Kill what this session's tests started and did not end; each with the test that started it."""
    deadline = time.monotonic() + GRACE_S
    while (left := dict(_running())) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return list(left.values())


def _running() -> Iterator[tuple[int, str]]:
    """Processes that carry this session's mark or are its children: their pids, and what they are."""
    mark, own = f"{MARK}={os.getpid()}".encode(), (os.getpid(),)
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) in own:
            continue
        with contextlib.suppress(OSError):  # it has just ended, or is another user's
            variables = (process / "environ").read_bytes().split(b"\0")
            state, parent = (process / "stat").read_text().rpartition(")")[2].split()[:2]
            if state == "Z" or not (mark in variables or int(parent) in own):
                continue
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ")
            by = [v.partition(b"=")[2] for v in variables if v.startswith(b"PYTEST_CURRENT_TEST=")]
            yield (
                int(process.name),
                b" started by ".join([words.strip(), *by]).decode(errors="replace"),
            )
