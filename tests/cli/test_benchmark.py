"""benchmark.py as users start it: the wrapper's tables from one process, and one line for what needs more."""

from pathlib import Path

import pytest

from perf.cli import benchmark
from perf.schema.record import LaunchKind, Mismatched, NotRun, Passed, Record, Skipped
from tests import models
from tests.alone import CELLS, run
from tests.asking import Said, ask, one_line


def files(folder: Path) -> set[Path]:
    return {p.relative_to(folder) for p in folder.rglob("*") if p.is_file()}


def header(path: Path) -> str:
    return path.read_text(encoding="utf-8").splitlines()[0]


# A whole run


@pytest.fixture(scope="module")
def both(shared_home: Path) -> Said:
    """Two right models and a wrong one, validated and benchmarked."""
    models.linear(shared_home / "models" / "wrong", error=0.5)
    before = files(shared_home)
    said = run(shared_home, "-r", "both", *CELLS)
    assert said.status == 0, said
    left = {p.parts[0] for p in files(shared_home) - before}
    assert left == {"result"}  # neither models nor the working directory are written to
    return said


def test_each_right_cell_is_checked_and_measured_once(both: Said) -> None:
    for model in ("relu", "linear"):
        record = both.records[f"{model}::CPUExecutionProvider"]
        assert isinstance(record.outcome, Passed)
        assert [x.kind for x in record.launches] == [LaunchKind.CHECK, LaunchKind.MEASURE]
        assert {x.isolation for x in record.launches} == {"inprocess"}
        check, measure = record.launches
        assert check.placement is not None
        assert check.placement.nodes["CPUExecutionProvider"] > 0
        assert len(check.compared) == 2  # one output in each of two sets
        assert measure.timed is not None
        assert len(measure.timed.samples_ns) == 5


def test_a_wrong_cell_gets_no_latency(both: Said) -> None:
    record = both.records["wrong::CPUExecutionProvider"]
    assert isinstance(record.outcome, Mismatched)
    assert [x.kind for x in record.launches] == [LaunchKind.CHECK]
    assert both.cells["wrong::CPUExecutionProvider"]["mean_ms"] is None
    assert (
        "benchmark.py" in both.out.split("wrong::CPUExecutionProvider")[1]
    )  # how to run it again


def test_memory_of_a_shared_process_is_unknown(both: Said) -> None:
    assert {row["host_peak_mib"] for row in both.cells.values()} == {None}


def test_tables_have_the_wrappers_columns(both: Said) -> None:
    home = both.results.parent
    wrapped = ask(home, "-r", "both", *CELLS, "--launches", "1", out="wrapped")
    assert wrapped.status == 0, wrapped
    mine = {p.name.replace(both.run.run_id, "RUN"): p for p in both.results.glob("*.csv")}
    its = {p.name.replace(wrapped.run.run_id, "RUN"): p for p in wrapped.results.glob("*.csv")}
    assert mine.keys() == its.keys()
    assert len(mine) == 7
    for name, path in mine.items():
        assert header(path) == header(its[name]), name
    assert header(both.run.root / "cells.csv") == header(wrapped.run.root / "cells.csv")
    assert both.table("status") == wrapped.table("status")
    same = (
        "cell",
        "exact_outcome",
        "total_ops",
        "ops_on_ep",
        "max_abs",
        "samples",
        "inputs_digest",
    )
    for cell, row in both.cells.items():
        assert {k: row[k] for k in same} == {k: wrapped.cells[cell][k] for k in same}


def test_a_failed_validation_forbids_a_later_benchmark(home: Path) -> None:
    models.linear(home / "models" / "wrong", error=0.5)
    one = ("--models", "wrong", *CELLS)
    assert only_record(run(home, "-r", "validate", *one)).outcome != Passed()
    later = only_record(run(home, "-r", "benchmark", *one, "--no_check"))
    assert isinstance(later.outcome, NotRun)
    forced = only_record(run(home, "-r", "benchmark", *one, "--no_check", "--force"))
    assert [x.kind for x in forced.launches] == [LaunchKind.CHECK, LaunchKind.MEASURE]


def only_record(said: Said) -> Record:
    (record,) = said.records.values()
    return record


def test_random_inputs_are_held_against_a_reference(home: Path) -> None:
    said = run(home, "-r", "benchmark", "-i", "random", "-t", "100", "--models", "linear")
    assert said.status == 0, said
    record = only_record(said)
    assert isinstance(record.outcome, Passed)
    assert record.launches[0].compared
    assert not record.launches[0].unreferenced


# What needs more than one process


@pytest.mark.parametrize(
    "words",
    [
        ("--isolation", "spawn"), ("--exec_prefix", "nice"), ("--memory-limit", "100"),
        ("--timeout", "5"), ("--jobs", "1"), ("--resume",), ("--ab", "cpu", "ov"), ("--canary",),
        ("--env", "a=/bin/python"), ("--retry_throttled", "1"), ("--launches", "2"),
        ("--max_minutes", "1"),
    ],
)  # fmt: skip
def test_flags_that_need_processes_are_refused_by_name(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark.main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.strip().splitlines()
    assert line.startswith("error: " + words[0].replace("-limit", "_limit"))
    assert "benchmark_wrapper.py" in line


def test_one_launch_is_what_it_makes(home: Path) -> None:
    said = run(home, *CELLS, "--launches", "1", "--dry_run")
    assert said.status == 0
    assert "1 measure launch" in said.out


def test_help_names_what_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "cell.json [check|measure|reference]" in text
    assert all(f"--{name}" in text.partition("Refused: ")[2] for name in benchmark.NEEDS_PROCESSES)


ELSEWHERE = """
[elsewhere]
python = "/nonexistent/python"
targets = ["OpenVINOExecutionProvider"]
"""


def test_a_target_of_another_interpreter_is_refused_or_skipped(home: Path) -> None:
    with (home / "environments.toml").open("a", encoding="utf-8") as f:
        f.write(ELSEWHERE)
    said = run(home, "-e", "ov@elsewhere")
    assert said.status == 2
    assert "/nonexistent/python" in one_line(said)
    assert "benchmark_wrapper.py" in one_line(said)
    said = run(home, *CELLS, "ov", "--models", "relu")
    assert said.status == 1  # it was named and could not run
    skipped = said.records["relu::OpenVINOExecutionProvider"].outcome
    assert isinstance(skipped, Skipped)
    assert "another interpreter" in skipped.reason
    assert isinstance(said.records["relu::CPUExecutionProvider"].outcome, Passed)


def test_variables_read_at_the_start_are_asked_for(home: Path) -> None:
    with (home / "environments.toml").open("a", encoding="utf-8") as f:
        f.write('env = { LD_LIBRARY_PATH = "/opt/x y" }\n')
    said = run(home, *CELLS, "--models", "relu")
    assert said.status == 1
    (record,) = said.records.values()
    assert isinstance(record.outcome, Skipped)
    assert "LD_LIBRARY_PATH='/opt/x y'" in record.outcome.reason
