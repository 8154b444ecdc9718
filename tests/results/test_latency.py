"""When samples become a latency, and what is said of it."""

from dataclasses import replace

import pytest

from perf.results import gains, latency
from perf.schema.cell import Protocol
from perf.schema.journal import Compared, Stage
from perf.schema.record import Crashed, LaunchKind, Outcome, OutOfMemory, Raised, Record, TimedOut
from tests.results import hand_made as made

GOOD = made.benchmarked(made.cell(), (8.0, 9.0), {made.CPU: 1})


@pytest.mark.parametrize("outcome", [o for o in made.EVERY_OUTCOME if o != made.PASSED])
def test_only_what_passed_has_a_latency(outcome: Outcome) -> None:
    assert latency.summarise_latency(replace(GOOD, outcome=outcome)) is None


@pytest.mark.parametrize(
    "outcome",
    [
        Crashed(Stage.CLOSE, "SIGSEGV"),
        Raised(Stage.CLOSE, "E", ""),
        TimedOut(Stage.CLOSE, 1),
        OutOfMemory("host", Stage.CLOSE),
    ],
)
def test_a_fault_in_close_keeps_the_latency_and_marks_it(outcome: Outcome) -> None:
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
    assert found
    assert found.summary.n == 40
    assert found.summary.mean == pytest.approx(8.5)
    assert found.medians_ms == (8.0, 9.0)
    assert found.spread.half_range == pytest.approx(0.5)
    assert latency.collect_marks(GOOD) == ()
    empty = replace(GOOD, launches=(made.measure(0, []),))
    assert latency.summarise_latency(empty) is None


def test_outputs_that_nobody_checked_are_marked() -> None:
    unchecked = replace(GOOD, cell=replace(GOOD.cell, checked=False))
    nothing = made.with_launches(GOOD, LaunchKind.CHECK, compared=(), unreferenced=1)
    empty = Compared("set_0", "y", "", 0, 0)
    empties = made.with_launches(GOOD, LaunchKind.CHECK, compared=(empty, empty))
    for record, why, published in (
        (unchecked, "unchecked", True),  # as the user asked
        (nothing, "unreferenced", False),
        (empties, "unchecked", False),
    ):
        assert latency.describe_check(record) == why
        assert latency.collect_marks(record) == ("unchecked",)
        assert (latency.summarise_latency(record) is not None) is published
    assert latency.describe_check(Record(GOOD.cell, made.PASSED)) == ""


@pytest.mark.parametrize(
    ("change", "marks"),
    [
        ({"run_delay_ns": 2 * made.MS}, ("preempted 1 of 1",)),
        ({"run_delay_ns": made.MS}, ()),  # under 1 % of 160 ms
        ({"run_delay_ns": None}, ()),
        ({"throttled_us": 1}, ("preempted 1 of 1",)),
        ({"gpu_only": True}, ("gpu compute only",)),
        ({"synchronised": False}, ("not synchronised",)),
        ({"samples_ns": (99_900,) * 20}, ("overhead-bound",)),
        ({"samples_ns": (100_100,) * 20}, ()),
    ],
)
def test_what_mars_a_timing_is_marked(change: dict[str, object], marks: tuple[str, ...]) -> None:
    launch = made.measure(0, [], timed=made.timed([8.0] * 20, **change))
    record = replace(GOOD, launches=(GOOD.launches[0], launch))
    assert latency.collect_marks(record) == marks
    assert not latency.was_preempted(GOOD.launches[0])


def waiting(record: Record, cpu_share: float) -> Record:
    """Every launch waited for 10 % of its loop; the process itself took so much of the 2 CPUs it may use."""
    launches = []
    for x in record.launches:
        if x.timed is None:
            launches.append(x)
            continue
        wall_ns = sum(x.timed.samples_ns)
        timed = replace(
            x.timed, run_delay_ns=wall_ns // 10, begun_s=10.0, ended_s=10.0 + wall_ns / 1e9,
            cpu_ns=round(cpu_share * 2 * wall_ns), cpus=2.0,
        )  # fmt: skip
        launches.append(replace(x, timed=timed))
    return replace(record, launches=tuple(launches))


def test_a_launch_held_up_by_its_own_threads_is_oversubscribed_not_preempted() -> None:
    record = made.two_models()[0]
    assert latency.collect_marks(waiting(record, 0.98)) == ("oversubscribed 5 of 5",)
    assert latency.collect_marks(waiting(record, 0.40)) == ("preempted 5 of 5",)
    assert latency.collect_marks(record) == ()


def test_the_end_of_a_run_says_what_a_busy_machine_cost() -> None:
    cpu, cuda, *_ = made.two_models()
    others, own = waiting(cpu, 0.4), waiting(cuda, 0.98)
    busy, crowded = latency.describe_disturbance([others, own], "90 % of 2 cores in use")
    assert busy == (
        "busy machine: others took the CPU in 5 of 10 launches, 11 % of whose time was waiting"
        " (90 % of 2 cores in use)"
    )
    assert crowded.startswith("oversubscribed: 5 of 10 launches had more threads than CPUs")
    assert latency.describe_disturbance([cpu, cuda], "1 % of 2 cores in use") == ()


def test_a_gain_is_held_back_where_most_launches_were_preempted() -> None:
    cpu, cuda, *_ = made.two_models()
    clean = gains.gain_between(cpu, cuda)
    assert clean
    assert clean.claimed
    for base, subject in ((waiting(cpu, 0.4), cuda), (cpu, waiting(cuda, 0.4))):
        found = gains.gain_between(base, subject)
        assert found
        assert not found.claimed
        assert found.held_back == "most launches were preempted"
        assert found.percent == clean.percent
    some = replace(cuda, launches=(*waiting(cuda, 0.4).launches[:3], *cuda.launches[3:]))
    found = gains.gain_between(cpu, some)
    assert found
    assert found.claimed  # two of five
