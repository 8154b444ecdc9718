"""Verdicts without statistics: status, accuracy and placement, in both directions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comparison.cell_summary import Accuracy, CellSummary, PlacementSummary
from comparison.exact_verdicts import compare_accuracy, compare_placement, compare_status
from comparison.verdict import Broke, Fixed, Same, Verdict, verdict_name

OUTCOMES = ("Passed", "Raised", "Crashed", "Skipped", "NotRun", "Pass", "Fail")
MIRRORED = {
    "Broke": "Fixed",
    "Fixed": "Broke",
    "Added": "Removed",
    "Removed": "Added",
    "Same": "Same",
}


def cell(outcome: str, detail: str = "") -> CellSummary:
    return CellSummary("m::X", "m", "X", outcome, detail)


def placed(on_provider: int, total: int, partitions: int) -> PlacementSummary:
    return PlacementSummary("X", on_provider, total, partitions)


def are_mirrored(ahead: Verdict, back: Verdict) -> bool:
    return MIRRORED[verdict_name(ahead)] == verdict_name(back)


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
    assert verdict_name(compare_status(cell(before), cell(after))) == verdict


@given(*[st.sampled_from(OUTCOMES)] * 2)
def test_status_swapped_is_mirrored(before: str, after: str) -> None:
    a, b = cell(before), cell(after)
    assert are_mirrored(compare_status(a, b), compare_status(b, a))


def test_a_failure_that_changed_its_kind_is_told() -> None:
    found = compare_status(cell("Raised"), cell("Crashed", "run, SIGSEGV"))
    assert found == Same(note="still failing, differently: Raised -> Crashed: run, SIGSEGV")


accuracies = st.builds(Accuracy, st.floats(0, 1), st.none() | st.floats(0, 1))


@given(accuracies, accuracies)
def test_accuracy_swapped_is_mirrored(a: Accuracy, b: Accuracy) -> None:
    assert are_mirrored(compare_accuracy(a, b), compare_accuracy(b, a))
    assert isinstance(compare_accuracy(a, a), Same)


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
    assert type(compare_accuracy(before, after)) is kind


placements = st.builds(
    lambda on, off, parts: placed(on, on + off, parts), *[st.integers(0, 50)] * 3
)


@given(placements, placements)
def test_placement_swapped_is_mirrored(a: PlacementSummary, b: PlacementSummary) -> None:
    assert are_mirrored(compare_placement(a, b), compare_placement(b, a))
    assert isinstance(compare_placement(a, a), Same)


def test_placement_names_what_moved() -> None:
    moved = compare_placement(placed(9, 10, 1), placed(5, 10, 1))
    assert moved == Broke("9 of 10 -> 5 of 10 nodes on X")
    jumped = compare_placement(placed(9, 10, 2), placed(9, 10, 5))
    assert jumped == Broke("2 -> 5 partitions on X")
    assert compare_placement(placed(9, 10, 2), placed(9, 10, 3)) == Same()
