"""What an earlier run says: which cells failed last, and what a resumed run may not change."""

from dataclasses import replace
from pathlib import Path

import pytest

from perf.execution import resume
from perf.request.options import BadRequestError, parse
from perf.results.run_folder import RunFolder
from perf.schema import atomic_file, record
from perf.schema.record import Mismatched, NotRun, Outcome, Passed, Skipped
from tests.results import hand_made


def run_of(results: Path, *outcomes: tuple[str, str, Outcome]) -> RunFolder:
    """A run's folder with records: (id, finished at, outcome)."""
    run = RunFolder(results, "one")
    atomic_file.write_json(run.root / "run.json", {"run_id": "one"})
    (results / "latest").symlink_to("one")
    base = hand_made.two_models()[0]
    for number, (cell_id, at, outcome) in enumerate(outcomes):
        cell = replace(base.cell, id=cell_id, digest=f"{number:08x}")
        folder = run.cell(cell)
        folder.mkdir(parents=True)
        made = replace(base, cell=cell, outcome=outcome, finished_at=at)
        record.write_record(made, folder / "record.json")
    return run


def test_the_newest_record_of_a_cell_says_whether_it_failed(tmp_path: Path) -> None:
    wrong = Mismatched("y", "all")
    run_of(
        tmp_path,
        ("mended", "2026-11-26T10:00:00Z", wrong),
        ("mended", "2026-11-26T11:00:00Z", Passed()),
        ("broken", "2026-11-26T11:00:00Z", wrong),
        ("broken", "2026-11-26T10:00:00Z", Passed()),
        ("skipped", "2026-11-26T10:00:00Z", Skipped("no device")),
        ("banned", "2026-11-26T10:00:00Z", NotRun("banned")),
    )
    chosen = resume.rerun_filter(parse(["--rerun", "failed"]), tmp_path)
    ids = ("mended", "broken", "skipped", "banned", "new")
    assert [i for i in ids if chosen(i)] == ["broken"]


def test_one_cell_is_chosen_by_its_id(tmp_path: Path) -> None:
    chosen = resume.rerun_filter(parse(["--rerun", "m::A[v]"]), tmp_path)
    assert [i for i in ("m::A", "m::A[v]", "m::A[v]b") if chosen(i)] == ["m::A[v]"]


def test_without_a_failure_there_is_nothing_to_run_again(tmp_path: Path) -> None:
    run_of(tmp_path, ("good", "2026-11-26T10:00:00Z", Passed()))
    with pytest.raises(BadRequestError, match="--rerun failed: no cell failed in run one"):
        resume.rerun_filter(parse(["--rerun", "failed"]), tmp_path)


def written(results: Path, *words: str) -> None:
    run = RunFolder(results, "one")
    atomic_file.write_json(
        run.root / "run.json",
        {
            "run_id": "one",
            "command": ["benchmark_wrapper.py", *words],
            "options": resume.options_to_json(parse(words)),
            "targets": ["CPUExecutionProvider"],
            "cells": ["m::CPUExecutionProvider"],
        },
    )


def test_a_run_takes_up_its_plan_and_this_command_lines_run_flags(tmp_path: Path) -> None:
    written(tmp_path, "-t", "7", "--seed", "3", "--label", "first", "--jobs", "1")
    words = ["-o", str(tmp_path), "--resume", "one", "--jobs", "2", "-q"]
    o = resume.resume_options(words, parse(words))
    assert (o.test_times, o.seed, o.label, o.jobs, o.quiet) == (7, 3, "first", 2, 1)
    assert (o.run_id, o.resume) == ("one", "one")
    assert o.ep_list == ("CPUExecutionProvider",)  # that day's defaults
    chosen = resume.rerun_filter(o, tmp_path)
    assert [i for i in ("m::CPUExecutionProvider", "n::CPUExecutionProvider") if chosen(i)] == [
        "m::CPUExecutionProvider"
    ]
    assert resume.original_words(words, o, tmp_path)[:4] == ["-t", "7", "--seed", "3"]


@pytest.mark.parametrize("same", [["-t", "7"], ["--test-times", "7"], ["--launches", "5"]])
def test_a_plan_flag_may_be_repeated_as_it_was(tmp_path: Path, same: list[str]) -> None:
    written(tmp_path, "-t", "7")
    words = ["-o", str(tmp_path), "--resume", *same]
    assert resume.resume_options(words, parse(words)).test_times == 7


def test_a_plan_flag_may_not_differ(tmp_path: Path) -> None:
    written(tmp_path, "-t", "7")
    words = ["-o", str(tmp_path), "--resume", "-t", "8"]
    says = "--test_times 8 differs from 7 of run one.*leave it out to resume, or start a new run"
    with pytest.raises(BadRequestError, match=says):
        resume.resume_options(words, parse(words))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"options": {}}', '{"options": '])
def test_a_torn_or_foreign_description_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "run.json").write_text(text)
    words = ["-o", str(tmp_path), "--resume", "one"]
    with pytest.raises(BadRequestError, match="cannot be read; start a new run"):
        resume.resume_options(words, parse(words))
