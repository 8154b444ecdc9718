"""The command: what it makes, what it leaves alone, what it says, and what a crash leaves behind."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from perf.conversion.errors import UserError
from setup_models import offline
from tests.asking import ROOT

SMALL = ("loop_if", "int8_qdq", "encoder")
COMMAND = (sys.executable, "-m", "setup_models.offline")


def files(folder: Path) -> dict[str, str]:
    """Digest of every file under a folder by its path there."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_two_processes_make_the_same_bytes(tmp_path: Path) -> None:
    names = ("squeezenet", "detector", "text_recogniser", *SMALL)
    for place in ("a", "b"):
        done = run("--out", str(tmp_path / place), "--only", *names)
        assert done.returncode == 0, done.stderr
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert {path.split("/")[0] for path in files(tmp_path / "a")} == {*names, ".lock"}


def test_layout_and_progress(tmp_path: Path) -> None:
    done = run("--out", str(tmp_path), "--only", "loop_if")
    assert done.stderr == ""
    name, size, unit, *_ = done.stdout.split()
    assert (name, unit) == ("loop_if", "MB")
    assert float(size) > 0
    sets = [
        f"test_data_set_{n}/{kind}_{m}.pb"
        for n in (0, 1)
        for kind in ("input", "output")
        for m in (0, 1)
    ]
    assert sorted(files(tmp_path / "loop_if")) == sorted(["model.onnx", ".made", *sets])


def test_made_models_are_left_alone_without_an_engine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--out", str(tmp_path), "--only", "loop_if"]
    assert offline.main(arguments) == 0
    before = (tmp_path / "loop_if" / "model.onnx").stat()
    capsys.readouterr()
    probe = (
        "import sys; from setup_models import offline; offline.main(sys.argv[1:]); "
        "print([m for m in ('numpy', 'onnx', 'onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    said, imported = done.stdout.splitlines()
    assert said == f"1 models are already in {tmp_path}"
    assert imported == "[]"
    assert (tmp_path / "loop_if" / "model.onnx").stat().st_ino == before.st_ino


def test_force_makes_anew(tmp_path: Path) -> None:
    arguments = ["--out", str(tmp_path), "--only", "loop_if"]
    offline.main(arguments)
    before = (tmp_path / "loop_if" / "model.onnx").stat().st_ino
    offline.main([*arguments, "--force"])
    assert (tmp_path / "loop_if" / "model.onnx").stat().st_ino != before


@pytest.mark.parametrize("damage", ["truncated", "missing", "stale", "garbled stamp"])
def test_damaged_models_are_made_again(tmp_path: Path, damage: str) -> None:
    recipe = next(r for r in offline.RECIPES if r.name == "loop_if")
    arguments = ["--out", str(tmp_path), "--only", recipe.name]
    offline.main(arguments)
    folder = tmp_path / recipe.name
    whole = files(folder)
    stamp = folder / ".made"
    match damage:
        case "truncated":
            (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:-1])
        case "missing":
            (folder / "test_data_set_1" / "output_0.pb").unlink()
        case "stale":
            stamp.write_text(json.dumps(json.loads(stamp.read_text()) | {"digest": "older"}))
        case _:
            stamp.write_text("{")
    assert not offline.is_current(recipe, folder)
    offline.main(arguments)
    assert offline.is_current(recipe, folder)
    assert files(folder) == whole


@pytest.mark.parametrize("victim", ["squeezenet", "encoder"])
def test_killed_while_making_leaves_whole_models_only(tmp_path: Path, victim: str) -> None:
    recipes = {recipe.name: recipe for recipe in offline.RECIPES}
    names = ("squeezenet", *SMALL)
    child = subprocess.Popen(
        [*COMMAND, "--out", str(tmp_path), "--only", *names],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    half_made = tmp_path / f".making-{victim}"
    while not half_made.exists():
        assert child.poll() is None
        time.sleep(0.0005)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    seen = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert seen == (set() if victim == "squeezenet" else {"squeezenet"})
    assert all(offline.is_current(recipes[name], tmp_path / name) for name in seen)
    offline.main(["--out", str(tmp_path), "--only", *names])
    assert {path.name for path in tmp_path.iterdir()} == {*names, ".lock"}


def test_two_makers_at_once_share_the_work(tmp_path: Path) -> None:
    arguments = [*COMMAND, "--out", str(tmp_path), "--only", *SMALL]
    pair = [
        subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [child.communicate(timeout=120)[0] for child in pair]
    assert [child.returncode for child in pair] == [0, 0]
    made = [line.split()[0] for line in "".join(said).splitlines() if " MB " in line]
    assert sorted(made) == sorted(SMALL)  # each once


def test_a_recipe_that_fails_keeps_the_old_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = next(r for r in offline.RECIPES if r.name == "loop_if")
    offline.make(recipe, tmp_path)
    whole = files(tmp_path)

    def fail(self: offline.Recipe) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(offline.Recipe, "build", fail)
    with pytest.raises(OSError, match="No space"):
        offline.make(recipe, tmp_path)
    assert files(tmp_path) == whole


def test_unknown_name_gets_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="squeezent: no such model; did you mean squeezenet"):
        offline.main(["--out", str(tmp_path), "--only", "squeezent"])
    assert not list(tmp_path.iterdir())


def test_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("--out", str(tmp_path / "file" / "models"), "--only", "loop_if")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: cannot make models in {tmp_path}/file/models: ")
    assert done.stderr.count("\n") == 1


def test_list_makes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    offline.main(["--out", str(tmp_path), "--only", "loop_if"])
    capsys.readouterr()
    before = files(tmp_path)
    assert offline.main(["--out", str(tmp_path), "--list"]) == 0
    listed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert listed == {
        r.name: "made" if r.name == "loop_if" else "to make" for r in offline.RECIPES
    }
    assert files(tmp_path) == before


def test_interpreter_without_the_packages_is_one_line(tmp_path: Path) -> None:
    bare = [sys.executable, "-S", "-m", "setup_models.offline", "--out", str(tmp_path)]
    done = subprocess.run(bare, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {sys.executable} lacks ")
    assert done.stderr.count("\n") == 1
