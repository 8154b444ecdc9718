"""Files as users have them: .ort, Model.ONNX, links of a hub's cache, lists that Windows wrote."""

import json
import shutil
from pathlib import Path

import onnx
import onnxruntime as ort
import pytest

from perf.conversion import data_sets
from perf.conversion.signature import read_signature
from perf.schema.record import Mismatched, Passed
from setup_models import add
from setup_models.reference import SetOptions
from tests import models
from tests.asking import CURRENT, QUICK, ask

CPU = "CPUExecutionProvider"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    models.linear(tmp_path / "models" / "linear")
    (tmp_path / "environments.toml").write_text(CURRENT, encoding="utf-8")
    return tmp_path


def in_ort_format(model: Path, path: Path) -> Path:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(path)
    options.add_session_config_entry("session.save_model_format", "ORT")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    ort.InferenceSession(str(model), options)
    return path


def test_a_file_of_onnxruntimes_own_format_is_run_and_added(home: Path) -> None:
    path = in_ort_format(home / "models" / "linear" / "model.onnx", home / "net.ort")
    said = ask(home, *QUICK, "-m", "net.ort", "-i", "random", "-e", CPU, "--shape", "x=1x8")
    (record,) = said.records.values()
    assert isinstance(record.outcome, Passed), record.outcome
    (row,) = said.cells.values()
    assert (row["input_shapes"], row["total_ops"], row["ops_on_ep"]) == ({"x": "1x8"}, 2, 2)
    report = add.add_model(path, home / "added", "net", SetOptions())
    assert report.notes[0].startswith("not cross-checked: an .ort file holds no ONNX")
    said = ask(home, *QUICK, "-m", "added/model_list.json", "-e", CPU, out="added_run")
    assert [r.outcome for r in said.records.values()] == [Passed()]


def test_a_suffix_in_capitals_is_a_models(home: Path) -> None:
    shutil.move(
        home / "models" / "linear" / "model.onnx", home / "models" / "linear" / "Model.ONNX"
    )
    said = ask(home, *QUICK, "-m", "models", "-e", CPU)
    assert list(said.records) == ["linear::CPUExecutionProvider"]
    said = ask(home, *QUICK, "-m", "models/linear/Model.ONNX", "-e", CPU, out="alone")
    assert [r.outcome for r in said.records.values()] == [Passed()]


def hub_cache(model: Path, home: Path) -> Path:
    """The model with external data, in the folders of a Hugging Face cache; its link."""
    snapshot = home / "hub" / "models--acme--net" / "snapshots" / "0a1b"
    blobs = snapshot.parents[1] / "blobs"
    for folder in (snapshot, blobs):
        folder.mkdir(parents=True)
    onnx.save(
        onnx.load(model), home / "model.onnx", save_as_external_data=True,
        location="model.onnx_data", size_threshold=0,
    )  # fmt: skip
    for name, digest in (("model.onnx", "a" * 8), ("model.onnx_data", "b" * 8)):
        (home / name).rename(blobs / digest)
        (snapshot / name).symlink_to(Path("../../blobs") / digest)
    return snapshot / "model.onnx"


def test_a_link_of_a_hubs_cache_is_the_model_beside_its_external_data(home: Path) -> None:
    link = hub_cache(home / "models" / "linear" / "model.onnx", home)
    said = ask(home, *QUICK, "-m", str(link.relative_to(home)), "-i", "random", "-e", CPU)
    (record,) = said.records.values()
    assert isinstance(record.outcome, Passed), record.outcome
    assert (record.cell.model.name, record.cell.model.path) == ("net", str(link))
    before = record.cell.model.sha256
    data = link.with_name("model.onnx_data")
    data.write_bytes(data.read_bytes()[:-1] + b"\0")
    said = ask(home, *QUICK, "-m", str(link), "-i", "random", "-e", CPU, out="changed")
    (record,) = said.records.values()
    assert record.cell.model.sha256 != before
    add.add_model(link, home / "added", "net", SetOptions())
    added = home / "added" / "net"
    assert not any(p.is_symlink() for p in added.iterdir())


def test_a_link_away_from_its_data_still_finds_them(home: Path) -> None:
    link = hub_cache(home / "models" / "linear" / "model.onnx", home)
    elsewhere = home / "elsewhere.onnx"
    elsewhere.symlink_to(link)
    said = ask(home, *QUICK, "-m", "elsewhere.onnx", "-i", "random", "-e", CPU)
    (record,) = said.records.values()
    assert isinstance(record.outcome, Passed), record.outcome


def test_a_list_that_windows_wrote_is_read(home: Path) -> None:
    row = {"model_name": "net", "working_directory": "models/linear", "model_path": "model.onnx"}
    text = json.dumps([row | {"test_data_path": "."}])
    (home / "list.json").write_text(text, encoding="utf-8-sig")
    said = ask(home, *QUICK, "-m", "list.json", "-e", CPU)
    assert list(said.records) == ["net::CPUExecutionProvider"]
    (home / "mine").mkdir()
    (home / "mine" / "model_list.json").write_text("[]", encoding="utf-8-sig")
    add.add_model(home / "models" / "linear" / "model.onnx", home / "mine", "n", SetOptions())
    assert len(json.loads((home / "mine" / "model_list.json").read_text(encoding="utf-8"))) == 1


def test_a_folder_honours_the_list_inside_it(home: Path) -> None:
    """Its rows' ranges, values and tolerances; a model that it does not name is found all the same."""
    folder = home / "models" / "linear"
    signature, stored = read_signature(folder / "model.onnx"), folder / "test_data_set_0"
    outputs = {n: a + 0.5 for n, a in data_sets.read_outputs(stored, signature).items()}
    data_sets.write_set(stored, data_sets.read_inputs(stored, signature), outputs)
    models.relu(home / "models" / "relu")
    said = ask(home, *QUICK, "-e", CPU)
    found = {name: type(r.outcome) for name, r in said.records.items()}
    assert found == {f"linear::{CPU}": Mismatched, f"relu::{CPU}": Passed}
    row = {
        "model_name": "linear", "working_directory": "linear", "model_path": "./model.onnx",
        "test_data_path": "./", "inputs": {"x": {"range": [2, 3], "shape": [4, 8]}},
        "tolerances": {"fp32": {"rtol": 0, "atol": 0.9}},
    }  # fmt: skip
    (home / "models" / "model_list.json").write_text(json.dumps([row]), encoding="utf-8")
    said = ask(home, *QUICK, "-e", CPU, out="listed")
    assert [type(r.outcome) for r in said.records.values()] == [Passed, Passed]
    said = ask(home, *QUICK, "-i", "random", "-e", CPU, "--models", "linear", out="random")
    (cell,) = said.cells.values()
    assert cell["inputs_from"] == ["random, seed 0: x in [2, 3]"]
    assert cell["input_shapes"] == {"x": "4x8"}


def test_a_row_that_cannot_be_read_harms_its_model_in_a_folder_too(home: Path) -> None:
    models.relu(home / "models" / "relu")
    rows = [
        {"model_name": "linear", "working_directory": "linear", "model_path": "./model.onnx"},
        {"model_name": "relu", "working_directory": "relu", "model_path": "./model.onnx",
         "test_data_path": "./"},
    ]  # fmt: skip
    (home / "models" / "model_list.json").write_text(json.dumps(rows), encoding="utf-8")
    said = ask(home, *QUICK, "-e", CPU)
    found = {name: r.outcome for name, r in said.records.items()}
    assert found[f"relu::{CPU}"] == Passed()
    assert "'test_data_path' is missing" in str(found[f"linear::{CPU}"])
