"""A/B runs: pairs by round, verdicts by the sequential rule, sides by their labels."""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from comparison.cli import Question, main
from comparison.paired_runs import pairs_of
from comparison.run_records import summarise_cell
from perf.schema.record import Record
from tests.comparison.runs import CUDA, Made, record_of, write_run

LABELS = (f"{CUDA}@old", f"{CUDA}@new")


@pytest.fixture(autouse=True)
def _uncalibrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


def sides(
    pairs: int, ratio: float, slow_quarter: float = 1.0, noise: float = 0.01
) -> tuple[Record, Record]:
    """Launches of two environments that ran as neighbours on a machine that drifts by tens of percent."""
    chance, drift = random.Random(4), 5.0
    before, after = [], []
    for _ in range(pairs):
        drift *= 1 + chance.uniform(-0.1, 0.1)
        before.append(drift * (1 + chance.gauss(0, noise)))
        after.append(drift * ratio * (1 + chance.gauss(0, noise)))
    old = Made(environment="old", launch_ms=before)
    new = Made(environment="new", launch_ms=after, version="1.32.0", slow_quarter=slow_quarter)
    return record_of(old, order_step=2), record_of(new, first_order=1, order_step=2)


def judged(*records: Record, labels: Sequence[str] = LABELS) -> tuple[int, dict[str, str]]:
    write_run(Path("result/ab"), records, ab=labels)
    status = main(Question.ALL, ["--ab", "ab", "-o", "out.csv", "--all"])
    rows = [r.split(",") for r in Path("out.csv").read_text().splitlines()[1:]]
    return status, {r[3]: r[4] for r in rows}


@pytest.mark.parametrize(
    ("ratio", "verdict", "status"),
    [(1.0, "Same", 0), (1.06, "Slower", 1), (1 / 1.06, "Faster", 0)],
)
def test_drift_cancels_between_neighbours(ratio: float, verdict: str, status: int) -> None:
    told, found = judged(*sides(50, ratio))
    assert found["latency_p50"] == verdict
    assert told == status


def test_a_slower_quarter_is_found_in_the_slow_end_alone() -> None:
    status, found = judged(*sides(50, 1.0, slow_quarter=1.2))
    assert (found["latency_p50"], found["latency_slow_end"]) == ("Same", "Slower")
    assert status == 1


def test_what_a_stopped_run_leaves_open_is_unclear(capsys: pytest.CaptureFixture[str]) -> None:
    _, found = judged(*sides(4, 1.0))
    assert found["latency_p50"] == "Unclear"
    assert "4 pairs of launches; a first look takes 5" in capsys.readouterr().out


def test_every_line_names_what_the_sides_differ_in(capsys: pytest.CaptureFixture[str]) -> None:
    judged(*sides(50, 1.06))
    told = " ".join(capsys.readouterr().out.split())
    assert "differs in ep_version: onnxruntime 1.31.1 -> onnxruntime 1.32.0" in told
    assert "cells compared with themselves" in told


def test_sides_are_found_by_table_label_or_by_environment() -> None:
    old, new = sides(50, 1.0)
    plain = replace(
        old,
        cell=replace(
            old.cell, target=replace(old.cell.target, label=CUDA), id=f"squeezenet::{CUDA}"
        ),
    )
    _, found = judged(plain, new, labels=(LABELS[0], LABELS[1]))
    assert found["latency_p50"] == "Same"


def test_a_label_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    write_run(Path("result/ab"), sides(5, 1.0), ab=("X", "Y"))
    assert main(Question.ALL, ["--ab", "ab"]) == 2
    assert "ab: no record of X in this A/B run" in capsys.readouterr().err
    Path("result/ab/run.json").write_text(json.dumps({"ab": []}))
    assert main(Question.ALL, ["--ab", "ab"]) == 2


def test_launches_without_a_neighbour_are_left_out() -> None:
    old, new = sides(6, 1.0)
    kept = tuple(x for x in new.launches if x.round != 2)
    pairs = pairs_of(summarise_cell(old, {}), summarise_cell(replace(new, launches=kept), {}))
    assert [a.round for a, _ in pairs] == [b.round for _, b in pairs] == [0, 1, 3, 4, 5]
    elsewhere = replace(new, launches=tuple(replace(x, boot_id="other") for x in new.launches))
    assert pairs_of(summarise_cell(old, {}), summarise_cell(elsewhere, {})) == []
