"""Verdicts without statistics: status, accuracy and placement, in both directions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comparison import exact_verdicts
from comparison.cell_summary import Accuracy, CellSummary, PlacementSummary
from comparison.verdict import Broke, Fixed, Same, Verdict, verdict_name


def cell(outcome: str, detail: str = "") -> CellSummary:
    return CellSummary("m::X", "m", "X", outcome, detail)


OUTCOMES = ("Passed", "Raised", "Crashed", "Skipped", "NotRun", "Pass", "Fail")


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ("Passed", "Passed", "Same"), ("Passed", "Raised", "Broke"), ("Raised", "Passed", "Fixed"),
        ("Raised", "Crashed", "Same"), ("Passed", "Skipped", "Removed"), ("NotRun", "Passed", "Added"),
        ("Skipped", "Raised", "Added"), ("Raised", "NotRun", "Removed"), ("Pass", "Fail", "Broke"),
        ("Fail", "Raised", "Same"), ("Passed", "Pass", "Same"), ("Skipped", "NotRun", "Same"),
    ],
)  # fmt: skip
def test_status(before: str, after: str, verdict: str) -> None:
    assert verdict_name(exact_verdicts.status(cell(before), cell(after))) == verdict


@given(st.sampled_from(OUTCOMES), st.sampled_from(OUTCOMES))
def test_status_swapped_is_mirrored(before: str, after: str) -> None:
    mirrored = {
        "Broke": "Fixed",
        "Fixed": "Broke",
        "Added": "Removed",
        "Removed": "Added",
        "Same": "Same",
    }
    ahead, back = (
        exact_verdicts.status(cell(before), cell(after)),
        exact_verdicts.status(cell(after), cell(before)),
    )
    assert verdict_name(back) == mirrored[verdict_name(ahead)]


def test_a_failure_that_changed_its_kind_is_told() -> None:
    found = exact_verdicts.status(cell("Raised"), cell("Crashed", "run, SIGSEGV"))
    assert found == Same(note="still failing, differently: Raised -> Crashed: run, SIGSEGV")


def mirrored(ahead: Verdict, back: Verdict) -> bool:
    pairs = {(Same, Same), (Broke, Fixed), (Fixed, Broke)}
    return (type(ahead), type(back)) in pairs


norms = st.one_of(st.none(), st.floats(0, 1))


@given(st.floats(0, 1), norms, st.floats(0, 1), norms)
def test_accuracy_swapped_is_mirrored(
    x: float, p: float | None, y: float, q: float | None
) -> None:
    a, b = Accuracy(x, p), Accuracy(y, q)
    assert mirrored(exact_verdicts.accuracy(a, b), exact_verdicts.accuracy(b, a))
    assert isinstance(exact_verdicts.accuracy(a, a), Same)


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (Accuracy(0, 1e-5), Accuracy(0, 1.9e-5), Same),
        (Accuracy(0, 1e-5), Accuracy(0, 2.1e-5), Broke),
        (Accuracy(0, 1e-9), Accuracy(0, 9e-7), Same),  # both below what fp32 can tell
        (Accuracy(0, 1e-5), Accuracy(0.01, 1e-5), Broke),
        (Accuracy(0, 1e-5), Accuracy(0, None, "3 NaN"), Broke),
        (Accuracy(0, None, "3 NaN"), Accuracy(0, 1e-5), Fixed),
    ],
)
def test_accuracy(before: Accuracy, after: Accuracy, kind: type) -> None:
    assert type(exact_verdicts.accuracy(before, after)) is kind


counts = st.integers(0, 50)


@given(counts, counts, counts, counts, counts, counts)
def test_placement_swapped_is_mirrored(a: int, b: int, c: int, d: int, p: int, q: int) -> None:
    x, y = PlacementSummary("X", a, a + b, p), PlacementSummary("X", c, c + d, q)
    assert mirrored(exact_verdicts.placement(x, y), exact_verdicts.placement(y, x))
    assert isinstance(exact_verdicts.placement(x, x), Same)


def test_placement_names_what_moved() -> None:
    found = exact_verdicts.placement(
        PlacementSummary("X", 9, 10, 1), PlacementSummary("X", 5, 10, 1)
    )
    assert found == Broke("9 of 10 -> 5 of 10 nodes on X", 5 / 9)
    jumped = exact_verdicts.placement(
        PlacementSummary("X", 9, 10, 2), PlacementSummary("X", 9, 10, 5)
    )
    assert jumped == Broke("2 -> 5 partitions on X")
    one_more = exact_verdicts.placement(
        PlacementSummary("X", 9, 10, 2), PlacementSummary("X", 9, 10, 3)
    )
    assert one_more == Same()
