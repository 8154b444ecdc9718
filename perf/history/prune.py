"""What may go of old runs: engines and prepared inputs, then their place in the results folder, then all."""

import secrets
import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from perf.results import run_names
from perf.results.run_folder import read_json
from perf.schema.file_lock import LockTaken, hold_lock
from perf.schema.untrusted_tree import paths_below

MADE_AGAIN = ("cache", "inputs", "references")  # what a run can make anew
DAY_S = 24 * 3600.0
GONE = ".pruned-"  # a run that is being removed


@dataclass(frozen=True)
class Removal:
    """What goes of one run."""

    run: Path
    folders: tuple[Path, ...]
    tables: tuple[Path, ...]  # in the results folder: they move into the run's, or go with it
    whole: bool
    bytes: int


def plan_removals(
    results: Path, *, keep: int, older_s: float, whole: bool, now_s: float | None = None
) -> tuple[Removal, ...]:
    """Of runs beyond the `keep` newest, and older than that: never of one that has a saved name.

    One that can still be resumed keeps what it prepared, unless it goes whole.
    """
    now = time.time() if now_s is None else now_s
    saved = set(run_names.list_baselines(results).values())
    out = []
    for run in run_names.list_runs(results)[max(keep, 1) :]:
        age_s = now - (run / run_names.RUN_MARK).stat().st_mtime
        if age_s < older_s or run.name in saved or not (whole or _is_finished(run)):
            continue
        tables = tuple(sorted(results.glob(f"benchmark_*_{run.name}.csv")))
        folders = (run,) if whole else tuple(p for n in MADE_AGAIN if (p := run / n).is_dir())
        if folders or tables:
            size = sum(_size(p) for p in (*folders, *(tables if whole else ())))
            out.append(Removal(run, folders, tables, whole, size))
    return tuple(out)


def remove(removals: Sequence[Removal]) -> Iterator[tuple[Removal, str]]:
    """Carry them out, each with why it was left, "" where it is done; raises OSError."""
    for removal in removals:
        try:
            with hold_lock(removal.run / ".lock", wait=False):
                _remove(removal)
        except LockTaken:
            yield removal, "a process is writing it"
        else:
            yield removal, ""


def sweep(results: Path) -> None:
    """Finish what an earlier removal was killed in."""
    for path in results.glob(f"{GONE}*"):
        shutil.rmtree(path, ignore_errors=True)


def _is_finished(run: Path) -> bool:
    told = read_json(run / run_names.RUN_MARK)
    planned = told.get("cells") if isinstance(told, dict) else None
    ended = sum(1 for _ in run.glob("cells/*/*/*/record.json"))
    return isinstance(planned, list) and ended >= len(planned)


def _remove(removal: Removal) -> None:
    for table in removal.tables:
        if removal.whole:
            table.unlink(missing_ok=True)
        else:
            table.replace(removal.run / table.name)
    for folder in removal.folders:
        aside = removal.run.parent / f"{GONE}{secrets.token_hex(4)}"
        folder.replace(aside)  # so that nothing half removed is taken for whole
        shutil.rmtree(aside)


def _size(path: Path) -> int:
    """Bytes on disk below a path; hard-linked files count once."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for file in _files(path):
        with suppress(OSError):
            told = file.lstat()
            if (told.st_dev, told.st_ino) not in seen:
                seen.add((told.st_dev, told.st_ino))
                total += told.st_blocks * 512
    return total


def _files(path: Path) -> Collection[Path]:
    return [path, *paths_below(path)] if path.is_dir() else [path]
