"""Every outcome has its words."""

from typing import get_args

import pytest

from perf.schema import outcomes
from perf.schema.record import Outcome
from tests.results import hand_made as made


def test_the_hand_made_outcomes_are_all_there_are() -> None:
    assert {type(o) for o in made.EVERY_OUTCOME} == set(get_args(Outcome))


@pytest.mark.parametrize(("outcome", "words"), made.EVERY_OUTCOME.items())
def test_an_outcome_is_worded(outcome: Outcome, words: tuple[str, str, str, str]) -> None:
    told = (
        outcomes.status(outcome),
        outcomes.error_type(outcome),
        outcomes.exact(outcome),
        outcomes.stage(outcome),
    )
    assert told == words
    assert outcomes.status(outcome) in ("Pass", "Fail", "Skipped", "NotRun")
    assert outcomes.exact(outcome).startswith(outcomes.name(outcome))
    assert bool(outcomes.detail(outcome)) == (outcome != made.PASSED)
