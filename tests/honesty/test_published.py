"""Tables that were published: which of their numbers cannot be, and that honest ones are left alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from perf.honesty import published
from perf.honesty.rules import Finding, Severity, find_all
from tests.asking import ROOT

TABLES = Path(__file__).parent / "published"


def findings(name: str) -> list[Finding]:
    return list(find_all(published.read_points(TABLES / name)))


def impossible(name: str) -> set[str]:
    return {f.where for f in findings(name) if f.severity is Severity.IMPOSSIBLE}


def test_every_engine_row_whose_batch_was_only_copied_is_impossible() -> None:
    larger = [3, 5, 7, 9, 11, 13, 15, 17, *range(19, 24)]  # lines of the table
    wanted = {
        f"batch_sizes.csv:{line} tensorrt-{p} (imgs/sec)"
        for line in larger
        for p in ("fp32", "fp16")
    }
    assert impossible("batch_sizes.csv") == wanted


def test_what_pytorch_ran_itself_is_left_alone() -> None:
    assert not any(
        "pytorch" in f.where or "script" in f.where for f in findings("batch_sizes.csv")
    )


def test_more_arithmetic_than_the_board_has_is_said_in_figures() -> None:
    told = [f.text for f in findings("batch_sizes.csv") if "TFLOP/s" in f.text]
    assert told == [
        "2654.23 items/s of 8.6 GFLOP (the model's usual size) are 22.8 TFLOP/s, and v100 has 15.7 in fp32"
    ]


def test_a_batch_that_takes_no_longer_than_a_smaller_one_is_named() -> None:
    told = [f.where for f in findings("batch_sizes.csv") if "times the items" in f.text]
    assert told == [
        f"batch_sizes.csv:{line} tensorrt-{p} (imgs/sec)"
        for line, p in ((7, "fp32"), (13, "fp32"), (13, "fp16"))
    ]


def test_energy_of_nominal_watts_is_named_so() -> None:
    told = {f.text for f in findings("batch_sizes.csv") if "energy" in f.text}
    assert told == {
        f"its energy is throughput over {w} W in every row: nominal, not measured"
        for w in (160, 72, 300)
    }


def test_a_table_of_precisions_that_adds_up_has_no_finding() -> None:
    assert findings("precisions.csv") == []


def test_seconds_under_a_heading_of_milliseconds_are_read_as_such() -> None:
    told = findings("backends.csv")
    units = [f for f in told if "in seconds" in f.text]
    assert len(units) == 15
    assert [f.text for f in told if f not in units] == ["fp16 takes 1.18 of fp32's time"]


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("batch_sizes.csv",), 1, "22 rows: 27 impossible, 0 doubtful, 25 note"),
        (("precisions.csv",), 0, "17 rows: 0 impossible"),
        (("backends.csv", "--fail_on", "note"), 1, "in seconds"),
        (("gone.csv",), 2, "no run there"),
        (("none.csv",), 2, "no column of throughput"),
    ],
)
def test_the_command_says_what_it_found_and_fails_as_asked(
    words: tuple[str, ...], status: int, says: str, tmp_path: Path
) -> None:
    for file in TABLES.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "none.csv").write_text("name,colour\na,red\n")
    done = subprocess.run(
        [sys.executable, "-m", "perf.honesty", *words], cwd=tmp_path, capture_output=True, text=True,
        check=False, timeout=60, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    assert says in done.stdout + done.stderr
    assert len(done.stderr.splitlines()) <= 1
