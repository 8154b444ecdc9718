"""Which models a folder holds: each ONNX file with the test data that belongs to it."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from perf.conversion import data_sets, external_data
from perf.conversion.errors import UserError
from perf.request.model_file import digest_model
from setup_models.model_list_rows import Row


@dataclass(frozen=True)
class FoundModel:
    """One model: its name, its file, and the folder with its test sets (None: it has none)."""

    name: str
    model: Path
    test_data: Path | None


def find_models(root: Path, name: str) -> list[FoundModel]:
    """Every model below `root`, in path order.

    A single model bears `name`; of several, each bears `name` and its own part. Test data belongs
    to a model when it lies in the model's folder or the nearest folder above that has some.
    Raises UserError for no model, for two models that share one folder's test data, and for
    models whose names would be the same.
    """
    files = _onnx_files(root)
    if not files:
        raise UserError(f"{root.name}: no .onnx file in it")
    found = [
        FoundModel(
            name if len(files) == 1 else _own_name(root, name, file), file, _test_data(root, file)
        )
        for file in files
    ]
    for folder, count in Counter(each.test_data for each in found).items():
        if folder is not None and count > 1:
            rivals = ", ".join(
                str(f.model.relative_to(root)) for f in found if f.test_data == folder
            )
            raise UserError(f"{root.name}: {rivals} share one set of test data; keep one of them")
    for twice, count in Counter(each.name for each in found).items():
        if count > 1:
            raise UserError(f"{root.name}: two models would be called {twice}; rename one")
    return found


def make_row(found: FoundModel, root: Path, working_directory: str) -> Row:
    """The model_list.json row; `working_directory` is what `root` is called in it.

    Raises UserError for an unreadable model or a missing external data file.
    """
    external_data.external_files(found.model, external_data.read_structure(found.model))
    assert found.test_data is not None, "a model gets its row when it has test data"
    return {
        "model_name": found.name,
        "working_directory": working_directory,
        "model_path": _relative(found.model, root),
        "test_data_path": _relative(found.test_data, root),
        "sha256": digest_model(found.model),
    }


def _onnx_files(root: Path) -> list[Path]:
    found = []
    for folder, folders, names in os.walk(root):
        # Hidden entries are not models: macOS archives carry a `._model.onnx` beside each file.
        folders[:] = sorted(each for each in folders if not each.startswith((".", "test_data")))
        found += [
            Path(folder) / name
            for name in sorted(names)
            if name.endswith(".onnx") and not name.startswith(".")
        ]
    return sorted(found)


def _own_name(root: Path, name: str, file: Path) -> str:
    inside = file.relative_to(root).with_suffix("")
    generic = inside.name.lower() == "model" and len(inside.parts) > 1
    return f"{name}-{inside.parent.name if generic else inside.name}"


def _test_data(root: Path, file: Path) -> Path | None:
    folder = file.parent
    while True:
        if any(data_sets.tensor_files(each, "input") for each in data_sets.find_sets(folder)):
            return folder
        if folder == root:
            return None
        folder = folder.parent


def _relative(path: Path, root: Path) -> str:
    inside = path.relative_to(root)
    end = "/" if path.is_dir() and inside.parts else ""
    return f"./{inside if inside.parts else ''}{end}"
