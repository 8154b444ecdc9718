"""benchmark.py as users start it: the wrapper's tables from one process, and one line for what needs more."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from perf.core import journal
from perf.core.journal import Began, Stage
from perf.core.record import LaunchKind, Mismatched, NotRun, Passed, Record, Skipped
from perf.worker import cli
from tests import models
from tests.asking import ROOT, Said, ask, one_line

FAKE = f"""
[current]
python = "current"
targets = ["CPUExecutionProvider"]

[fake]
python = "current"
backend = "{ROOT / "tests" / "fakes" / "engine.py"}"
targets = ["FakeExecutionProvider"]
default = false
"""
CELLS = ("-i", "zoo", "-t", "5", "--warmup", "1", "-e", "cpu")


def command(home: Path, *words: str) -> Said:
    """Run benchmark.py in `home` to its end."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmark.py"), *words], cwd=home, capture_output=True,
        text=True, timeout=120, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return Said(done.returncode, done.stdout, done.stderr, home / "result")


def run(home: Path, *words: str) -> Said:
    """Run the models of `home`."""
    return command(home, "-m", "models", *words)


def files(folder: Path) -> set[Path]:
    return {p.relative_to(folder) for p in folder.rglob("*") if p.is_file()}


def header(path: Path) -> str:
    return path.read_text(encoding="utf-8").splitlines()[0]


def faking(home: Path) -> Path:
    (home / "environments.toml").write_text(FAKE, encoding="utf-8")
    return home


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
    assert cli.main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.strip().splitlines()
    assert line.startswith("error: " + words[0].replace("-limit", "_limit"))
    assert "benchmark_wrapper.py" in line


def test_one_launch_is_what_it_makes(home: Path) -> None:
    said = run(home, *CELLS, "--launches", "1", "--dry_run")
    assert said.status == 0
    assert "1 measure launch" in said.out


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


# What ends the process


def test_a_crash_keeps_the_cells_that_had_finished(home: Path) -> None:
    said = run(
        faking(home), "-r", "both", *CELLS, "fake", "--no_check",
        "-k", "linear and CPU or relu and Fake",
        "--ep_options", "fake:how=segfault,where=run",
    )  # fmt: skip
    assert said.status == -signal.SIGSEGV
    assert "engine.py" in said.err  # Python's stack, where it crashed
    (record,) = said.records.values()
    assert record.cell.model.name == "linear"
    assert isinstance(record.outcome, Passed)


def test_an_interrupt_ends_the_run_with_its_tables(home: Path) -> None:
    words = ("-m", "models", "-r", "both", *CELLS, "fake", "--no_check")
    only = ("-k", "linear and CPU or relu and Fake", "--run_id", "stopped")
    how = ("--ep_options", "fake:how=hang,where=run")
    with subprocess.Popen(
        [sys.executable, str(ROOT / "benchmark.py"), *words, *only, *how], cwd=faking(home),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        deadline = time.monotonic() + 60
        while not _is_running(home / "result" / "stopped"):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    said = Said(130, out, "", home / "result")
    outcomes = {k: row["exact_outcome"] for k, row in said.cells.items()}
    assert outcomes == {
        "linear::CPUExecutionProvider": "Passed",
        "relu::FakeExecutionProvider[how=hang,where=run]": "NotRun",
    }


def _is_running(run_root: Path) -> bool:
    found = list(run_root.glob("cells/relu/*/*/check/journal.jsonl"))
    return bool(found) and Stage.RUN in {
        e.stage for e in journal.read(found[0]) if isinstance(e, Began)
    }


def test_what_the_engine_raises_fails_its_cell_alone(home: Path) -> None:
    said = run(
        faking(home), "-r", "validate", *CELLS, "fake", "--no_check", "--models", "relu",
        "--ep_options", "fake:how=raise",
    )  # fmt: skip
    assert said.status == 0, said
    outcomes = {k: row["exact_outcome"] for k, row in said.cells.items()}
    assert outcomes["relu::CPUExecutionProvider"] == "Passed"
    assert outcomes["relu::FakeExecutionProvider[how=raise]"] == "Raised(create, RuntimeError)"
    assert "the engine" in said.err  # its traceback, on the terminal


# One cell by hand


def stored(said: Said, cell: str) -> Path:
    return said.run.cell(said.records[cell].cell) / "cell.json"


def test_a_stored_cell_is_run_again_by_hand(both: Said, tmp_path: Path) -> None:
    path = stored(both, "wrong::CPUExecutionProvider")
    kept = path.parent / "check" / "journal.jsonl"
    before = kept.read_bytes()
    said = command(tmp_path, str(path))
    assert said.status == 1
    assert "wrong::CPUExecutionProvider  Mismatched" in said.out
    path = stored(both, "relu::CPUExecutionProvider")
    said = command(tmp_path, str(path), "measure")
    assert said.status == 0, said
    assert "1 x 5 runs" in said.out
    assert (path.parent / "again_measure" / "journal.jsonl").is_file()
    assert kept.read_bytes() == before
    assert not list(tmp_path.iterdir())


def test_a_cell_of_another_interpreter_says_how_to_start_it(both: Said, tmp_path: Path) -> None:
    told = json.loads(stored(both, "relu::CPUExecutionProvider").read_text(encoding="utf-8"))
    told["environment"] |= {"python": "/opt/other/python", "variables": {"LD_LIBRARY_PATH": "/x"}}
    path = tmp_path / "cell.json"
    path.write_text(json.dumps(told), encoding="utf-8")
    said = command(tmp_path, str(path))
    assert said.status == 0, said
    assert f"LD_LIBRARY_PATH=/x /opt/other/python benchmark.py {path}" in said.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nowhere.json",), "No such file"),
        (("environments.toml",), "not a cell"),
        (("cell.json", "prepare"), "check, measure, reference"),
    ],
)
def test_what_is_no_cell_costs_one_line(home: Path, words: tuple[str, ...], says: str) -> None:
    said = command(home, *words)
    assert said.status == 2
    assert says in one_line(said)
