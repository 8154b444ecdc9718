"""A device's own time of a run, from records of its activities: an H200's, and some made by hand."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perf.measure.cupti import COPY, KERNEL, SET, Activity, TracingRefused, read_head
from perf.measure.device_time import covered_ns, summarise_runs

RECORDED = Path(__file__).parents[1] / "recorded" / "h200" / "activity.json"
SPANS = st.tuples(st.integers(0, 200), st.integers(0, 50)).map(lambda x: (x[0], x[0] + x[1]))


def recorded(how: str) -> list[list[Activity]]:
    """Runs of squeezenet on an H200, from host to host."""
    runs = json.loads(RECORDED.read_text(encoding="utf-8"))[f"squeezenet {how}"]["heads"]
    return [[read_head(bytes.fromhex(head)) for head in run] for run in runs]


@pytest.mark.parametrize("how", ["plain", "graph"])
def test_records_of_an_h200_are_a_copy_in_the_kernels_and_a_copy_out(how: str) -> None:
    for run in recorded(how):
        kinds = [a.kind for a in sorted(run, key=lambda a: a.start_ns)]
        assert kinds == [COPY, *[KERNEL] * 91, COPY]
        assert all(1_000 <= a.end_ns - a.start_ns < 100_000 for a in run), "a µs to 0.1 ms each"


@pytest.mark.parametrize("how", ["plain", "graph"])
def test_the_devices_time_of_an_h200_is_that_of_its_kernels_and_copies(how: str) -> None:
    runs = recorded(how)
    found = summarise_runs(runs, 1)
    assert (found.kernels, found.source) == (91, "cupti")
    for run, kernels_ns, busy_ns in zip(runs, found.kernels_ns, found.busy_ns, strict=True):
        assert kernels_ns == pytest.approx(340_000, rel=0.03), (
            "as long as a replay takes, 0.346 ms"
        )
        copies_ns = sum(a.end_ns - a.start_ns for a in run if a.kind == COPY)
        assert busy_ns == kernels_ns + copies_ns, "one stream: nothing overlaps"


@given(st.lists(SPANS, max_size=12))
def test_time_is_counted_once_however_activities_overlap(spans: list[tuple[int, int]]) -> None:
    covered = {t for start, end in spans for t in range(start, end)}
    assert covered_ns(Activity(KERNEL, *span) for span in spans) == len(covered)


def test_copies_and_fills_are_no_kernels_and_a_run_without_one_is_not_believed() -> None:
    run = [Activity(SET, 1, 5), Activity(KERNEL, 4, 10), Activity(COPY, 20, 22)]
    found = summarise_runs([run, run[1:]], 1)
    assert (found.kernels_ns, found.busy_ns, found.kernels) == ((6, 6), (11, 8), 1)
    for runs in ([], [run, run[:1]]):
        with pytest.raises(TracingRefused, match="without a kernel"):
            summarise_runs(runs, 1)


def test_a_record_without_its_times_is_refused() -> None:
    head = bytes.fromhex(
        json.loads(RECORDED.read_text(encoding="utf-8"))["squeezenet plain"]["heads"][0][1]
    )
    assert read_head(head).kind == KERNEL
    for wrong in (head[:16] + bytes(16), head[:16] + head[24:] + head[16:24]):
        with pytest.raises(TracingRefused, match="no time"):
            read_head(wrong)
