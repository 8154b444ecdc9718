"""A/B runs: pairs by round, verdicts by the sequential rule, sides by their labels."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from comparison.change import pair_launches
from comparison.run_records import summarise_record
from perf.results.shapes import ShapedRecord
from perf.schema.record import Record
from tests.comparison.runs import Answer, Made, compare, record_of, write_run
from tests.results.hand_made import CUDA, with_launches

LABELS = (f"{CUDA}@old", f"{CUDA}@new")


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


def judged(*records: Record, labels: Sequence[str] = LABELS) -> tuple[Answer, dict[str, str]]:
    """The comparison of an A/B run's sides, and its verdicts by metric."""
    write_run(Path("result/ab"), records, ab=labels)
    found = compare("--ab", "ab", "--all")
    return found, {r["metric"]: r["verdict"] for r in found.rows}


@pytest.mark.parametrize(
    ("ratio", "verdict", "status"),
    [(1.0, "Same", 0), (1.06, "Slower", 1), (1 / 1.06, "Faster", 0)],
)
def test_drift_cancels_between_neighbours(ratio: float, verdict: str, status: int) -> None:
    found, verdicts = judged(*sides(50, ratio))
    assert verdicts["latency_p50"] == verdict
    assert found.status == status
    told = " ".join(found.out.split())
    assert "of 300 cells compared with themselves, 0 were flagged and confirmed" in told
    if ratio > 1:
        assert "differs in ep_version: onnxruntime 1.31.1 -> onnxruntime 1.32.0" in told


def test_a_slower_quarter_is_found_in_the_slow_end_alone() -> None:
    found, verdicts = judged(*sides(50, 1.0, slow_quarter=1.2))
    assert (verdicts["latency_p50"], verdicts["latency_slow_end"]) == ("Same", "Slower")
    assert found.status == 1


def test_what_a_stopped_run_leaves_open_is_unclear() -> None:
    found, verdicts = judged(*sides(4, 1.0))
    assert verdicts["latency_p50"] == "Unclear"
    assert "4 pairs of launches; a first look takes 5" in found.out


def test_sides_are_found_by_table_label_or_by_environment() -> None:
    old, new = sides(50, 1.0)
    target = replace(old.cell.target, label=CUDA)
    plain = replace(old, cell=replace(old.cell, target=target, id=f"squeezenet::{CUDA}"))
    assert judged(plain, new)[1]["latency_p50"] == "Same"


def test_a_label_that_is_not_there_is_named() -> None:
    found, _ = judged(*sides(5, 1.0), labels=("X", "Y"))
    assert found.status == 2
    assert "ab: no record of X in this A/B run" in found.err


def test_launches_without_a_neighbour_are_left_out() -> None:
    old, new = sides(6, 1.0)
    lonely = replace(new, launches=tuple(x for x in new.launches if x.round != 2))
    a, b, c = (
        summarise_record(ShapedRecord(r, 1, 1), {})
        for r in (old, lonely, with_launches(new, boot_id="other"))
    )
    pairs = pair_launches(a, b)
    assert [x.round for x, _ in pairs] == [y.round for _, y in pairs] == [0, 1, 3, 4, 5]
    assert pair_launches(a, c) == []
