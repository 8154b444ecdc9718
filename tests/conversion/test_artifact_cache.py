"""An artefact is found by all that can change it, made once by whoever asks first, and never half there."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from perf.conversion import artifact_cache, convert, data_sets
from perf.conversion.artifact import ConversionError, ConversionRequest
from perf.request.model_file import digest_model
from tests.setup_models.tiny import mlp, model_folder, save


def test_the_second_who_asks_gets_the_first_ones(tmp_path: Path) -> None:
    source = save(mlp(), tmp_path / "model.onnx")
    first = artifact_cache.get_or_make(source, tmp_path / "cache", ConversionRequest())
    assert first.path == tmp_path / "cache" / first.report["key"] / "model.fp16.onnx"
    assert not first.before
    assert first.report == json.loads(first.path.with_name("report.json").read_text())
    written_ns = first.path.stat().st_mtime_ns
    again = artifact_cache.get_or_make(source, tmp_path / "cache", ConversionRequest())
    assert (again.path, again.before) == (first.path, True)
    assert again.path.stat().st_mtime_ns == written_ns
    assert again.report == first.report


def test_a_copy_of_the_source_finds_it_and_a_changed_one_does_not(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    made = artifact_cache.get_or_make(
        save(mlp(), tmp_path / "a" / "model.onnx"), cache, ConversionRequest()
    )
    copy = artifact_cache.get_or_make(
        save(mlp(), tmp_path / "b" / "copy.onnx"), cache, ConversionRequest()
    )
    assert copy.before
    other = artifact_cache.get_or_make(
        save(mlp(width=9), tmp_path / "a" / "model.onnx"), cache, ConversionRequest()
    )
    assert not other.before
    assert other.path != made.path


def test_block_lists_and_another_version_make_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = digest_model(save(mlp(), tmp_path / "model.onnx"))
    keys = {
        convert.request_key(sha256, request)
        for request in (
            ConversionRequest(),
            ConversionRequest(op_block_list=("Relu",)),
            ConversionRequest(node_block_list=("mm0",)),
            ConversionRequest("bf16"),
        )
    }
    monkeypatch.setattr(convert, "converter_version", lambda _: "another")
    keys.add(convert.request_key(sha256, ConversionRequest()))
    assert len(keys) == 5


def test_only_int8_depends_on_what_it_is_calibrated_on(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "m")
    sha256 = digest_model(folder / "model.onnx")

    def keys() -> dict[str, str]:
        return {
            p: convert.request_key(sha256, ConversionRequest(p, calibration=folder))
            for p in ("fp16", "int8")
        }

    before = keys()
    x = np.full((1, 8), 3, np.float32)
    data_sets.write_set(folder / "test_data_set_1", {"x": x}, {})
    after = keys()
    assert before["fp16"] == after["fp16"]
    assert before["int8"] != after["int8"]


@pytest.mark.parametrize("damage", ["model", "report", "cut"])
def test_what_is_not_whole_is_made_anew(damage: str, tmp_path: Path) -> None:
    source = save(mlp(), tmp_path / "model.onnx")
    made = artifact_cache.get_or_make(source, tmp_path / "cache", ConversionRequest())
    whole = made.path.read_bytes()
    match damage:
        case "model":
            made.path.unlink()
        case "report":
            made.path.with_name("report.json").write_text("{")
        case _:
            made.path.write_bytes(whole[:-1])
    again = artifact_cache.get_or_make(source, tmp_path / "cache", ConversionRequest())
    assert not again.before
    assert again.path.read_bytes() == whole


def test_a_failure_is_not_kept(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "m")
    with pytest.raises(ConversionError, match="need"):
        artifact_cache.get_or_make(
            folder / "model.onnx", tmp_path / "cache", ConversionRequest("int8")
        )
    assert not list((tmp_path / "cache").rglob("*.onnx"))
    assert not list((tmp_path / "cache").rglob("*.json"))


def test_who_asks_at_the_same_time_waits_for_one_conversion(tmp_path: Path) -> None:
    source = save(mlp(), tmp_path / "model.onnx")
    answers: list[artifact_cache.Kept] = []

    def ask() -> None:
        answers.append(artifact_cache.get_or_make(source, tmp_path / "cache", ConversionRequest()))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.before for answer in answers) == [False, True, True, True]
    assert len({answer.path for answer in answers}) == 1


def test_artefacts_are_told_by_their_reports(tmp_path: Path) -> None:
    folders = {
        "made": {"source_sha256": "aa", "precision": "int8"},
        "also": {"source_sha256": "aa", "precision": "fp16"},
        "gone": {"source_sha256": "aa", "precision": "bf16"},
        "anothers": {"source_sha256": "bb", "precision": "bf16"},
        "stranger": ["not", "ours"],
        "torn": None,
    }
    for name, report in folders.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text("{" if report is None else json.dumps(report))
        if name != "gone":
            (tmp_path / name / "model.onnx").write_bytes(b"x")
    assert artifact_cache.stored_precisions("aa", sorted(tmp_path.iterdir())) == ["fp16", "int8"]
