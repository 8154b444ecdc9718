"""RUN and CELL, in every form that a command line takes."""

import os
from pathlib import Path

import pytest

from perf.request.flag_types import check_baseline
from perf.request.options import BadRequestError
from perf.results import run_names
from perf.results.run_folder import RunFolder
from perf.schema import atomic_file


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for age, name in enumerate(("c", "a", "b")):
        atomic_file.write_json(tmp_path / name / "run.json", {})
        os.utime(tmp_path / name / "run.json", (age, age))
    return tmp_path


def test_a_run_is_latest_or_so_many_before_an_id_a_folder_or_a_saved_name(results: Path) -> None:
    run_names.save_baseline(RunFolder(results, "a"), "good")
    words = ("latest", "latest~1", "latest~2", "c", str(results / "a"), "good")
    found = [run_names.find_run(results, w) for w in words]
    assert [r.run_id for r in found] == ["b", "a", "c", "c", "a", "a"]
    assert {r.results for r in found} == {results}
    run_names.save_baseline(RunFolder(results, "b"), "good")
    assert run_names.find_run(results, "good").run_id == "b"
    assert run_names.list_baselines(results) == {"good": "b"}
    assert len(run_names.list_runs(results)) == 3


def test_another_folders_run_is_found_by_its_path(results: Path, tmp_path: Path) -> None:
    found = run_names.find_run(tmp_path / "elsewhere", str(results / "c"))
    assert (found.results, found.run_id) == (results, "c")


@pytest.mark.parametrize("name", ["latest", "latest~2", "../x", "", "a b"])
def test_a_name_to_save_by_is_no_path_and_no_other_word(name: str) -> None:
    with pytest.raises(ValueError, match="another word than latest"):
        check_baseline(name)


def test_a_cell_is_an_id_or_its_record(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    atomic_file.write_json(path, {"cell": {"id": "m::cpu[v]"}})
    atomic_file.write_json(tmp_path / "cell.json", {"id": "m::cpu[v]"})
    words = ("m::cpu[v]", str(path), str(tmp_path), str(tmp_path / "cell.json"))
    assert [run_names.find_cell(w) for w in words] == ["m::cpu[v]"] * 4
    path.write_text("[")
    with pytest.raises(BadRequestError, match="no cell's record"):
        run_names.find_cell(str(path))
