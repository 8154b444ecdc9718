"""model_list.json is written whole or not at all, also where the disk or another run is in the way."""

import json
import threading
from pathlib import Path

import pytest

from perf.conversion.errors import UserError
from setup_models import model_list_rows
from tests.setup_models.tiny import tree


def addition(scratch: Path, name: str) -> model_list_rows.Addition:
    staged = scratch / name
    staged.mkdir()
    (staged / "m.onnx").write_bytes(b"x")
    return model_list_rows.Addition(
        name, staged, ({"model_name": name, "working_directory": f"./{name}/"},)
    )


def test_folders_and_rows_come_together(tmp_path: Path) -> None:
    models = tmp_path / "models"
    with model_list_rows.workshop(models) as scratch:
        model_list_rows.put_in_place(
            models, [addition(scratch, "a"), addition(scratch, "b")], models / "model_list.json"
        )
    assert sorted(path.name for path in models.iterdir()) == ["a", "b", "model_list.json"]
    assert [row["model_name"] for row in model_list_rows.read(models / "model_list.json")] == [
        "a",
        "b",
    ]


def test_a_list_that_cannot_be_written_takes_the_folders_back(tmp_path: Path) -> None:
    models = tmp_path / "models"
    missing = tmp_path / "no such folder" / "model_list.json"
    with (
        pytest.raises(UserError, match="No such file or directory"),
        model_list_rows.workshop(models) as scratch,
    ):
        model_list_rows.put_in_place(models, [addition(scratch, "a")], missing)
    assert not models.exists()


@pytest.mark.parametrize("text", ["{", '{"a": 1}', "[1]"])
def test_a_damaged_list_is_refused_and_kept(text: str, tmp_path: Path) -> None:
    (tmp_path / "model_list.json").write_text(text)
    before = tree(tmp_path)
    with (
        pytest.raises(UserError, match="repair or remove it"),
        model_list_rows.workshop(tmp_path) as scratch,
    ):
        model_list_rows.put_in_place(
            tmp_path, [addition(scratch, "a")], tmp_path / "model_list.json"
        )
    assert tree(tmp_path) == before


def test_runs_side_by_side_lose_no_row(tmp_path: Path) -> None:
    models = tmp_path / "models"
    names = [f"m{number}" for number in range(12)]

    def one(name: str) -> None:
        with model_list_rows.workshop(models) as scratch:
            model_list_rows.put_in_place(
                models, [addition(scratch, name)], models / "model_list.json"
            )

    models.mkdir()
    threads = [threading.Thread(target=one, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    listed = [row["model_name"] for row in json.loads((models / "model_list.json").read_text())]
    assert sorted(listed) == sorted(names)
    assert sorted(path.name for path in models.iterdir()) == sorted([*names, "model_list.json"])
