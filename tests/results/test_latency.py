"""When samples become a latency, and what is said of it."""

from dataclasses import replace

import pytest

from perf.results import latency
from perf.schema.cell import Protocol
from perf.schema.journal import Stage
from perf.schema.record import Crashed, Mismatched, Raised, Record, TimedOut
from tests.results import hand_made as made

GOOD = made.benchmarked(made.cell(), (8.0, 9.0), {made.CPU: 1})


@pytest.mark.parametrize("outcome", [o for o in made.EVERY_OUTCOME if o != made.PASSED])
def test_only_what_passed_has_a_latency(outcome: Mismatched) -> None:
    assert latency.summarise_latency(replace(GOOD, outcome=outcome)) is None


@pytest.mark.parametrize(
    "outcome",
    [Crashed(Stage.CLOSE, "SIGSEGV"), Raised(Stage.CLOSE, "E", ""), TimedOut(Stage.CLOSE, 1)],
)
def test_a_fault_in_close_keeps_the_latency_and_marks_it(outcome: Crashed) -> None:
    record = replace(GOOD, outcome=outcome)
    assert latency.summarise_latency(record) == latency.summarise_latency(GOOD)
    assert latency.collect_marks(record) == ("failed in close",)


def test_an_instrumented_cell_has_no_latency() -> None:
    traced = replace(GOOD.cell, protocol=Protocol(instrumented="nsys profile"))
    record = replace(GOOD, cell=traced)
    assert latency.summarise_latency(record) is None
    assert latency.collect_marks(record) == ("instrumented",)


def test_samples_are_pooled_and_launches_kept_apart() -> None:
    found = latency.summarise_latency(GOOD)
    assert found is not None
    assert found.summary.n == 40
    assert found.summary.mean == pytest.approx(8.5)
    assert found.medians_ms == (8.0, 9.0)
    assert found.spread.half_range == pytest.approx(0.5)
    assert latency.collect_marks(GOOD) == ()


def test_outputs_that_nobody_checked_are_marked() -> None:
    unchecked = replace(GOOD, cell=replace(GOOD.cell, checked=False))
    assert latency.describe_check(unchecked) == "unchecked"
    assert latency.collect_marks(unchecked) == ("unchecked",)
    check = replace(GOOD.launches[0], compared=(), unreferenced=1)
    nothing = replace(GOOD, launches=(check, *GOOD.launches[1:]))
    assert latency.describe_check(nothing) == "unreferenced"
    assert latency.collect_marks(nothing) == ("unchecked",)
    assert latency.describe_check(Record(GOOD.cell, made.PASSED)) == ""


@pytest.mark.parametrize(
    ("change", "mark"),
    [
        ({"run_delay_ns": 10 * made.MS}, "preempted 1 of 1"),
        ({"throttled_us": 1}, "preempted 1 of 1"),
        ({"gpu_only": True}, "gpu compute only"),
        ({"synchronised": False}, "not synchronised"),
    ],
)
def test_what_mars_a_timing_is_marked(change: dict[str, object], mark: str) -> None:
    launch = made.measure(0, [8.0] * 20, timed=made.timed([8.0] * 20, **change))
    record = replace(GOOD, launches=(GOOD.launches[0], launch))
    assert latency.collect_marks(record) == (mark,)


@pytest.mark.parametrize("change", [{"run_delay_ns": None}, {"run_delay_ns": made.MS}])
def test_a_wait_that_is_unknown_or_under_one_percent_is_no_preemption(
    change: dict[str, object],
) -> None:
    launch = made.measure(0, [8.0] * 20, timed=made.timed([8.0] * 20, **change))
    assert not latency.was_preempted(launch)


def test_models_under_100_us_are_overhead_bound() -> None:
    small = made.benchmarked(made.cell(), (0.0999,), {made.CPU: 1})
    assert latency.collect_marks(small) == ("overhead-bound",)
    larger = made.benchmarked(made.cell(), (0.1001,), {made.CPU: 1})
    assert latency.collect_marks(larger) == ()


def test_a_launch_without_samples_is_no_launch() -> None:
    record = replace(GOOD, launches=(made.measure(0, []),))
    assert latency.summarise_latency(record) is None
    assert not latency.was_preempted(made.check(made.CPU, {}))
