"""Models out of wheels, by a real pip that is told to look in a folder and nowhere else."""

import contextlib
import dataclasses
import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from perf.conversion.errors import UserError
from perf.conversion.model_inputs import Override
from perf.request.model_list import load_models
from setup_models import packages
from setup_models.packages import PackagedModel
from setup_models.reference import SetOptions
from tests.setup_models.tiny import mlp, tree

MODEL = mlp().SerializeToString()
FILE = "tiny_net/data/net.onnx"


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "shelf"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def packaged(shelf: Path) -> PackagedModel:
    """A model in a valid wheel `tiny_net 1.0` on the shelf; importing that would fail the test."""
    shelf.mkdir(exist_ok=True)
    info = "tiny_net-1.0.dist-info"
    files = {
        "tiny_net/__init__.py": "raise SystemExit('the package was run')",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: tiny-net\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/licenses/LICENSE": "Do as you like.",
        FILE: MODEL,
    }
    path = shelf / "tiny_net-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as zipped:
        for name, body in files.items():
            zipped.writestr(zipfile.ZipInfo(name), body)
    wheel, file = (hashlib.sha256(body).hexdigest() for body in (path.read_bytes(), MODEL))
    inputs = {"x": Override((2, 8), (-1.0, 1.0))}
    return PackagedModel(
        "tiny", "a tiny net", "tiny-net", "1.0", wheel, FILE, file, "none", inputs
    )


def test_a_terminal_sees_pip(
    shelf: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = packaged(shelf)
    packages.download_wheel(model, tmp_path / "quiet")
    assert capfd.readouterr() == ("", "")
    master, slave = os.openpty()
    with os.fdopen(slave, "w") as terminal, contextlib.redirect_stderr(terminal):
        packages.download_wheel(model, tmp_path / "watched")
    shown = os.read(master, 4096).decode()
    os.close(master)
    assert "tiny_net-1.0-py3-none-any.whl" in shown


def test_models_come_out_of_a_wheel_that_is_never_run(shelf: Path, tmp_path: Path) -> None:
    first = packaged(shelf)
    second = dataclasses.replace(first, name="same", half={"op_block_list": ["Relu"]})
    packages.set_up([first, second], tmp_path / "models", SetOptions(sets=3))
    model, other = load_models(tmp_path / "models" / "model_list.json")
    assert (model.name, model.inputs["x"].shape) == ("tiny", (2, 8))
    assert (other.name, other.half) == ("same", {"op_block_list": ("Relu",)})
    assert Path(model.path).read_bytes() == MODEL
    folder = tmp_path / "models" / "tiny"
    sets = {f"test_data_set_{number}" for number in range(3)}
    assert {path.name for path in folder.iterdir()} == {"LICENSE", "net.onnx", *sets}
    assert (folder / "LICENSE").read_text() == "Do as you like."


def test_what_is_not_as_the_table_says_leaves_nothing(shelf: Path, tmp_path: Path) -> None:
    good = packaged(shelf)
    packages.set_up([good], tmp_path / "models", SetOptions())
    before = tree(tmp_path / "models")
    for changes, says in (
        ({"sha256": "0" * 64}, "the table says 0000"),
        ({"file_sha256": "1" * 64}, "the table says 1111"),
        ({"file": "tiny_net/other.onnx"}, "holds no tiny_net/other.onnx"),
        ({"version": "2.0"}, r"tiny-net==2\.0: pip cannot download it: No matching distribution"),
    ):
        bad = dataclasses.replace(good, name="second", **changes)  # type: ignore[arg-type]
        with pytest.raises(UserError, match=says):
            packages.set_up([bad], tmp_path / "models", SetOptions())
        assert tree(tmp_path / "models") == before


def test_the_shipped_table_is_read_and_listed(capsys: pytest.CaptureFixture[str]) -> None:
    table = packages.read_table()
    assert list(table) == ["nudenet-yolov8n", "ppocr-v4-det", "ppocr-v4-rec", "silero-vad"]
    assert table["silero-vad"].inputs["sr"].value == 16000
    assert table["ppocr-v4-det"].inputs["x"].pattern == "text_lines"
    assert table["ppocr-v4-det"].half == {"op_block_list": ["BatchNormalization"]}
    assert packages.main([]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(table)
    chosen = packages.choose_models(table, ["silero-vad", "ppocr-*"])
    assert [model.name for model in chosen] == ["ppocr-v4-det", "ppocr-v4-rec", "silero-vad"]
    with pytest.raises(UserError, match="no packaged model is called yolo; known: nudenet"):
        packages.choose_models(table, ["yolo"])


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    table, names = tmp_path / "t.toml", [field.name for field in dataclasses.fields(PackagedModel)]
    whole = "[[model]]\n" + "".join(f'{name} = "x"\n' for name in names[:-2])
    table.write_text(f"{whole}inputs = {{}}")
    assert list(packages.read_table(table)) == ["x"]
    inputs = ("[]", "{x = 3}", '{x = {shape = "a"}}', "{x = {range = [1]}}", "{x = {low = 1}}")
    damaged = [f"{whole}inputs = {value}" for value in inputs]
    for text in ("", "model = 3", "[[model]]\nname = 1\n", "[[model]]\nname = \n", *damaged):
        table.write_text(text)
        with pytest.raises(UserError, match=r"t\.toml: not a table of packaged models"):
            packages.read_table(table)
