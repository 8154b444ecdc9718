"""The command: what it makes, what it leaves alone, what it says, and what a crash leaves behind."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perf.conversion.errors import UserError
from setup_models import offline
from tests.asking import ROOT
from tests.setup_models.tiny import tree

SMALL = ("loop_if", "int8_qdq", "encoder")
COMMAND = (sys.executable, "-m", "setup_models.offline")
LOOP_IF = next(recipe for recipe in offline.RECIPES if recipe.name == "loop_if")


def run(*words: object, start: tuple[str, ...] = COMMAND) -> subprocess.CompletedProcess[str]:
    how: dict[str, Any] = {"cwd": ROOT, "capture_output": True, "text": True}
    return subprocess.run([*start, *map(str, words)], **how, timeout=120, check=False)


def make(out: Path, *more: str) -> Path:
    """The folder of loop_if, made by the command."""
    assert offline.main(["--out", str(out), "--only", "loop_if", *more]) == 0
    return out / "loop_if"


def test_two_processes_make_the_same_bytes(tmp_path: Path) -> None:
    names = ("squeezenet", "detector", "text_recogniser", *SMALL)
    for place in ("a", "b"):
        done = run("--out", tmp_path / place, "--only", *names)
        assert (done.returncode, done.stderr) == (0, "")
        lines = [line.split() for line in done.stdout.splitlines()]
        assert {(name, unit) for name, _, unit, *_ in lines} == {(name, "MB") for name in names}
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert {path.name for path in (tmp_path / "a").iterdir()} == {*names, ".lock"}
    sets = [f"test_data_set_{n}" for n in (0, 1)]
    files = [
        f"{home}/{kind}_{n}.pb" for home in sets for kind in ("input", "output") for n in (0, 1)
    ]
    assert set(tree(tmp_path / "a" / "loop_if")) == {"model.onnx", ".made", *sets, *files}


def test_made_models_are_left_alone_without_an_engine_unless_forced(tmp_path: Path) -> None:
    inode = (make(tmp_path) / "model.onnx").stat().st_ino
    probe = (
        "import sys; from setup_models import offline; offline.main(sys.argv[1:]); "
        "print([m for m in ('numpy', 'onnx', 'onnxruntime') if m in sys.modules])"
    )
    done = run("--out", tmp_path, "--only", "loop_if", start=(sys.executable, "-c", probe))
    assert done.stdout.splitlines() == [f"1 models are already in {tmp_path}", "[]"]
    assert (tmp_path / "loop_if" / "model.onnx").stat().st_ino == inode
    assert (make(tmp_path, "--force") / "model.onnx").stat().st_ino != inode


def test_damaged_models_are_made_again(tmp_path: Path) -> None:
    folder = make(tmp_path)
    whole, stamp, model = tree(folder), folder / ".made", folder / "model.onnx"
    older = json.dumps(json.loads(stamp.read_text()) | {"digest": "older"})
    damages: list[Callable[[], object]] = [lambda: model.write_bytes(model.read_bytes()[:-1])]
    damages += [(folder / "test_data_set_1" / "output_0.pb").unlink, stamp.unlink]
    damages += [lambda: stamp.write_text(older), lambda: stamp.write_text("{")]
    for damage in damages:
        damage()
        assert not offline.is_current(LOOP_IF, folder)
        assert offline.is_current(LOOP_IF, make(tmp_path))
        assert tree(folder) == whole


@pytest.mark.parametrize("victim", ["squeezenet", "encoder"])
def test_killed_while_making_leaves_whole_models_only(tmp_path: Path, victim: str) -> None:
    recipes = {recipe.name: recipe for recipe in offline.RECIPES}
    words = ["--out", str(tmp_path), "--only", "squeezenet", *SMALL]
    child = subprocess.Popen([*COMMAND, *words], cwd=ROOT, stdout=subprocess.DEVNULL)
    half_made = tmp_path / f".making-{victim}"
    while not half_made.exists():
        assert child.poll() is None
        time.sleep(0.0005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    seen = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert seen == (set() if victim == "squeezenet" else {"squeezenet"})
    assert all(offline.is_current(recipes[name], tmp_path / name) for name in seen)
    offline.main(words)
    assert {path.name for path in tmp_path.iterdir()} == {"squeezenet", *SMALL, ".lock"}


def test_two_makers_at_once_share_the_work(tmp_path: Path) -> None:
    command = [*COMMAND, "--out", str(tmp_path), "--only", *SMALL]
    how: dict[str, Any] = {"cwd": ROOT, "stdout": subprocess.PIPE, "text": True}
    pair = [subprocess.Popen(command, **how) for _ in range(2)]
    said = [child.communicate(timeout=120)[0] for child in pair]
    assert [child.returncode for child in pair] == [0, 0]
    made = [line.split()[0] for line in "".join(said).splitlines() if " MB " in line]
    assert sorted(made) == sorted(SMALL)  # each once


def test_a_failing_recipe_keeps_the_old_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path)
    whole = tree(tmp_path)

    def fail(self: offline.Recipe) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(offline.Recipe, "build", fail)
    with pytest.raises(UserError, match=r"cannot make models in .*: No space left on device"):
        make(tmp_path, "--force")
    assert tree(tmp_path) == whole


def test_what_cannot_be_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="squeezent: no such model; did you mean squeezenet"):
        offline.main(["--out", str(tmp_path), "--only", "squeezent"])
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    bare = (sys.executable, "-S", "-m", "setup_models.offline")  # no installed package is found
    for done, says in (
        (
            run("--out", tmp_path / "file" / "models"),
            f"cannot make models in {tmp_path}/file/models: ",
        ),
        (run("--out", tmp_path, start=bare), f"{sys.executable} lacks "),
    ):
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: {says}")
        assert done.stderr.count("\n") == 1


def test_list_makes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path)
    capsys.readouterr()
    before = tree(tmp_path)
    assert offline.main(["--out", str(tmp_path), "--list"]) == 0
    listed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    others = {recipe.name: "to make" for recipe in offline.RECIPES}
    assert listed == others | {"loop_if": "made"}
    assert offline.main(["--out", str(tmp_path), "--list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == listed
    assert tree(tmp_path) == before
