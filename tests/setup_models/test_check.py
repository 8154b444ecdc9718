"""What each model has, what it lacks, and the command that mends that."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from perf.conversion import convert
from perf.conversion.errors import run_command
from setup_models import add, check
from setup_models.reference import SetOptions
from tests.inprocess.asking import put
from tests.setup_models.tiny import mlp, model_folder, save


@pytest.fixture
def models(tmp_path: Path) -> Path:
    add.add_model(save(mlp(), tmp_path / "mine.onnx"), tmp_path / "models", "mine", SetOptions())
    return tmp_path / "models"


@pytest.fixture
def checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(source: Path, **changes: object) -> tuple[int, list[str]]:
        """The exit status and the lines, after these changes of the list's row."""
        if changes:
            (row,) = json.loads(source.read_text())
            source.write_text(json.dumps([row | changes]))
        capsys.readouterr()
        status = run_command(check.main, [str(source), "--results", str(tmp_path / "result")])
        out, err = capsys.readouterr()
        return status, (out or err).splitlines()

    return run


def test_a_whole_model_is_one_row(models: Path, tmp_path: Path, checked: Any) -> None:
    cache = tmp_path / "result" / "run" / "cache" / "key"
    report = ["--report", str(cache / "r.json")]
    convert.main([str(models / "mine" / "mine.onnx"), str(cache / "a.onnx"), *report])
    status, (header, row) = checked(models / "model_list.json")
    assert status == 0
    assert header.split() == list(check.COLUMNS)
    assert row.startswith("mine ")
    for part in ("17/8", "x:float32[batchx8]", "2 (2 with outputs)", "fp16", "ok"):
        assert part in row


def test_a_missing_file_comes_with_the_command_that_fetches_it(models: Path, checked: Any) -> None:
    (models / "mine" / "mine.onnx").unlink()
    for name, command in {
        "resnet50": "python -m setup_models.offline",
        "silero-vad": "python -m setup_models.packages silero-vad",
        "bertsquad-10": "python setup_models/setup_onnx_zoo.py bertsquad-10",
        "mine": "put the file back, or take its row out of the list",
    }.items():
        status, (_, row, lack) = checked(models / "model_list.json", model_name=name)
        assert (status, row.split()[-1]) == (1, "incomplete")
        assert lack.startswith(f"{name}: no file ")
        assert lack.endswith(f"; {command}")


def test_what_is_wrong_is_named_with_what_mends_it(models: Path, checked: Any) -> None:
    source, file = models / "model_list.json", models / "mine" / "mine.onnx"
    status, lines = checked(source, test_data_path="./nowhere/")
    assert "no test data (it runs with -i random only); python -m setup_models.add" in lines[2]
    assert status == 1
    assert (
        "half.onnx; take model_path_fp16 out of its row"
        in checked(source, test_data_path="./", model_path_fp16="./half.onnx")[1][2]
    )
    save(mlp(), models / "mine" / "half.onnx")
    status, lines = checked(source)
    assert (status, "fp16 (own)" in lines[1]) == (0, True)
    save(mlp(opset=18), file)
    assert "the list says" in checked(source)[1][2]
    onnx.save(mlp(), str(file), save_as_external_data=True, location="w.data", size_threshold=0)
    (models / "mine" / "w.data").unlink()
    assert "external data 'w.data' is missing" in checked(source)[1][2]
    file.write_bytes(b"\xff\xff")
    assert "truncated, or not an ONNX model" in checked(source)[1][2]


def test_a_folder_and_a_single_file_are_sources_too(tmp_path: Path, checked: Any) -> None:
    model_folder(tmp_path / "zoo" / "one")
    status, (_, row) = checked(tmp_path / "zoo")
    assert (status, row.split()[0]) == (0, "one")
    status, (*_, lack) = checked(save(mlp(), tmp_path / "alone.onnx"))
    assert status == 1
    assert "alone: no test data" in lack
    (tmp_path / "bad.json").write_text('[{"model_name": "a"}]')
    for name, says in (
        ("nothing.json", "no such model list"),
        ("bad.json", "'working_directory'"),
    ):
        status, (line,) = checked(tmp_path / name)
        assert status == 2
        assert says in line


def test_stored_data_that_cannot_be_fed_are_found(models: Path, checked: Any) -> None:
    """In float64 for a float model, as numpy writes; the other set is whole."""
    put(models / "mine", 1, "input_0", np.ones((1, 8)), "x")
    status, (_, row, lack) = checked(models / "model_list.json")
    assert (status, row.split()[-1]) == (1, "incomplete")
    assert "'x' is float32 in the model, float64 in the test data; store it as float32" in lack
    assert lack.endswith("; repair or remove that set")


def test_outputs_under_names_that_the_model_lacks_are_told(models: Path, checked: Any) -> None:
    put(models / "mine", 0, "output_0", np.ones((1, 4), np.float32), "renamed")
    status, (*_, note) = checked(models / "model_list.json")
    assert status == 0
    said = "output 'y' is stored as 'renamed', paired by position"
    assert note == f"mine: test_data_set_0: {said}"


def test_a_model_of_which_some_outputs_are_stored_is_told_with_how_many_and_what_holds_the_others(
    tmp_path: Path, checked: Any
) -> None:
    folder = pair_folder(tmp_path / "pair")
    status, (_, row, note) = checked(folder)
    assert (status, row.split()[-1]) == (0, "ok")
    stored = "pair: test_data_set_0: 1 of 2 outputs stored"
    assert note == f"{stored}; a run compares z with the unoptimised CPU EP's"
    (folder / "test_data_set_0" / "output_0.pb").unlink()
    _, (_, _, note) = checked(folder)
    assert note.endswith(
        "0 of 2 outputs stored; a run compares y, z with the unoptimised CPU EP's"
    )


def pair_folder(folder: Path) -> Path:
    """A model of two outputs, y and z, of which y is stored."""
    model_folder(folder)
    model = onnx.load(folder / "model.onnx")
    model.graph.node.append(onnx.helper.make_node("Neg", ["y"], ["z"]))
    model.graph.output.append(
        onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, ["batch", 4])
    )
    onnx.save(model, folder / "model.onnx")
    return folder
