"""A/B runs and canaries, launched for real: neighbours in time, an early end, and what a comparison reads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from comparison.cli import Question, main
from comparison.run_records import read_run
from perf.results.run_folder import RunFolder, read_records
from perf.schema.record import Record, measure_launches
from tests import models
from tests.asking import ROOT, Said, ask, one_line

SIDES = ("cpu@old", "CPUExecutionProvider@new")
TWO = ("--env", f"old={sys.executable}", f"new={sys.executable}")


@pytest.fixture(scope="module")
def ab(shared_home: Path) -> Said:
    """Nine rounds of one model in two environments that are the same."""
    said = ask(
        shared_home, "-i", "zoo", "--ab", *SIDES, *TWO, "--models", "linear", "--launches", "9",
        "--run_id", "ab",
    )  # fmt: skip
    assert said.status == 0, said
    return said


def sides(said: Said) -> tuple[Record, Record]:
    found = {r.cell.environment.name: r for r in said.records.values()}
    assert set(found) == {
        "old",
        "new",
    }  # and not the environment that serves the target by default
    return found["old"], found["new"]


def test_launches_of_a_round_are_neighbours_and_neither_side_is_always_first(ab: Said) -> None:
    old, new = (measure_launches(r) for r in sides(ab))
    assert [x.round for x in old] == [x.round for x in new]
    assert 5 <= len(old) <= 9
    apart = [b.order - a.order for a, b in zip(old, new, strict=True)]
    assert {abs(d) for d in apart} == {1}
    assert len(set(apart)) == 2


def test_a_launch_takes_the_runs_that_the_rule_uses(ab: Said) -> None:
    assert {
        len(x.timed.samples_ns) for r in sides(ab) for x in measure_launches(r) if x.timed
    } == {20}


def test_the_comparison_reads_it(
    ab: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    words = ["--ab", "ab", "--results", str(ab.results), "-o", str(tmp_path / "out.csv"), "--all"]
    assert main(Question.ALL, words) in (
        0,
        1,
    )  # a machine as busy as this one may be seen to change
    told = " ".join(capsys.readouterr().out.split())
    assert "differs in environment: old -> new" in told
    assert "CPUExecutionProvider@old -> CPUExecutionProvider@new:" in told
    rows = (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()
    assert {r.split(",")[3] for r in rows[1:]} >= {"status", "latency_p50", "latency_slow_end"}


def test_max_minutes_ends_it_early(shared_home: Path) -> None:
    said = ask(
        shared_home, "-i", "zoo", "--ab", *SIDES, *TWO, "--launches", "500", "--max_minutes", "0.01",
        "-t", "1000", "--run_id", "short",
    )  # fmt: skip
    assert said.status == 0, said
    assert sum(len(measure_launches(r)) for r in said.records.values()) < 100


def test_named_option_sets_are_sides(shared_home: Path) -> None:
    said = ask(
        shared_home, "-i", "zoo", "--ab", "cpu", "cpu[same]", "--ep_options",
        "cpu[same]:use_arena=1", "--models", "relu", "--launches", "2",
        "--run_id", "sets",
    )  # fmt: skip
    assert said.status == 0, said
    assert {r.cell.variant: len(measure_launches(r)) for r in said.records.values()} == {
        "": 2,
        "same": 2,
    }


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("cpu", "CPUExecutionProvider"), "both mean the same cells; `python -m comparison.calibrate`"),
        (("cpu", "cpu[fast]"), "--ab cpu[fast]: no planned cell is meant; a variant is named by"),
        (("cpu",), "--ab takes two targets, got 1"),
        (("cpu", "cpu@moon"), "no environment 'moon' serves it"),
    ],
)  # fmt: skip
def test_sides_that_cannot_be_are_refused(
    shared_home: Path, names: tuple[str, ...], says: str
) -> None:
    said = ask(shared_home, "--ab", *names, out="refused")
    assert said.status == 2
    assert says in one_line(said)
    assert not said.results.exists()


WITH_TINY_CANARY = """
import sys
from pathlib import Path
from perf.planning import plan
plan.CANARY_MODEL = Path(sys.argv[1])
from perf.cli.benchmark_wrapper import main
sys.exit(main(sys.argv[2:]))
"""


def test_a_canary_is_launched_before_every_launch(home: Path) -> None:
    canary = models.identity(home / "tiny") / "model.onnx"
    words = [
        "-m",
        "models",
        "-i",
        "zoo",
        "-t",
        "5",
        "--launches",
        "3",
        "--canary",
        "--run_id",
        "run",
    ]
    done = subprocess.run(
        [sys.executable, "-c", WITH_TINY_CANARY, str(canary), *words], cwd=home, text=True,
        capture_output=True, timeout=120, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done
    found = {
        r.cell.id: measure_launches(r) for r in read_records(RunFolder(home / "result", "run"))
    }
    assert {k: len(v) for k, v in found.items()} == {
        "canary::CPUExecutionProvider": 6,
        "linear::CPUExecutionProvider": 3,
        "relu::CPUExecutionProvider": 3,
    }
    canaries = [x.order for x in found.pop("canary::CPUExecutionProvider")]
    assert [x + 1 for x in canaries] == sorted(x.order for v in found.values() for x in v)
    side = read_run(home / "result" / "run")
    assert {c.model for c in side.canaries} == {"canary"}
    assert {c.model for c in side.cells} == {"linear", "relu"}


def test_an_ab_run_ends_in_its_verdict(ab: Said) -> None:
    """Its two sides are the same: the last line says within what, or which shape was too noisy to say."""
    last = ab.out.splitlines()[-1]
    assert last.startswith("A/B: CPUExecutionProvider@old -> CPUExecutionProvider@new: ")
    assert "1 cell, 2 input shapes" in last  # the model's two sets have 1 and 2 rows
    assert "x=2x8" in ab.out
