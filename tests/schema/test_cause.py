"""Whose fault a mismatch is: the first cause that the facts show, and never one that they do not."""

from dataclasses import replace

import pytest

from perf.schema.cause import Findings, cause_of, find_cause, name_late_cause
from perf.schema.journal import Compared

WRONG = Compared("s", "y", "", 3, 10, max_abs=0.5, reference_noise=1e-7, beyond_noise=3)
BARE = Findings(WRONG)
LOOKED = replace(
    BARE, reference_disagrees=False, reproducible=True, levels={"disable": False, "basic": False}
)

CASES = [
    (LOOKED, "the EP", "it fails at -g disable and basic too"),
    (BARE, "not diagnosed", "nothing could be tried"),
    (replace(LOOKED, reference_disagrees=True), "stored data", "the unoptimised CPU EP disagrees with it too"),
    (replace(LOOKED, reference_disagrees=True, by_position=True), "pairing", "taken by position"),
    (replace(LOOKED, swapped_with="z"), "pairing", "it equals the reference of 'z'"),
    (replace(LOOKED, swapped_with="z", by_position=True), "pairing", "taken by position"),
    (replace(LOOKED, reproducible=False), "chance", "other values on equal inputs"),
    (replace(LOOKED, levels={"disable": True}), "optimiser", "it passes at -g disable"),
    (replace(LOOKED, levels={"disable": False, "basic": True}), "optimiser", "it passes at -g basic"),
    (replace(LOOKED, flushed=0.4), "subnormals", "flushing them to zero"),
    (replace(LOOKED, flushed=0.1), "the EP", ""),
    (
        replace(LOOKED, flush_breaks=True, compared=replace(WRONG, problem="3 elements are NaN", max_abs=None)),
        "subnormals", "",
    ),
    (replace(LOOKED, reduced="fp16", overflows="Exp 'e' (fp16)"), "overflow in half precision", "Exp 'e'"),
    (replace(LOOKED, reduced="fp16", overflows=""), "the EP", "fp16 does not overflow"),
    (
        replace(LOOKED, compared=replace(WRONG, mismatched=3, subnormal=3)),
        "subnormals", "too small for a normal number",
    ),
    (replace(LOOKED, compared=replace(WRONG, subnormal=2)), "the EP", ""),
    (
        replace(LOOKED, compared=replace(WRONG, beyond_noise=0, reference_noise=0.02)),
        "ill-conditioned", "moves the reference itself by 2 % of the output's scale",
    ),
    (
        replace(LOOKED, reduced="fp16", compared=replace(WRONG, problem="2 elements are infinite, expected 0")),
        "overflow in half precision", "not finite",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("found", "cause", "says"), CASES)
def test_the_sentence_names_the_first_cause_that_the_facts_show(
    found: Findings, cause: str, says: str
) -> None:
    sentence = find_cause(found)
    assert cause_of(sentence) == cause
    assert says in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("mine", "theirs", "says"),
    [
        (0.05, 1e-7, "fp64 makes the target the outlier (target off by 5 % of the scale"),
        (1e-7, 0.05, "fp64 makes the reference the outlier"),
        (0.05, 0.04, "fp64 makes neither the outlier"),
        (None, 1e-7, "fp64 makes the target the outlier (not finite"),
    ],
)
def test_fp64_says_which_side_is_the_outlier(mine: float | None, theirs: float, says: str) -> None:
    compared = replace(WRONG, from_fp64=mine, reference_from_fp64=theirs)
    assert says in find_cause(replace(LOOKED, compared=compared))


def test_what_was_not_tried_is_named() -> None:
    assert find_cause(replace(LOOKED, not_tried=("a", "b"))).endswith("; not tried: a, b")
    assert "no fp64 result (none: it takes more than 10 s)" in find_cause(
        replace(LOOKED, fp64="none: it takes more than 10 s")
    )
    assert cause_of(name_late_cause(right_at_first=True, command="x")) == "later runs"
    assert "`x` tries" in name_late_cause(right_at_first=False, command="x")


@pytest.mark.parametrize(
    ("share", "told"), [(9e-8, "9e-06 %"), (0.0049, "0.49 %"), (0.12, "12 %"), (1.99, "199 %")]
)
def test_how_far_an_output_is_off_reads_as_a_percentage(share: float, told: str) -> None:
    compared = replace(WRONG, from_fp64=share, reference_from_fp64=1e-9)
    assert f"(target off by {told} of the scale" in find_cause(Findings(compared))
