"""model_list.json as model set-up writes it: rows added whole, names unique, the file never torn."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perf.conversion import scratch_dir
from perf.conversion.errors import UserError

Row = dict[str, Any]
FILE_NAME = "model_list.json"
PLACING = "placing.json"  # in a workshop: which folders are about to move out of it


@dataclass(frozen=True)
class Addition:
    """A finished folder that waits in `staged` to become `models/<name>`, and its models' rows.

    `staged` is None where the folder stays where it is and only rows are added.
    """

    name: str
    staged: Path | None
    rows: tuple[Row, ...]


def read(path: Path) -> list[Row]:
    """The rows of a model list; [] if there is no such file; UserError for anything else."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); repair or remove it") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path}: not a list of models; repair or remove it")
    return rows


def require_new(models: Path, additions: Sequence[Addition], list_path: Path) -> None:
    """Refuse a name that cannot be a folder's, is given twice, or is taken."""
    taken = {str(row.get("model_name")) for row in read(list_path)}
    for addition in additions:
        name = addition.name
        if not name or "/" in name or "\0" in name or name.startswith("."):
            raise UserError(f"{name!r} cannot name a model's folder; give --name")
        if addition.staged is not None and (models / name).exists():
            raise UserError(
                f"{models / name}: already there; remove it first, or choose another name or "
                "--models folder"
            )
    for row in (row for addition in additions for row in addition.rows):
        name = row["model_name"]
        if name in taken:
            raise UserError(f"two models are called {name} in {list_path}; rename or remove one")
        taken.add(name)


def put_in_place(models: Path, additions: Sequence[Addition], list_path: Path) -> None:
    """Move the staged folders to `models/<name>` and add their rows; all of it or nothing.

    Names are checked under the lock, so that a run beside this one cannot take them meanwhile.
    """
    with scratch_dir.hold_folder(models):
        require_new(models, additions, list_path)
        rows = [*read(list_path), *(row for addition in additions for row in addition.rows)]
        placed: list[Path] = []
        try:
            _announce(additions, list_path)
            for addition in additions:
                if addition.staged is not None:
                    addition.staged.replace(models / addition.name)
                    placed.append(models / addition.name)
            write(list_path, rows)
        except OSError as error:
            for folder in placed:
                shutil.rmtree(folder, ignore_errors=True)
            raise UserError(f"{list_path}: {error.strerror or error}") from error


def write(path: Path, rows: Sequence[Row]) -> None:
    """Replace the file in one step; a reader sees the old list or the new one."""
    draft = path.with_name(f".{path.name}.part")
    try:
        draft.write_text(json.dumps(list(rows), indent=4) + "\n", encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def workshop(models: Path) -> Iterator[Path]:
    """A scratch folder inside `models`, so that finished folders move into place by renaming.

    Gone at the end, and `models` too if it was not there before and nothing came into it. Raises
    UserError for what the file system refuses.
    """
    existed = models.is_dir()
    try:
        models.mkdir(parents=True, exist_ok=True)
        with scratch_dir.scratch_folder(
            models, ".making.", lambda left: _take_back(models, left)
        ) as folder:
            yield folder
    except OSError as error:
        raise UserError(f"{models}: {error.strerror or error}") from error
    finally:
        if not existed and models.is_dir() and not any(models.iterdir()):
            models.rmdir()


def _announce(additions: Sequence[Addition], list_path: Path) -> None:
    """Say in the workshop which folders will leave it, for who finds it after a kill."""
    staged = {each.name: each.staged for each in additions if each.staged is not None}
    for workplace in {folder.parent for folder in staged.values()}:
        content = {
            "list": str(list_path.absolute()),
            "names": [row["model_name"] for each in additions for row in each.rows],
            "folders": {name: folder.stat().st_ino for name, folder in staged.items()},
        }
        (workplace / PLACING).write_text(json.dumps(content), encoding="utf-8")


def _take_back(models: Path, workplace: Path) -> None:
    """Remove the folders that a killed run had moved into place and not yet listed.

    Told from folders that came later by their inodes; a run whose list was written had finished.
    """
    try:
        content = json.loads((workplace / PLACING).read_text(encoding="utf-8"))
        listed = {row.get("model_name") for row in read(Path(content["list"]))}
        if listed & set(content["names"]):
            return
        for name, inode in content["folders"].items():
            folder = models / name
            if folder.is_dir() and folder.stat().st_ino == inode:
                shutil.rmtree(folder, ignore_errors=True)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UserError):
        return  # it had announced nothing, or the list cannot be read: then nothing is taken
