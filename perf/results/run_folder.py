"""A run's folder: what lies where, who owns it, and how each finished thing is made durable."""

import errno
import re
import secrets
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from perf.request.options import BadRequestError
from perf.schema import atomic_file, codec, record, strict_json
from perf.schema.cell import Cell, safe_name
from perf.schema.file_lock import LockTaken, hold_lock
from perf.schema.record import Launch, Record
from perf.schema.untrusted_file import UntrustedFileError, read_whole
from perf.schema.untrusted_tree import paths_below, remove_tree
from perf.schema.version import stamp, without_version

JSON_LIMIT = 64 << 20  # bytes
DRAFT = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")  # as atomic_file names them
PLACES_OF_DRAFTS = (".*.tmp", "cells/*/*/*/.*.tmp", "cells/*/*/*/*/.*.tmp")
DRAFT_OF_TABLE = re.compile(
    r"\.benchmark_(?:fail|latency|metrics|session|status|success|system_info)_(.+)\.csv\.[0-9a-f]{8}\.tmp"
)


@dataclass(frozen=True)
class RunFolder:
    """Paths below result/<run id>/; nothing outside this class knows the layout."""

    results: Path
    run_id: str

    @property
    def root(self) -> Path:
        """result/<run id>."""
        return self.results / self.run_id

    def cell(self, cell: Cell) -> Path:
        """The folder of one cell."""
        return self.root / "cells" / cell.folder

    def launch(self, cell: Cell, name: str) -> Path:
        """The folder of one launch: its journal, its output, what its engine dropped."""
        return self.cell(cell) / name

    def inputs(self, model: str, key: str) -> Path:
        """Prepared tensors of one model; `key` stands for all that they were made from."""
        return self.root / "inputs" / safe_name(model) / key

    def reference(self, model: str, key: str) -> Path:
        """Outputs of the unoptimised CPU EP for a model's inputs, by what they were made from."""
        return self.root / "references" / safe_name(model) / key

    def cache(self, key: str) -> Path:
        """Engines and artefacts by key."""
        return self.root / "cache" / key


def new_run_id() -> str:
    """20261123T140210-<host>-<4 hex>."""
    host = safe_name(socket.gethostname().split(".")[0])[:24] or "host"
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{host}-{secrets.token_hex(2)}"


@contextmanager
def own_run(run: RunFolder, *, fresh: bool) -> Iterator[RunFolder]:
    """Make or reopen a run's folder, and hold it: two processes never write one run."""
    with ExitStack() as held:
        try:
            run.results.mkdir(parents=True, exist_ok=True)
            run.root.mkdir(exist_ok=not fresh)
            held.enter_context(hold_lock(run.root / ".lock", wait=False))
        except LockTaken:
            raise BadRequestError(
                f"run {run.run_id} is being written by another process; choose another --run_id"
            ) from None
        except FileExistsError:
            if not run.results.is_dir():
                raise BadRequestError(
                    f"{run.results}: not a folder; choose another with -o"
                ) from None
            raise BadRequestError(
                f"run {run.run_id} exists in {run.results}; choose another --run_id, or "
                f"--resume {run.run_id}"
            ) from None
        except OSError as e:
            if e.errno in (errno.ENOSPC, errno.EDQUOT):
                raise  # no wrong request: the disk is full
            raise BadRequestError(
                f"{run.results}: {e.strerror}; choose a writable folder with -o"
            ) from e
        _sweep_drafts(run)
        _link_latest(run)
        yield run


def _sweep_drafts(run: RunFolder) -> None:
    """Remove what a wrapper that was killed had not yet put in place: of this run, and tables of others."""
    for pattern in PLACES_OF_DRAFTS:  # no deeper: a worker's folders may be nested without end
        for path in run.root.glob(pattern):
            if DRAFT.fullmatch(path.name) and not path.is_dir():
                path.unlink(missing_ok=True)
    for path in run.results.glob(".benchmark_*.tmp"):
        if (found := DRAFT_OF_TABLE.fullmatch(path.name)) and not _is_written(run, found[1]):
            path.unlink(missing_ok=True)


def _is_written(run: RunFolder, run_id: str) -> bool:
    """Whether another process has that run in its hands."""
    lock = run.results / run_id / ".lock"
    if run_id == run.run_id or not lock.is_file():
        return False
    try:
        with hold_lock(lock, wait=False):
            return False
    except (LockTaken, OSError):
        return True


def _link_latest(run: RunFolder) -> None:
    """Point result/latest at this run; a file system without links goes without."""
    aside = run.results / f".latest-{secrets.token_hex(4)}"
    with suppress(OSError):
        aside.symlink_to(run.run_id)
        aside.replace(run.results / "latest")


def read_json(path: Path) -> Any:
    """Read JSON, or None where there is none or it is torn; raises NewerSchemaError."""
    try:
        value = strict_json.parse(read_whole(path, JSON_LIMIT))
    except (UntrustedFileError, FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return without_version(value, path)


def read_finished_launch(folder: Path) -> Launch | None:
    """A launch that ended in an earlier part of this run."""
    with suppress(codec.DecodeError):
        return codec.decode(Launch, read_json(folder / "launch.json"))
    return None


def read_finished_launches(run: RunFolder) -> Iterator[Launch]:
    """Every launch that ended in an earlier part of this run."""
    paths = (path for path in paths_below(run.root) if path.name == "launch.json")
    found = (read_finished_launch(path.parent) for path in paths)
    return (launch for launch in found if launch is not None)


def write_launch(folder: Path, launch: Launch) -> None:
    """Make one launch durable, so that a resumed run need not repeat it."""
    path = folder / "launch.json"
    atomic_file.write_json(path, stamp(codec.encode(launch)), indent=None, durable=False)


def read_finished_cell(run: RunFolder, cell: Cell) -> Record | None:
    """A cell that ended in an earlier part of this run, if its record can be read."""
    try:
        return record.read_record(run.cell(cell) / "record.json")
    except (OSError, ValueError):
        return None


def read_records(run: RunFolder) -> tuple[Record, ...]:
    """Every readable record of a run, in the order of their paths."""
    found = []
    for path in sorted(run.root.glob("cells/*/*/*/record.json")):
        with suppress(OSError, ValueError):
            found.append(record.read_record(path))
    return tuple(found)


def make_folder(root: Path, folder: Path) -> Path:
    """A real folder below a root that is believed, made anew where a worker put something else."""
    root.mkdir(parents=True, exist_ok=True)
    at = root
    for part in folder.relative_to(root).parts:
        at /= part
        with suppress(FileNotFoundError):
            if not stat.S_ISDIR(at.lstat().st_mode):
                at.unlink()
        at.mkdir(exist_ok=True)
    return folder


def make_empty(root: Path, folder: Path) -> Path:
    """An empty folder below a root that is believed, whatever a killed run or a worker left there."""
    make_folder(root, folder.parent)
    remove_tree(folder)
    folder.mkdir()
    return folder


def make_place(root: Path, file: Path) -> Path:
    """Where a file can be written below a root that is believed: in real folders, and where none is."""
    make_folder(root, file.parent)
    if file.is_dir() and not file.is_symlink():
        remove_tree(file)
    return file
