"""Exactly one outcome for any journal, torn anywhere, with any ending; never an undue Passed."""

import signal
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perf.schema import fold, journal
from perf.schema.fold import Expectation
from perf.schema.journal import (
    Began,
    CellUnsupported,
    Compared,
    Created,
    Event,
    ExceptionRaised,
    Finished,
    Note,
    Placed,
    Placement,
    PrecisionEvidence,
    Stage,
    Timed,
    Versions,
)
from perf.schema.record import (
    Crashed,
    Ending,
    FellBack,
    KilledFor,
    LaunchKind,
    Mismatched,
    NotRun,
    Outcome,
    OutOfMemory,
    Passed,
    PrecisionNotAttained,
    Raised,
    Skipped,
    TimedOut,
)
from tests.schema.strategies import COMPLETE, ENDINGS, GOOD, JOURNALS

OUTCOMES = get_args(Outcome)
EXPECTED = Expectation(provider="EP", percent_mismatch=0.0, min_ep_share=0.5, precision="fp16")
TOLD: tuple[Event, ...] = (
    Began(Stage.LOAD, 1.0),
    Began(Stage.CREATE, 2.0),
    Created(0.5),
    Began(Stage.RUN, 3.0),
    Compared("set_0", "y", "", 0, 10),
    Began(Stage.CLOSE, 4.0),
    Finished(5.0),
)


@given(COMPLETE | JOURNALS, ENDINGS)
def test_every_account_with_every_ending_has_exactly_one_outcome(
    events: tuple[Event, ...], ending: Ending
) -> None:
    outcome = fold.fold(events, ending, EXPECTED)
    assert sum(isinstance(outcome, kind) for kind in OUTCOMES) == 1
    assert fold.fold(events, ending, EXPECTED) == outcome


@given(COMPLETE, ENDINGS)
def test_passed_needs_a_good_exit_a_whole_account_and_nothing_against_it(
    events: tuple[Event, ...], ending: Ending
) -> None:
    if fold.fold(events, ending, EXPECTED) == Passed():
        assert ending.status == 0
        assert ending.signal is None
        assert ending.killed_for is None
        assert any(isinstance(e, Finished) for e in events)
        assert not any(isinstance(e, (ExceptionRaised, CellUnsupported)) for e in events)
        assert not any(e.problem or e.mismatched for e in events if isinstance(e, Compared))


@given(COMPLETE, ENDINGS, st.data())
def test_a_journal_cut_at_any_byte_still_has_one_outcome(
    tmp_path_factory: pytest.TempPathFactory,
    events: tuple[Event, ...],
    ending: Ending,
    data: st.DataObject,
) -> None:
    text = written(events, tmp_path_factory)
    assert journal.parse_journal(text) == events
    cut = data.draw(st.integers(0, len(text) - 1))
    torn = journal.parse_journal(text[:cut])
    assert torn == events[: len(torn)]
    outcome = fold.fold(torn, ending, EXPECTED)
    assert sum(isinstance(outcome, kind) for kind in OUTCOMES) == 1
    if not any(isinstance(e, Finished) for e in torn):
        assert outcome != Passed()


@given(COMPLETE, st.binary(max_size=30), st.data())
def test_garbage_in_a_journal_ends_the_story_there(
    tmp_path_factory: pytest.TempPathFactory,
    events: tuple[Event, ...],
    garbage: bytes,
    data: st.DataObject,
) -> None:
    lines = written(events, tmp_path_factory).splitlines(keepends=True)
    at = data.draw(st.integers(0, len(lines)))
    text = b"".join(lines[:at]) + b"!" + garbage.replace(b"\n", b"") + b"\n" + b"".join(lines[at:])
    assert journal.parse_journal(text) == events[:at]


def test_a_whole_account_with_a_good_exit_passes() -> None:
    assert fold.fold(TOLD, GOOD, Expectation("EP")) == Passed()


@pytest.mark.parametrize(
    ("ending", "outcome"),
    [
        (
            Ending(1, None),
            Raised(Stage.CLOSE, "Exited", "exit status 1 without an exception told"),
        ),
        (Ending(None, signal.SIGSEGV), Crashed(Stage.CLOSE, "SIGSEGV")),
        (Ending(None, signal.SIGKILL), Crashed(Stage.CLOSE, "SIGKILL")),
        (Ending(None, 64), Crashed(Stage.CLOSE, "SIGRTMAX")),
        (Ending(None, 40), Crashed(Stage.CLOSE, "signal 40")),
        (
            Ending(None, signal.SIGKILL, oom_kill_delta=1),
            OutOfMemory("host: the kernel's out-of-memory killer", Stage.CLOSE),
        ),
        (Ending(None, signal.SIGSEGV, oom_kill_delta=1), Crashed(Stage.CLOSE, "SIGSEGV")),
        (
            Ending(None, signal.SIGKILL, KilledFor.DEADLINE, 9.0, oom_kill_delta=1),
            TimedOut(Stage.CLOSE, 9.0),
        ),
        (
            Ending(0, None, KilledFor.MEMORY_LIMIT, 400.0),
            OutOfMemory("host: --memory_limit 400 MiB", Stage.CLOSE),
        ),
        (Ending(None, signal.SIGKILL, KilledFor.INTERRUPT), NotRun("interrupted")),
    ],
)
def test_the_wrapper_believes_the_end_before_the_account(ending: Ending, outcome: Outcome) -> None:
    assert fold.fold(TOLD, ending, Expectation("EP")) == outcome


def test_a_worker_that_told_nothing_died_at_its_start() -> None:
    assert fold.fold((), Ending(None, signal.SIGABRT), EXPECTED) == Crashed(Stage.START, "SIGABRT")
    assert isinstance(fold.fold((), GOOD, EXPECTED), Raised)


def test_an_exception_told_is_the_outcome_whatever_the_exit_status() -> None:
    told = (*TOLD[:3], ExceptionRaised(Stage.CREATE, "Fail", "no kernel"), Finished(1.0))
    for status in (0, 1):
        assert fold.fold(told, Ending(status, None), EXPECTED) == Raised(
            Stage.CREATE, "Fail", "no kernel"
        )
    memory = (ExceptionRaised(Stage.RUN, "RuntimeException", "3 GiB asked", "device"),)
    assert fold.fold(memory, Ending(1, None), EXPECTED) == OutOfMemory(
        "device: 3 GiB asked", Stage.RUN
    )


@pytest.mark.parametrize("status", [0, 1, 7])
def test_under_a_prefix_the_account_counts_and_not_the_status_of_the_program_before(
    status: int,
) -> None:
    """gdb -batch ends with 1 after a worker that ended well, and with 0 after one that crashed."""
    under, ending = Expectation(prefix="gdb"), Ending(status, None)
    assert fold.fold(TOLD, ending, under) == Passed()
    wrong = (Compared("set_0", "y", "", 1, 10), *TOLD)
    assert isinstance(fold.fold(wrong, ending, under), Mismatched)
    assert fold.fold(TOLD[:4], ending, under) == Raised(
        Stage.RUN,
        "NoAccount",
        f"gdb ended with status {status}, and the worker's account before its end: "
        "output.log has what gdb saw",
    )
    raised = ExceptionRaised(Stage.RUN, "Fail", "no kernel")
    assert fold.fold((*TOLD[:4], raised), ending, under) == Raised(Stage.RUN, "Fail", "no kernel")
    assert fold.fold(TOLD, Ending(None, signal.SIGSEGV), under) == Crashed(Stage.CLOSE, "SIGSEGV")
    assert isinstance(fold.fold(TOLD, Ending(0, None, KilledFor.DEADLINE, 9.0), under), TimedOut)


def test_what_is_declined_is_skipped_only_by_a_worker_that_ended_well() -> None:
    told = (CellUnsupported("no such device"), Finished(1.0))
    assert fold.fold(told, GOOD, EXPECTED) == Skipped("no such device")
    assert isinstance(fold.fold(told, Ending(None, signal.SIGSEGV), EXPECTED), Crashed)


@pytest.mark.parametrize(
    ("nodes", "share", "why"),
    [
        ({"EP": 8}, 0.0, ""),
        ({"EP": 1, "CPU": 9}, 0.0, ""),
        ({"EP": 1, "CPU": 9}, 0.1, ""),
        ({"EP": 1, "CPU": 9}, 0.2, "1 of 10 nodes on EP, less than --min_ep_share 0.2 (9 on CPU)"),
        ({"CPU": 9}, 0.0, "none of 9 nodes ran on EP (9 on CPU)"),
        ({"EP": 0, "CPU": 9}, 0.0, "none of 9 nodes ran on EP (9 on CPU)"),
        ({}, 1.0, ""),  # folded to nothing: an empty share is no fallback
    ],
)
def test_fallback_is_no_node_on_the_provider_or_a_share_below_the_gate(
    nodes: dict[str, int], share: float, why: str
) -> None:
    placement = Placement("graph_assignment", nodes, {}, {})
    assert fold.describe_fallback(placement, "EP", share) == why
    told = (*TOLD[:-1], Placed(placement), TOLD[-1])
    expected = Expectation("EP", min_ep_share=share)
    assert fold.fold(told, GOOD, expected) == (FellBack(why) if why else Passed())


def test_without_a_placement_nothing_is_called_a_fallback() -> None:
    assert fold.fold(TOLD, GOOD, Expectation("EP", min_ep_share=1.0)) == Passed()


@pytest.mark.parametrize(
    ("mismatched", "total", "allowed", "wrong"),
    [(0, 10, 0.0, False), (1, 10, 0.0, True), (1, 10, 10.0, False), (2, 10, 10.0, True), (0, 0, 0.0, False)],
)  # fmt: skip
def test_the_share_of_mismatches_is_held_against_what_is_allowed(
    mismatched: int, total: int, allowed: float, wrong: bool
) -> None:
    compared = Compared("set_1", "y", "", mismatched, total, 0.5, None, 0.1, 0.9, (1, 2))
    told = (*TOLD[:-1], compared, TOLD[-1])
    outcome = fold.fold(told, GOOD, Expectation(percent_mismatch=allowed))
    assert isinstance(outcome, Mismatched) is wrong
    if isinstance(outcome, Mismatched):
        assert outcome.output == "set_1/y"
        assert outcome.detail == (
            f"{mismatched} of {total} elements differ, max abs 0.5, max rel unknown, "
            "relative norm 0.1, worst at [1,2]"
        )


def test_precision_is_judged_only_where_one_was_asked_for() -> None:
    told = (*TOLD[:-1], PrecisionEvidence("fp16", 0.01, None, "inspector"), TOLD[-1])
    assert fold.fold(told, GOOD, Expectation("EP")) == Passed()
    asked = Expectation("EP", precision="fp16")
    assert fold.fold(told, GOOD, asked) == PrecisionNotAttained("fp16", 0.01)


def test_a_launch_keeps_its_facts_whatever_its_outcome() -> None:
    timed = Timed((1, 2), "host", 1, 3, 0, None, None, True)
    placed = Placement("profile", {"EP": 1}, {}, {})
    told = (
        *TOLD[:-1], timed, Versions({"a": "1"}), Versions({"b": "2"}), Placed(placed), Note("k", "t"),
    )  # fmt: skip
    crash = Ending(None, signal.SIGSEGV)
    launch = fold.fold_launch("measure_0", LaunchKind.MEASURE, told, crash, EXPECTED)
    assert launch.outcome == Crashed(Stage.CLOSE, "SIGSEGV")
    assert (launch.timed, launch.placement, launch.created) == (timed, placed, Created(0.5))
    assert launch.versions == {"a": "1", "b": "2"}
    assert launch.notes == (Note("k", "t"),)


def written(events: tuple[Event, ...], folders: pytest.TempPathFactory) -> bytes:
    path = folders.mktemp("journal") / "journal.jsonl"
    out = journal.Journal(path)
    for event in events:
        out.emit(event)
    out.close()
    text = path.read_bytes()
    path.unlink()
    path.parent.rmdir()
    return text
