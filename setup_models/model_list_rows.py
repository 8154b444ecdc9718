"""model_list.json as model set-up writes it: rows added whole, names unique, the file never torn."""

import contextlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perf.conversion.errors import UserError
from perf.conversion.scratch_dir import scratch_folder
from perf.request.model_file import digest_model
from perf.request.model_list import REQUIRED
from perf.schema.atomic_file import write_json
from perf.schema.file_lock import hold_lock
from perf.schema.untrusted_file import read_text

Row = dict[str, Any]
FILE_NAME = "model_list.json"
PLACING = "placing.json"  # in a workshop: which folders are about to move out of it


@dataclass(frozen=True)
class Addition:
    """A finished folder that waits to become `models/<name>` (None: it stays where it is), and its rows."""

    name: str
    staged: Path | None
    rows: tuple[Row, ...]


def read_rows(path: Path) -> list[Row]:
    """The rows of a model list; [] if there is no such file; UserError for anything else."""
    try:
        rows = json.loads(read_text(path, encoding="utf-8-sig"))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); repair or remove it") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path}: not a list of models; repair or remove it")
    return rows


def make_row(name: str, folder: str, model: str, test_data: str, file: Path) -> Row:
    """A model's row: `folder` as the list sees it, `model` and `test_data` as the folder does."""
    row: Row = dict(zip(REQUIRED, (name, folder, model, test_data), strict=True))
    return row | {"sha256": digest_model(file)}


def require_new(
    models: Path, list_path: Path, folders: Iterable[str], rows: Sequence[Row] = ()
) -> None:
    """Refuse a name that cannot be a folder's, is given twice, or is taken."""
    taken = {str(row.get("model_name")) for row in read_rows(list_path)}
    for name in folders:
        if not name or "/" in name or "\0" in name or name.startswith("."):
            raise UserError(f"{name!r} cannot name a model's folder; give --name")
        if (models / name).exists():
            raise UserError(
                f"{models / name}: already there; remove it first, or choose another name or "
                "--models folder"
            )
    for name in (row["model_name"] for row in rows):
        if name in taken:
            raise UserError(f"two models are called {name} in {list_path}; rename or remove one")
        taken.add(name)


def put_in_place(models: Path, list_path: Path, additions: Sequence[Addition]) -> None:
    """Move the staged folders to `models/<name>` and add their rows; all of it or nothing.

    Names are checked under the lock, so that a run beside this one cannot take them meanwhile.
    """
    staged = {a.name: a.staged for a in additions if a.staged is not None}
    rows = [row for addition in additions for row in addition.rows]
    with hold_lock(models):
        require_new(models, list_path, staged, rows)
        placed: list[Path] = []
        try:
            _announce(staged, rows, list_path)
            for name, folder in staged.items():
                placed.append(folder.replace(models / name))
            write_json(list_path, [*read_rows(list_path), *rows], indent=4)
        except OSError as error:
            for folder in placed:
                shutil.rmtree(folder, ignore_errors=True)
            raise UserError(f"{list_path}: {error.strerror or error}") from error


@contextlib.contextmanager
def workshop(models: Path) -> Iterator[Path]:
    """A scratch folder inside `models`, from which finished folders move into place by renaming.

    Gone at the end, and `models` too if it was not there before and is empty. Raises UserError.
    """
    existed = models.is_dir()
    try:
        models.mkdir(parents=True, exist_ok=True)
        with scratch_folder(models, ".making.", lambda left: _take_back(models, left)) as folder:
            yield folder
    except OSError as error:
        raise UserError(f"{models}: {error.strerror or error}") from error
    finally:
        if not existed and models.is_dir() and not any(models.iterdir()):
            models.rmdir()


def _announce(staged: dict[str, Path], rows: Sequence[Row], list_path: Path) -> None:
    """Say in the workshop which folders will leave it, for who finds it after a kill."""
    content = {
        "list": str(list_path.absolute()),
        "names": [row["model_name"] for row in rows],
        "folders": {name: folder.stat().st_ino for name, folder in staged.items()},
    }
    for workplace in {folder.parent for folder in staged.values()}:
        (workplace / PLACING).write_text(json.dumps(content), encoding="utf-8")


def _take_back(models: Path, workplace: Path) -> None:
    """Remove the folders that a killed run had moved into place and not yet listed.

    Told from folders that came later by their inodes; a run whose list was written had finished.
    """
    try:
        content = json.loads(read_text(workplace / PLACING))
        listed = {row.get("model_name") for row in read_rows(Path(content["list"]))}
        if listed & set(content["names"]):
            return
        for name, inode in content["folders"].items():
            folder = models / name
            if folder.is_dir() and folder.stat().st_ino == inode:
                shutil.rmtree(folder, ignore_errors=True)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UserError):
        return  # it had announced nothing, or the list cannot be read: then nothing is taken
