"""Our own records: a latency that cannot be is withheld, and samples that tell against themselves are named."""

from dataclasses import replace

import pytest

from perf.honesty import measured
from perf.honesty.rules import Severity
from perf.results.findings import impossible_reason
from perf.results.latency import collect_marks, summarise_latency
from perf.schema.cell import TensorFile, TestSet
from perf.schema.record import Record
from tests.results import hand_made


def timed_record() -> Record:
    return next(r for r in hand_made.two_models() if summarise_latency(r))


def with_batch(batch: int, out: int) -> Record:
    record = timed_record()
    fed = TensorFile("x", "/x.npy", 1, (batch, 8))
    given = TestSet("random_0", (fed,), (TensorFile("y", "/y.npy", 1, (out, 4)),))
    return replace(record, cell=replace(record.cell, batch=batch, sets=(given,)))


def with_samples(samples: tuple[int, ...], **more: object) -> Record:
    record = timed_record()
    launches = tuple(
        replace(x, timed=replace(x.timed, samples_ns=samples, **more)) if x.timed else x  # type: ignore[arg-type]
        for x in record.launches
    )
    return replace(record, launches=launches)


def test_a_batch_that_is_in_no_output_has_no_latency_and_says_why() -> None:
    record = with_batch(32, 1)
    assert summarise_latency(record) is None
    assert record.outcome == timed_record().outcome
    assert collect_marks(record) == (
        "impossible: a batch of 32 was fed, and no output has it (1x4)",
    )
    (found, *_) = measured.find_in_records([record])
    assert found.severity is Severity.IMPOSSIBLE


@pytest.mark.parametrize("out", [32, 64])
def test_a_batch_that_came_out_is_published(out: int) -> None:
    assert summarise_latency(with_batch(32, out)) is not None


def test_samples_longer_than_the_time_they_were_taken_in_are_no_latency() -> None:
    record = with_samples((1_000_000_000,) * 20, begun_s=5.0, ended_s=6.0)
    assert "add up to more than the time" in impossible_reason(record)
    assert summarise_latency(record) is None


@pytest.mark.parametrize(
    ("samples", "more", "says"),
    [
        ((1_000_000,) * 200, {"floor_ns": 40_000}, "reading the clock is 4%"),
        ((3_000_000,) * 20 + (1_000_000,) * 180, {}, "warm-up is in it"),
        ((1_000_000, 1_500_000) * 100, {}, "two humps, 40%"),
    ],
)
def test_samples_that_tell_against_themselves(
    samples: tuple[int, ...], more: dict[str, object], says: str
) -> None:
    found = measured.find_in_records([with_samples(samples, **more)])
    assert any(says in f.text for f in found), found


def test_quiet_samples_have_no_finding() -> None:
    record = with_samples(tuple(1_000_000 + 100 * (i % 7) for i in range(100)))
    assert measured.find_in_records([record]) == ()
