"""model_list.json and folders come whole or not at all, whatever stands in the way or ends the maker."""

import json
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from perf.conversion.errors import UserError
from perf.conversion.scratch_dir import scratch_folder
from setup_models.model_list_rows import PLACING, Addition, put_in_place, read_rows, workshop
from tests.setup_models.tiny import mlp, save, tree

ROOT = Path(__file__).resolve().parents[2]
# Stops where the model is staged and its list not yet written, until it is killed.
STAGED = """
import sys, time
from setup_models import add, model_list_rows as rows
from perf.conversion.errors import run_command
rows.put_in_place = lambda *_: (print("staged", flush=True), time.sleep(60))
sys.exit(run_command(add.main, sys.argv[1:]))
"""
# Stops between the folder's move into place and the list that would name it.
PLACED = STAGED.replace("rows.put_in_place = lambda *_", "rows.write_json = lambda *_, **__")


def place(models: Path, list_path: Path, *names: str) -> None:
    with workshop(models) as scratch:
        for name in names:
            (scratch / name).mkdir()
            (scratch / name / "m.onnx").write_bytes(b"x")
        additions = [Addition(name, scratch / name, ({"model_name": name},)) for name in names]
        put_in_place(models, list_path, additions)


def test_runs_side_by_side_lose_no_folder_and_no_row(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    names = [f"m{number}" for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        pairs = zip(names[::2], names[1::2], strict=True)
        list(pool.map(lambda pair: place(models, models / "list.json", *pair), pairs))
    assert sorted(row["model_name"] for row in read_rows(models / "list.json")) == sorted(names)
    assert {path.name for path in models.iterdir()} == {*names, "list.json"}


def test_a_list_that_cannot_be_written_takes_the_folders_back(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Not a directory"):
        place(tmp_path / "models", tmp_path / "file" / "list.json", "a")
    assert not (tmp_path / "models").exists()


def test_damaged_and_taken_lists_are_kept(tmp_path: Path) -> None:
    for text in ("{", '{"a": 1}', "[1]", '[{"model_name": "a"}]'):
        (tmp_path / "list.json").write_text(text)
        before = tree(tmp_path)
        with pytest.raises(UserError, match=r"repair or remove it|two models are called a"):
            place(tmp_path, tmp_path / "list.json", "a")
        assert tree(tmp_path) == before


def ended(code: str, how: signal.Signals, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """A maker that got this far, and was sent the signal."""
    source = save(mlp(), tmp_path / "mine.onnx")
    command = [sys.executable, "-c", code, str(source), "--models", str(tmp_path / "models")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=ROOT) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "staged\n"
        child.send_signal(how)
        out, err = child.communicate(timeout=30)
    return subprocess.CompletedProcess(command, child.returncode, out, err)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_maker_that_is_asked_to_end_cleans_up(how: signal.Signals, tmp_path: Path) -> None:
    done = ended(STAGED, how, tmp_path)
    assert done.returncode == 128 + how
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("code", [STAGED, PLACED])
def test_what_a_killed_maker_left_goes_when_the_next_one_begins(code: str, tmp_path: Path) -> None:
    ended(code, signal.SIGKILL, tmp_path)
    models = tmp_path / "models"
    assert list(models.glob(".making.*")), "nothing to sweep: the test proves nothing"
    with workshop(models) as place:
        assert sorted(models.iterdir()) == [place]
    assert not any(models.iterdir())


def test_a_folder_that_came_after_the_kill_is_not_taken_for_its_own(tmp_path: Path) -> None:
    ended(PLACED, signal.SIGKILL, tmp_path)
    models = tmp_path / "models"
    (models / "mine").rename(tmp_path / "kept")
    save(mlp(), models / "mine" / "model.onnx")
    with workshop(models):
        pass
    assert [path.name for path in models.iterdir()] == ["mine"]


def test_a_model_whose_row_is_written_stays(tmp_path: Path) -> None:
    models = tmp_path / "models"
    (models / ".making.killed").mkdir(parents=True)
    save(mlp(), models / "mine" / "model.onnx")
    listed = models / "model_list.json"
    listed.write_text('[{"model_name": "mine"}]')
    folders = {"mine": (models / "mine").stat().st_ino}
    placing = {"list": str(listed), "names": ["mine"], "folders": folders}
    (models / ".making.killed" / PLACING).write_text(json.dumps(placing))
    before = tree(models / "mine")
    with workshop(models):
        pass
    assert sorted(path.name for path in models.iterdir()) == ["mine", "model_list.json"]
    assert tree(models / "mine") == before


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    inside, done = threading.Event(), threading.Event()

    def use() -> None:
        with scratch_folder(tmp_path, ".making.") as mine:
            (mine / "draft").write_text("x")
            inside.set()
            done.wait(30)
            assert (mine / "draft").read_text() == "x"
            (tmp_path / "proof").write_text("unharmed")

    user = threading.Thread(target=use)
    user.start()
    assert inside.wait(30)
    with scratch_folder(tmp_path, ".making.") as other:
        assert len(list(tmp_path.glob(".making.*"))) == 2
        assert list(other.iterdir()) == []
    done.set()
    user.join()
    assert [path.name for path in tmp_path.iterdir()] == ["proof"]


def test_only_folders_of_the_prefix_are_swept(tmp_path: Path) -> None:
    for folder in ("elsewhere", "other", ".making.old"):
        (tmp_path / folder).mkdir()
    (tmp_path / "elsewhere" / "kept").write_text("x")
    (tmp_path / ".making.link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / ".making.file").write_text("x")
    before = tree(tmp_path)
    with scratch_folder(tmp_path, ".making."):
        pass
    assert before.pop(".making.old") == "folder"
    assert tree(tmp_path) == before
