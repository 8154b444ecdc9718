"""A run's folder: held by one process, its finished things durable, its torn ones not believed."""

import json
import os
import re
from pathlib import Path

import pytest

from perf.request.options import BadRequestError
from perf.results import run_folder, run_names
from perf.results.run_folder import RunFolder
from perf.schema import atomic_file, record
from tests.results import hand_made


def test_a_second_process_is_told_that_the_run_is_being_written(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "result", "one")
    with run_folder.own_run(run, fresh=True):
        with (
            pytest.raises(BadRequestError, match="being written by another process"),
            run_folder.own_run(run, fresh=False),
        ):
            pass
        with run_folder.own_run(RunFolder(run.results, "two"), fresh=True):
            pass
    with run_folder.own_run(run, fresh=False):
        pass


def test_an_id_is_never_taken_twice(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, "one")
    with run_folder.own_run(run, fresh=True):
        pass
    with (
        pytest.raises(
            BadRequestError, match=r"exists in .*; choose another --run_id, or --resume"
        ),
        run_folder.own_run(run, fresh=True),
    ):
        pass


def test_latest_is_the_newest_run_even_where_links_do_not_work(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with run_folder.own_run(RunFolder(tmp_path, name), fresh=True) as run:
            atomic_file.write_json(run.root / "run.json", {})
    assert run_names.find_run(tmp_path).run_id == "b"
    (tmp_path / "latest").unlink()
    assert run_names.find_run(tmp_path).run_id == "b"
    assert run_names.find_run(tmp_path, "a").run_id == "a"


@pytest.mark.parametrize("run_id", ["latest", "never"])
def test_a_run_that_is_not_there_is_one_line(tmp_path: Path, run_id: str) -> None:
    with pytest.raises(BadRequestError, match=r"(latest: .* holds 0 runs|never: no such file)"):
        run_names.find_run(tmp_path, run_id)


def test_a_results_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for results in (tmp_path / "file", tmp_path / "file" / "below"):
        with (
            pytest.raises(BadRequestError, match=r"choose (another|a writable folder) with -o"),
            run_folder.own_run(RunFolder(results, "one"), fresh=True),
        ):
            pass


def test_json_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.json"
    atomic_file.write_json(path, {"a": 1})
    assert run_folder.read_json(path) == {"a": 1}
    with pytest.raises(TypeError):
        atomic_file.write_json(path, object())
    assert run_folder.read_json(path) == {"a": 1}
    path.write_text('{"a": ')
    assert run_folder.read_json(path) is None
    assert run_folder.read_json(tmp_path / "none.json") is None


def test_a_launch_is_kept_and_a_torn_one_is_not_believed(tmp_path: Path) -> None:
    launch = hand_made.two_models()[0].launches[0]
    run_folder.write_launch(tmp_path, launch)
    assert run_folder.read_finished_launch(tmp_path) == launch
    text = (tmp_path / "launch.json").read_text()
    (tmp_path / "launch.json").write_text(text[: len(text) // 2])
    assert run_folder.read_finished_launch(tmp_path) is None
    (tmp_path / "launch.json").write_text("{}")
    assert run_folder.read_finished_launch(tmp_path) is None


def test_records_are_found_again_and_unreadable_ones_left_out(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, "one")
    made = hand_made.two_models()
    for r in made:
        folder = run.cell(r.cell)
        folder.mkdir(parents=True)
        record.write_record(r, folder / "record.json")
        assert run_folder.read_finished_cell(run, r.cell) == r
    assert sorted(r.cell.id for r in run_folder.read_records(run)) == sorted(
        r.cell.id for r in made
    )
    torn = run.cell(made[0].cell) / "record.json"
    torn.write_bytes(torn.read_bytes()[:40])
    assert run_folder.read_finished_cell(run, made[0].cell) is None
    assert len(run_folder.read_records(run)) == len(made) - 1


def test_ids_sort_by_time_and_name_the_host() -> None:
    assert re.fullmatch(r"\d{8}T\d{6}-[\w.@\[\]=+-]+-[0-9a-f]{4}", run_folder.new_run_id())
    assert run_folder.new_run_id() != run_folder.new_run_id()


def test_clear_leaves_an_empty_folder_whatever_lay_there(tmp_path: Path) -> None:
    folder = tmp_path / "check"
    folder.mkdir()
    (folder / "journal.jsonl").write_text(json.dumps({}))
    assert list(run_folder.make_empty(tmp_path, folder).iterdir()) == []
    assert os.access(folder, os.W_OK)


def test_what_a_killed_run_was_writing_goes_with_the_next_run(tmp_path: Path) -> None:
    gone = RunFolder(tmp_path, "gone")
    with run_folder.own_run(gone, fresh=True):
        pass
    for name in ("benchmark_latency_gone.csv", "benchmark_system_info_gone.csv"):
        (tmp_path / f".{name}.0123abcd.tmp").touch()
    (gone.root / ".cells.csv.0123abcd.tmp").touch()
    mine = tmp_path / ".benchmark_latency_mine.csv.0123abcd.tmp"
    theirs = tmp_path / ".notes.0123abcd.tmp"
    theirs.touch()
    with run_folder.own_run(RunFolder(tmp_path, "mine"), fresh=True):
        assert {p.name for p in tmp_path.glob(".*.tmp")} == {theirs.name}
        mine.touch()
        with run_folder.own_run(gone, fresh=False):
            assert mine.exists(), "its run still writes it"
            assert not list(gone.root.glob(".*.tmp"))
