"""Model lists, folders and single files: what each reads as, and what makes a model another one."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from perf.request import model_list as model_files
from perf.request.model_file import digest_model
from perf.request.model_list import ModelListError
from perf.request.stored_data import digest_test_data
from perf.schema import codec
from perf.schema.cell import Comparison, InputOverride, Tolerance
from tests import models

ROOT = Path(__file__).parents[2]


def listed(folder: Path, *entries: dict[str, Any]) -> Path:
    path = folder / "list.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def test_a_checksum_may_be_spelled_in_capitals(tmp_path: Path) -> None:
    folder = models.relu(tmp_path / "relu")
    sha256 = digest_model(folder / "model.onnx").upper()
    (tmp_path / "list.json").write_text(json.dumps([entry(sha256=sha256)]))
    (model,) = model_files.load_models(tmp_path / "list.json")
    assert model.sha256 == sha256.lower()


def entry(**more: Any) -> dict[str, Any]:
    return {"model_name": "relu", "working_directory": "relu", "model_path": "model.onnx",
            "test_data_path": ".", **more}  # fmt: skip


def test_seed_004s_keys_and_ours_are_read(tmp_path: Path) -> None:
    models.relu(tmp_path / "relu")
    shutil.copy(tmp_path / "relu" / "model.onnx", tmp_path / "relu" / "half.onnx")
    more = entry(
        model_path_fp16="half.onnx",
        test_data_path_fp16="half_data",
        tolerances={"fp16": {"rtol": 0.5, "atol": 1, "percent_mismatch": 2}},
        comparison="unordered",
        inputs={"x": {"shape": [1, 3], "range": [0, 9], "value": 1}},
        half={"block_ops": ["Relu"]},
        about="for people",
    )
    (model,) = model_files.load_models(listed(tmp_path, more))
    assert model.name == "relu"
    assert model.path == str(tmp_path / "relu" / "model.onnx")
    assert model.path_fp16 == str(tmp_path / "relu" / "half.onnx")
    assert model.sha256_fp16 == model.sha256
    assert model.test_data_fp16 == str(tmp_path / "relu" / "half_data")
    assert model.tolerances == {"fp16": Tolerance(0.5, 1.0, 2.0)}
    assert model.comparison is Comparison.UNORDERED
    assert model.inputs == {"x": InputOverride((1, 3), (0.0, 9.0), 1.0)}
    assert model.half == {"block_ops": ("Relu",)}


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ({"value": 2**53 + 1}, InputOverride(value=2**53 + 1)),
        ({"value": -(2**63)}, InputOverride(value=-(2**63))),
        ({"range": [2**53 + 1, 2**63 - 1]}, InputOverride(range=(2**53 + 1, 2**63 - 1))),
        ({"value": 2**64 - 1}, InputOverride(value=str(2**64 - 1))),  # records hold int64
        ({"value": "012"}, InputOverride(value="012")),
        ({"value": True}, InputOverride(value=1.0)),
    ],
)
def test_an_override_is_read_and_written_to_a_cell_as_it_is_spelled(
    override: dict[str, Any], read: InputOverride
) -> None:
    found = model_files.read_override(json.loads(json.dumps(override)), "list[0]")
    assert found == read
    stored = json.loads(json.dumps(codec.encode(found)))
    assert codec.decode(InputOverride, stored) == read


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ({"range": [3, 1]}, "3 is above 1"),
        ({"range": [0, 1, 2]}, r"\[0, 1, 2\] is no \[lowest, highest\]"),
        ({"range": [0, float("inf")]}, "inf is not finite"),
        ({"value": float("nan")}, "nan is not finite"),
        ({"value": 10**400}, "is too large"),
        ({"value": [1]}, r"\[1\] is no number"),
        ({"range": [0, 2**64 - 1]}, "18446744073709551615 is beyond int64"),
        ({"shape": [1.5]}, "1.5 is no size"),
        ({"shape": [-1, 3]}, "-1 is no size"),
    ],
)
def test_an_override_that_cannot_be_meant_is_refused(override: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelListError, match=rf"^list\[0\]: expected .*{says}"):
        model_files.read_override(override, "list[0]")


def test_a_root_directory_holds_for_what_follows_it(tmp_path: Path) -> None:
    models.relu(tmp_path / "a" / "relu")
    models.relu(tmp_path / "b" / "relu")
    path = listed(
        tmp_path,
        {"root_working_directory": "a"},
        entry(),
        {"root_working_directory": "b"},
        entry(model_name="other"),
    )
    found = model_files.load_models(path)
    assert [Path(m.folder).parent.name for m in found] == ["a", "b"]


def test_a_directory_in_seed_004s_layout_and_in_onnxs_own(tmp_path: Path) -> None:
    models.relu(tmp_path / "zoo" / "second")
    models.linear(tmp_path / "zoo" / "deep" / "first")
    renamed = tmp_path / "zoo" / "second" / "test_data_set_0" / "input_0.pb"
    renamed.rename(renamed.with_name("input0.pb"))
    found = model_files.load_models(tmp_path / "zoo")
    assert [m.name for m in found] == ["first", "second"]
    assert all(m.test_data == m.folder for m in found)
    assert [m.name for m in model_files.load_models(tmp_path / "zoo" / "second")] == ["second"]


def test_models_of_one_name_in_a_directory_are_told_apart_by_their_parents(tmp_path: Path) -> None:
    models.relu(tmp_path / "a" / "net")
    models.linear(tmp_path / "b" / "net")
    assert [m.name for m in model_files.load_models(tmp_path)] == ["net_a", "net_b"]


def test_runs_that_lie_below_the_models_are_none(tmp_path: Path) -> None:
    models.relu(tmp_path / "relu")
    prepared = tmp_path / "result" / "one" / "inputs" / "relu" / "0" / "test_data_set_0"
    prepared.mkdir(parents=True)
    (tmp_path / "result" / "one" / "run.json").write_text("{}")
    (tmp_path / "result" / "latest").symlink_to("one")
    assert [m.name for m in model_files.load_models(tmp_path)] == ["relu"]


def test_two_models_beside_one_set_of_data_are_refused(tmp_path: Path) -> None:
    folder = models.relu(tmp_path / "relu")
    shutil.copy(folder / "model.onnx", folder / "again.onnx")
    with pytest.raises(ModelListError, match=r"2 \.onnx files \(again\.onnx, …\) beside its"):
        model_files.load_models(tmp_path)


def test_a_bare_file_uses_the_data_beside_it_and_is_named_after_its_folder(tmp_path: Path) -> None:
    folder = models.relu(tmp_path / "relu")
    (model,) = model_files.load_models(folder / "model.onnx")
    assert (model.name, model.test_data) == ("relu", str(folder))
    shutil.copy(folder / "model.onnx", tmp_path / "alone.onnx")
    (alone,) = model_files.load_models(tmp_path / "alone.onnx")
    assert (alone.name, alone.test_data) == ("alone", None)
    assert alone.sha256 == model.sha256


def test_the_digest_covers_external_data(tmp_path: Path) -> None:
    folder = models.relu(tmp_path / "relu")
    model = onnx.load(str(folder / "model.onnx"))
    tensor = numpy_helper.from_array(models.noise(1, (4,)), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    model.graph.initializer.append(tensor)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "weights.bin").write_bytes(b"1" * 16)
    before = digest_model(folder / "model.onnx")
    (folder / "weights.bin").write_bytes(b"2" * 16)
    assert digest_model(folder / "model.onnx") != before


def test_the_digest_of_data_changes_with_any_byte_and_any_name(tmp_path: Path) -> None:
    folder = models.relu(tmp_path / "relu")
    seen = {digest_test_data(folder)}
    first = folder / "test_data_set_0" / "input_0.pb"
    first.write_bytes(first.read_bytes()[:-1] + b"\x01")
    seen.add(digest_test_data(folder))
    first.rename(first.with_name("input_1.pb"))
    seen.add(digest_test_data(folder))
    (folder / "test_data_set_0").rename(folder / "test_data_set_7")
    seen.add(digest_test_data(folder))
    assert len(seen) == 4
    assert digest_test_data(None) == digest_test_data(tmp_path / "none") == ""


def test_sets_sort_by_number(tmp_path: Path) -> None:
    for i in (10, 9, 1):
        (tmp_path / f"test_data_set_{i}").mkdir()
    assert [p.name[14:] for p in model_files.find_test_sets(tmp_path)] == ["1", "9", "10"]


def test_this_repositorys_list_is_right() -> None:
    found = model_files.load_models(ROOT / "model_list.json")
    assert len({m.name for m in found}) == len(found) == 10


# What a row says that cannot be used, and files that are none


def broken_and_whole(folder: Path, **more: Any) -> str:
    """What is wrong with the first of two models; the second is as good as ever."""
    models.relu(folder / "relu")
    bad, good = model_files.load_models(
        listed(folder, entry(model_name="bad", **more), entry(model_name="good"))
    )
    assert not good.problem
    assert good.sha256
    return bad.problem


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("rtol", float("nan"), "list.json[0] (bad).tolerances.fp32.rtol: nan would let anything"),
        ("rtol", float("inf"), ".rtol: inf would let anything pass; it must lie in 0…1"),
        ("rtol", -1e-3, ".rtol: -0.001 would let anything"),
        ("rtol", 1.0, ".rtol: 1 would let anything"),
        ("atol", 1e30, ".atol: 1e+30 would let anything"),
        ("atol", float("inf"), ".atol: inf would let anything"),
        ("percent_mismatch", 100.5, ".percent_mismatch: 100.5 would let anything"),
        ("percent_mismatch", 100, ".percent_mismatch: 100 would let anything"),
        ("percent_mismatch", float("nan"), ".percent_mismatch: nan would let anything"),
    ],
)
def test_a_row_cannot_switch_checking_off(
    tmp_path: Path, field: str, value: float, says: str
) -> None:
    tolerance = {"rtol": 1e-3, "atol": 1e-5, field: value}
    assert says in broken_and_whole(tmp_path, tolerances={"fp32": tolerance})


@pytest.mark.parametrize(
    "more",
    [
        {"modle_path": "x"},
        {"tolerances": {"fp32": {"rtol": "many", "atol": 1}}},
        {"inputs": {"x": {"shape": ["a"]}}},
        {"inputs": {"x": {"value": {}}}},
        {"model_path": 3},
        {"sha256": 7},
        {"model_path": "a\0b.onnx"},
        {"model_path": "a\ud800b.onnx"},
        {"model_path": "a" * 5000},
        {"test_data_path": "a\0b"},
        {"working_directory": "../" * 3000},
    ],
)
def test_a_broken_row_harms_only_its_model(tmp_path: Path, more: dict[str, Any]) -> None:
    assert broken_and_whole(tmp_path, **more)


@pytest.mark.parametrize(
    "number", ["1" + "0" * 400, "7" * 5000, "1e400", "-1e400", "NaN", "-Infinity"]
)
@pytest.mark.parametrize("where", ["atol", "range", "shape"])
def test_a_number_beyond_all_numbers_harms_only_its_model(
    tmp_path: Path, number: str, where: str
) -> None:
    models.relu(tmp_path / "relu")
    rows: dict[str, dict[str, Any]] = {
        "atol": {"tolerances": {"fp32": {"rtol": 1e-3, "atol": 987654321}}},
        "range": {"inputs": {"x": {"range": [0, 987654321]}}},
        "shape": {"inputs": {"x": {"shape": [1, 987654321]}}},
    }
    path = listed(tmp_path, entry(model_name="bad", **rows[where]), entry())
    path.write_text(path.read_text().replace("987654321", number))
    bad, good = model_files.load_models(path)
    assert bad.problem
    assert not good.problem


def test_a_list_with_the_mark_of_a_windows_editor_is_read(tmp_path: Path) -> None:
    models.relu(tmp_path / "relu")
    path = listed(tmp_path, entry())
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert model_files.load_models(path)[0].name == "relu"


def test_a_list_nested_without_end_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text("[" * 100_000)
    with pytest.raises(ModelListError, match=r"list\.json: nested too deeply"):
        model_files.load_models(path)


@pytest.mark.parametrize("what", ["folder", "pipe", "device", "proc", "sparse", "loop"])
@pytest.mark.parametrize("which", ["model.onnx", "weights.bin", "half.onnx"])
def test_a_model_file_that_is_none_is_said_and_not_waited_for(
    tmp_path: Path, what: str, which: str
) -> None:
    folder = models.relu(tmp_path / "bad")
    if which == "weights.bin":
        external_weights(folder / "model.onnx", which)
    path = folder / which
    path.unlink(missing_ok=True)
    match what:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "proc":
            path.symlink_to("/proc/kmsg")
        case "sparse":
            with path.open("wb") as file:
                file.truncate(1 << 40)
        case "loop":
            path.symlink_to(path.name)
    half = {"model_path_fp16": which} if which == "half.onnx" else {}
    problem = broken_and_whole(tmp_path, working_directory="bad", **half)
    assert str(path) in problem


def external_weights(path: Path, name: str) -> None:
    """Give a model a weight that lies in a file of this name."""
    model = onnx.load(str(path))
    tensor = numpy_helper.from_array(np.arange(4, dtype=np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", name), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    model.graph.initializer.append(tensor)
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("length", [1, 126, 127, 128, 129, 200, 255])
def test_the_digest_covers_external_data_of_any_names_length(tmp_path: Path, length: int) -> None:
    folder = models.relu(tmp_path / "relu")
    name = "w" * length
    external_weights(folder / "model.onnx", name)
    (folder / name).write_bytes(b"\0" * 16)
    before = digest_model(folder / "model.onnx")
    (folder / name).write_bytes(b"\1" + b"\0" * 15)
    assert digest_model(folder / "model.onnx") != before


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ({"range": ["a", "b", "c"]}, "['a', 'b', 'c'] is no [lowest, highest]"),
        ({"range": 3}, "3 is no [lowest, highest]"),
        ({"value": [1, 2]}, "[1, 2] is no number"),
        ({"range": [None, 1]}, "None is no number"),
    ],
)
def test_an_override_that_is_no_number_is_told_in_words(
    tmp_path: Path, override: dict[str, Any], says: str
) -> None:
    assert broken_and_whole(tmp_path, inputs={"x": override}).endswith(says)
