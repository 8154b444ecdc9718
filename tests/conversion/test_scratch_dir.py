"""Whatever ends a maker, what it left half-made is gone at the latest when the next one begins."""

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from perf.conversion import scratch_dir
from setup_models import model_list_rows
from tests.setup_models.tiny import mlp, save, tree

ROOT = Path(__file__).resolve().parents[2]
# Stops where the model is staged and its list not yet written, until it is killed.
STAGED = """
import sys, time
from pathlib import Path
from setup_models import add, model_list_rows as rows
from perf.conversion.errors import run_command
rows.put_in_place = lambda *_: (print("staged", flush=True), time.sleep(60))
sys.exit(run_command(add.main, sys.argv[1:]))
"""
# Stops between the folder's move into place and the list that would name it.
PLACED = STAGED.replace("rows.put_in_place =", "rows.write =")


def maker(code: str, tmp_path: Path) -> subprocess.Popen[str]:
    source = save(mlp(), tmp_path / "mine.onnx")
    command = [sys.executable, "-c", code, str(source), "--models", str(tmp_path / "models")]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "staged\n"
    return child


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_maker_that_is_asked_to_end_leaves_the_folder_as_it_was(
    how: signal.Signals, tmp_path: Path
) -> None:
    child = maker(STAGED, tmp_path)
    child.send_signal(how)
    _, said = child.communicate(timeout=30)
    assert child.returncode == 128 + how
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("code", [STAGED, PLACED])
def test_what_a_killed_maker_left_goes_when_the_next_one_begins(code: str, tmp_path: Path) -> None:
    child = maker(code, tmp_path)
    child.kill()
    child.communicate(timeout=30)
    models = tmp_path / "models"
    assert list(models.glob(".making.*")), "nothing to sweep: the test proves nothing"
    with model_list_rows.workshop(models) as place:
        assert sorted(models.iterdir()) == [place]
    assert not any(models.iterdir())


def test_a_folder_that_came_after_the_kill_is_not_taken_for_its_own(tmp_path: Path) -> None:
    child = maker(PLACED, tmp_path)
    child.kill()
    child.communicate(timeout=30)
    models = tmp_path / "models"
    (models / "mine").rename(tmp_path / "kept")
    save(mlp(), models / "mine" / "model.onnx")
    with model_list_rows.workshop(models):
        pass
    assert [path.name for path in models.iterdir()] == ["mine"]


def test_a_model_whose_row_is_written_stays(tmp_path: Path) -> None:
    models = tmp_path / "models"
    (models / ".making.killed").mkdir(parents=True)
    save(mlp(), models / "mine" / "model.onnx")
    (models / "model_list.json").write_text('[{"model_name": "mine"}]')
    placing = {"list": str(models / "model_list.json"), "names": ["mine"]}
    placing["folders"] = {"mine": (models / "mine").stat().st_ino}  # type: ignore[assignment]
    (models / ".making.killed" / model_list_rows.PLACING).write_text(json.dumps(placing))
    before = tree(models / "mine")
    with model_list_rows.workshop(models):
        pass
    assert sorted(path.name for path in models.iterdir()) == ["mine", "model_list.json"]
    assert tree(models / "mine") == before


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    inside, done = threading.Event(), threading.Event()

    def use() -> None:
        with scratch_dir.scratch_folder(tmp_path, ".making.") as mine:
            (mine / "draft").write_text("x")
            inside.set()
            done.wait(30)
            assert (mine / "draft").read_text() == "x"
            (tmp_path / "proof").write_text("unharmed")

    user = threading.Thread(target=use)
    user.start()
    assert inside.wait(30)
    with scratch_dir.scratch_folder(tmp_path, ".making.") as other:
        assert len(list(tmp_path.glob(".making.*"))) == 2
        assert list(other.iterdir()) == []
    done.set()
    user.join()
    assert [path.name for path in tmp_path.iterdir()] == ["proof"]


def test_only_folders_of_the_prefix_are_swept(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("x")
    (tmp_path / ".making.link").symlink_to(elsewhere)
    (tmp_path / ".making.file").write_text("x")
    (tmp_path / "other").mkdir()
    (tmp_path / ".making.old").mkdir()
    began = time.monotonic()
    with scratch_dir.scratch_folder(tmp_path, ".making."):
        pass
    assert time.monotonic() - began < 5
    names = [".making.file", ".making.link", "elsewhere", "other"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert (elsewhere / "kept").exists()
