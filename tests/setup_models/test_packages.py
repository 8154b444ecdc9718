"""Models out of wheels, by a real pip that is told to look in a folder and nowhere else."""

import base64
import contextlib
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from perf.conversion.errors import UserError
from perf.conversion.model_inputs import Override
from perf.request import model_list as model_lists
from setup_models import add, packages
from tests.setup_models.tiny import mlp, tree

MODEL = mlp().SerializeToString()


def wheel(folder: Path, files: dict[str, bytes]) -> Path:
    """A valid wheel `tiny_net 1.0` with these files; importing it would fail the test."""
    folder.mkdir(exist_ok=True)
    info = "tiny_net-1.0.dist-info"
    whole = {
        "tiny_net/__init__.py": b"raise SystemExit('the package was run')",
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-net\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/licenses/LICENSE": b"Do as you like.",
        **files,
    }
    record = ""
    for name, body in whole.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(body)}\n"
    whole[f"{info}/RECORD"] = record.encode() + f"{info}/RECORD,,\n".encode()
    path = folder / "tiny_net-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as zipped:
        for name, body in whole.items():
            zipped.writestr(zipfile.ZipInfo(name), body)
    return path


def table_for(path: Path, **changes: str) -> packages.Packaged:
    entries: dict[str, Any] = {
        "name": "tiny",
        "about": "a tiny net",
        "package": "tiny-net",
        "version": "1.0",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "file": "tiny_net/data/net.onnx",
        "file_sha256": hashlib.sha256(MODEL).hexdigest(),
        "licence": "none",
        **changes,
    }
    return packages.Packaged(**entries, inputs={"x": Override((2, 8), (-1.0, 1.0))})


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "shelf"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def test_pip_is_seen_at_work_on_a_terminal_only(
    shelf: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    each = table_for(wheel(shelf, {"tiny_net/data/net.onnx": MODEL}))
    packages.download(each, tmp_path / "quiet")
    assert capfd.readouterr() == ("", "")
    master, slave = os.openpty()
    with os.fdopen(slave, "w") as terminal, contextlib.redirect_stderr(terminal):
        packages.download(each, tmp_path / "watched")
    shown = os.read(master, 4096).decode()
    os.close(master)
    assert "tiny_net-1.0-py3-none-any.whl" in shown


def test_a_model_comes_out_of_a_wheel_that_is_never_run(shelf: Path, tmp_path: Path) -> None:
    each = table_for(wheel(shelf, {"tiny_net/data/net.onnx": MODEL}))
    wish = add.AddOptions("", sets=3)
    packages.set_up([each], tmp_path / "models", wish)
    (model,) = model_lists.load_models(tmp_path / "models" / "model_list.json")
    assert model.name == "tiny"
    assert model.inputs["x"].shape == (2, 8)
    assert Path(model.path).read_bytes() == MODEL
    folder = tmp_path / "models" / "tiny"
    assert sorted(path.name for path in folder.iterdir()) == [
        "LICENSE",
        "net.onnx",
        "test_data_set_0",
        "test_data_set_1",
        "test_data_set_2",
    ]
    assert (folder / "LICENSE").read_text() == "Do as you like."


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sha256": "0" * 64}, "the table says 0000"),
        ({"file_sha256": "1" * 64}, "the table says 1111"),
        ({"file": "tiny_net/other.onnx"}, "holds no tiny_net/other.onnx"),
        ({"version": "2.0"}, r"tiny-net==2\.0: pip cannot download it: No matching distribution"),
        ({"package": "no-such-package-here"}, "pip cannot download it"),
    ],
)
def test_what_is_not_as_the_table_says_is_refused_and_nothing_is_left(
    changes: dict[str, str], words: str, shelf: Path, tmp_path: Path
) -> None:
    path = wheel(shelf, {"tiny_net/data/net.onnx": MODEL})
    good = table_for(path)
    packages.set_up([good], tmp_path / "models", add.AddOptions(""))
    before = tree(tmp_path / "models")
    bad = table_for(path, **{"name": "second", **changes})
    with pytest.raises(UserError, match=words):
        packages.set_up([bad], tmp_path / "models", add.AddOptions(""))
    assert tree(tmp_path / "models") == before


def test_a_model_that_does_not_run_is_refused(shelf: Path, tmp_path: Path) -> None:
    broken = b"\xff\xff"
    path = wheel(shelf, {"tiny_net/data/net.onnx": broken})
    each = table_for(path, file_sha256=hashlib.sha256(broken).hexdigest())
    with pytest.raises(UserError, match="not a readable ONNX model"):
        packages.set_up([each], tmp_path / "models", add.AddOptions(""))
    assert not (tmp_path / "models").exists()


def test_the_shipped_table_is_read_and_listed() -> None:
    table = packages.read_table()
    assert list(table) == ["nudenet-yolov8n", "ppocr-v4-det", "ppocr-v4-rec", "silero-vad"]
    assert table["silero-vad"].inputs["sr"].value == 16000
    assert table["ppocr-v4-det"].half == {"op_block_list": ["BatchNormalization"]}
    done = subprocess.run(
        [sys.executable, "-m", "setup_models.packages"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(table)


def test_names_are_chosen_by_wildcard_in_the_tables_order() -> None:
    table = packages.read_table()
    chosen = packages.choose(table, ["silero-vad", "ppocr-*"])
    assert [each.name for each in chosen] == ["ppocr-v4-det", "ppocr-v4-rec", "silero-vad"]
    with pytest.raises(UserError, match="no packaged model is called yolo; known: nudenet"):
        packages.choose(table, ["yolo"])


@pytest.mark.parametrize(
    "text", ["", "[[model]]\nname = 1\n", "[[model]]\nname = \n", "model = 3"]
)
def test_a_damaged_table_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(text)
    with pytest.raises(UserError, match=r"t\.toml: not a table of packaged models"):
        packages.read_table(tmp_path / "t.toml")
