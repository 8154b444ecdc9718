import json
from pathlib import Path

import onnx
import pytest

from perf.conversion import convert
from perf.conversion.errors import UserError, run_command
from setup_models import add, check
from tests.setup_models.tiny import mlp, model_folder, save


@pytest.fixture
def models(tmp_path: Path) -> Path:
    source = save(mlp(), tmp_path / "mine.onnx")
    add.add(source, tmp_path / "models", add.AddOptions("mine"))
    return tmp_path / "models"


def rewrite(models: Path, **changes: object) -> Path:
    path = models / "model_list.json"
    rows = json.loads(path.read_text())
    rows[0].update(changes)
    path.write_text(json.dumps(rows))
    return path


def lines(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[int, list[str]]:
    status = run_command(check.main, [str(source), "--results", str(tmp_path / "result")])
    return status, capsys.readouterr().out.splitlines()


def test_a_whole_model_is_one_row(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "result" / "run" / "cache" / "key"
    convert.main(
        [
            str(models / "mine" / "mine.onnx"),
            str(cache / "a.onnx"),
            "--report",
            str(cache / "r.json"),
        ]
    )
    capsys.readouterr()
    status, shown = lines(models / "model_list.json", tmp_path, capsys)
    assert status == 0
    row = dict(zip(check.COLUMNS, shown[1].split("  "), strict=False))
    assert row["model"] == "mine"
    for part in ("17/8", "x:float32[batchx8]", "2 (2 with outputs)", "fp16", "ok"):
        assert part in shown[1]
    assert len(shown) == 2


def test_a_missing_file_comes_with_the_command_that_fetches_it(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (models / "mine" / "mine.onnx").unlink()
    known = {
        "resnet50": "python -m setup_models.offline",
        "silero-vad": "python -m setup_models.packages silero-vad",
        "bertsquad-10": "python setup_models/setup_onnx_zoo.py bertsquad-10",
        "mine": "put the file back, or take its row out of the list",
    }
    for name, command in known.items():
        status, shown = lines(rewrite(models, model_name=name), tmp_path, capsys)
        assert status == 1
        assert shown[1].endswith("incomplete")
        assert shown[2].startswith(f"{name}: no file ")
        assert shown[2].endswith(f"; {command}")


def test_a_changed_file_is_noticed(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(mlp(opset=18), models / "mine" / "mine.onnx")
    status, shown = lines(models / "model_list.json", tmp_path, capsys)
    assert status == 1
    assert "the file is not the listed one" in shown[2]


def test_a_half_precision_model_of_ones_own_is_looked_for(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = rewrite(models, model_path_fp16="./half.onnx")
    status, shown = lines(source, tmp_path, capsys)
    assert status == 1
    assert "half.onnx; take model_path_fp16 out of its row" in shown[2]
    save(mlp(), models / "mine" / "half.onnx")
    status, shown = lines(source, tmp_path, capsys)
    assert status == 0
    assert "fp16 (own)" in shown[1]


def test_missing_test_data_comes_with_the_command_that_makes_some(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, shown = lines(rewrite(models, test_data_path="./nowhere/"), tmp_path, capsys)
    assert status == 1
    assert "no test data (it runs with -i random only); python -m setup_models.add" in shown[2]


def test_missing_external_data_and_damage_are_named(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = models / "mine" / "mine.onnx"
    onnx.save(mlp(), str(file), save_as_external_data=True, location="w.data", size_threshold=0)
    (models / "mine" / "w.data").unlink()
    status, shown = lines(models / "model_list.json", tmp_path, capsys)
    assert status == 1
    assert "external data file w.data is missing" in shown[2]
    file.write_bytes(b"\xff\xff")
    assert "not a readable ONNX model" in lines(models / "model_list.json", tmp_path, capsys)[1][2]


def test_a_folder_and_a_single_file_are_sources_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model_folder(tmp_path / "zoo" / "one")
    status, shown = lines(tmp_path / "zoo", tmp_path, capsys)
    assert status == 0
    assert shown[1].startswith("one ")
    status, shown = lines(save(mlp(), tmp_path / "alone.onnx"), tmp_path, capsys)
    assert status == 1
    assert "alone: no test data" in shown[2]


def test_no_source_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such model list, folder or \.onnx file"):
        check.list_models(tmp_path / "nothing.json")
    (tmp_path / "bad.json").write_text('[{"model_name": "a"}]')
    with pytest.raises(UserError, match=r"bad\.json\[0\]: 'working_directory' is missing"):
        check.list_models(tmp_path / "bad.json")
