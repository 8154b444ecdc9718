"""Memory over batch from a sweep's records: the fit, and the batch that is worth one probe."""

from dataclasses import replace

import pytest

from perf.results import batch_memory
from perf.results.batch_memory import MemoryFit
from perf.schema.journal import Stage
from perf.schema.record import Outcome, OutOfMemory, Passed, Record
from tests.results import hand_made


def swept(batch: int, mib: float, outcome: Outcome | None = None) -> Record:
    record = next(r for r in hand_made.two_models() if isinstance(r.outcome, Passed))
    launches = tuple(
        replace(x, gpu_memory=None, ending=replace(x.ending, peak_rss_mib=mib))
        for x in record.launches
    )
    cell = replace(record.cell, batch=batch, gpu="")
    return replace(record, cell=cell, launches=launches, outcome=outcome or record.outcome)


RAN_OUT = OutOfMemory("host", Stage.RUN)


def test_a_line_through_what_passed_says_what_a_limit_holds() -> None:
    records = [swept(1, 110), swept(4, 140), swept(32, 1, RAN_OUT)]
    fit = batch_memory.fit_memory(records)
    assert fit is not None
    assert (fit.base_mib, fit.item_mib) == pytest.approx((100, 10))
    assert fit.find_largest(1000) == 85  # of 950 MiB
    assert batch_memory.largest_passed(records) == 4


@pytest.mark.parametrize(
    "records",
    [[], [swept(1, 110)], [swept(1, 110), swept(4, 100)], [swept(1, 110), swept(4, 140, RAN_OUT)]],
)
def test_without_two_batches_over_which_it_rises_there_is_no_line(records: list[Record]) -> None:
    assert batch_memory.fit_memory(records) is None


@pytest.mark.parametrize(
    ("records", "probe"),
    [
        ([swept(1, 110), swept(4, 140)], 85),
        ([swept(1, 110), swept(4, 140), swept(32, 1, RAN_OUT)], 31),
        ([swept(1, 110), swept(4, 140), swept(5, 1, RAN_OUT)], 0),  # known already
        ([swept(1, 110), swept(90, 940)], 0),
    ],
)
def test_the_probe_lies_between_what_passed_and_what_did_not(
    records: list[Record], probe: int
) -> None:
    assert batch_memory.choose_probe(records, MemoryFit(100.0, 10.0), 1000.0) == probe


def test_a_limit_below_the_model_itself_holds_nothing() -> None:
    assert MemoryFit(100.0, 10.0).find_largest(50) == 0
