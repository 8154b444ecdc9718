"""The sequential rule: what it decides, when, and that it is symmetric and stable."""

import math
import random
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perf.stats import sequential_test
from perf.stats.sequential_test import (
    Improved,
    Pair,
    Regressed,
    StoppingRule,
    Unchanged,
    Undecided,
    Unsettled,
    decide,
    estimate_ratio,
)

RULE = StoppingRule()


def launch(base: float, chance: random.Random, slow_quarter: float = 1.0) -> tuple[int, ...]:
    runs = [base * 1e6 * (1 + abs(chance.gauss(0, 0.01))) for _ in range(20)]
    return tuple(round(x * (slow_quarter if i % 4 == 0 else 1)) for i, x in enumerate(runs))


def pairs(
    count: int, ratio: float = 1.0, quarter: float = 1.0, noise: float = 0.01, seed: int = 1
) -> list[Pair]:
    chance = random.Random(seed)
    out: list[Pair] = []
    for _ in range(count):
        drift = 5 * math.exp(chance.gauss(0, 0.05))  # common to both sides of a pair
        a = launch(drift * math.exp(chance.gauss(0, noise)), chance)
        b = launch(drift * ratio * math.exp(chance.gauss(0, noise)), chance, quarter)
        out.append((a, b))
    return out


@pytest.mark.parametrize(
    ("ratio", "quarter", "kind"),
    [
        (1.0, 1.0, Unchanged),
        (1.1, 1.0, Regressed),
        (1 / 1.1, 1.0, Improved),
        (1.0, 1.2, Regressed),
    ],
)
def test_decides_what_was_put_in(ratio: float, quarter: float, kind: type) -> None:
    decision = decide(pairs(60, ratio, quarter), RULE)
    assert type(decision) is kind
    if isinstance(decision, Regressed):
        assert decision.in_tail is (quarter > 1)


SHIFTS = {"slower": 1.15, "faster": 1 / 1.15, "none": 1.0}


@pytest.mark.parametrize("usual", ["slower", "faster", "none", "open"])
@pytest.mark.parametrize("tail", ["slower", "faster", "none", "open"])
def test_both_statistics_together_decide(usual: str, tail: str) -> None:
    """One that moved suffices, where the other does not move the other way; "none" takes both."""

    def runs(low: float, ratio: float) -> tuple[int, ...]:
        return (round(1e9 * low),) * 10 + (round(1e9 * low * ratio),) * 10

    b = runs(SHIFTS.get(usual, 1.025), 1.3 * SHIFTS.get(tail, 1.05))
    decision = decide([(runs(1.0, 1.3), b)] * 5, StoppingRule(confirm=False))
    moved = {usual, tail} & {"slower", "faster"}
    match sorted(moved):
        case ["slower"]:
            assert decision == Regressed(decision.evidence, in_tail=usual != "slower")  # type: ignore[arg-type]
        case ["faster"]:
            assert decision == Improved(decision.evidence, in_tail=usual != "faster")  # type: ignore[arg-type]
        case _:
            assert isinstance(decision, Unchanged if usual == tail == "none" else Undecided)


def test_a_flag_waits_for_fresh_pairs_and_is_unsettled_where_they_do_not_repeat_it() -> None:
    found = pairs(60, 1.1)
    flagged = decide(found, StoppingRule(confirm=False))
    assert isinstance(flagged, Regressed)
    spent = flagged.evidence.pairs_used
    assert isinstance(decide(found[:spent], RULE), Undecided)
    confirmed = decide(found, RULE)
    assert isinstance(confirmed, Regressed)
    assert confirmed.evidence.pairs_used > spent
    contradicted = decide(pairs(7, 1.1) + pairs(60, 1.0, seed=2), RULE)
    assert isinstance(contradicted, Unsettled)
    assert contradicted.contradicted
    assert "not again" in contradicted.why


def test_no_look_before_the_first_and_no_end_without_a_decision() -> None:
    found = pairs(5)
    assert decide(found[:4], RULE) == Undecided(None)
    assert decide([*found[:4], ((), found[4][1])], RULE) == Undecided(None)  # no samples, no pair

    wild, last = (
        pairs(RULE.cap, noise=0.3, seed=3),
        RULE.cap - (RULE.cap - RULE.first_look) % RULE.step,
    )
    assert isinstance(decide(wild, RULE), Unsettled)
    assert isinstance(decide(wild[: last - 1], RULE), Undecided)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.8, 1.25), st.integers(0, 60))
def test_swapping_sides_swaps_the_answer(seed: int, ratio: float, count: int) -> None:
    found = pairs(count, ratio, seed=seed)
    ahead, back = decide(found, RULE), decide([(b, a) for a, b in found], RULE)
    mirrored: dict[type, type] = {Regressed: Improved, Improved: Regressed}
    assert type(back) is mirrored.get(type(ahead), type(ahead))
    if ahead.evidence and back.evidence:
        assert ahead.evidence.p10.log_ratio == pytest.approx(
            -back.evidence.p10.log_ratio, abs=1e-9
        )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.9, 1.1))
def test_a_decision_stands_whatever_follows(seed: int, ratio: float) -> None:
    found = pairs(80, ratio, seed=seed)
    decision = decide(found, RULE)
    if decision.evidence and not isinstance(decision, Undecided):
        assert decide(found[: decision.evidence.pairs_used], RULE) == decision


def test_a_thing_compared_with_itself_is_unchanged_at_the_first_look() -> None:
    found = [(a, a) for a, _ in pairs(5)]
    decision = decide(found, RULE)
    assert isinstance(decision, Unchanged)
    assert decision.evidence.p10.log_ratio == 0.0


def test_a_flag_needs_the_signs_too() -> None:
    """Five pairs of which four lie just beyond the limit: close together, and no proof."""
    beyond, below = (1_000_000,) * 20, (900_000,) * 20
    found: list[Pair] = [*[(beyond, (1_040_000,) * 20)] * 4, (beyond, beyond)]
    assert isinstance(decide(found, StoppingRule(confirm=False)), Undecided)
    assert isinstance(decide(found, StoppingRule(confirm=False, sign=1.0)), Regressed)
    assert isinstance(decide([(beyond, below)] * 5, StoppingRule(confirm=False)), Improved)


def test_the_estimate_is_the_formula_that_its_source_gives() -> None:
    values = [0.01, 0.03, -0.02, 0.05, 0.02]
    mad = 1.4826 * np.median(np.abs(np.array(values) - np.median(values)))
    found = estimate_ratio(values, 0.003)
    assert found.log_ratio == statistics.median(values)
    assert found.error == pytest.approx(1.2533 * mad / math.sqrt(5) * 1.4, rel=1e-4)
    assert estimate_ratio([0.0] * 5, 0.003).error == pytest.approx(
        1.2533 * 0.003 / math.sqrt(5) * 1.4, rel=1e-4
    )


def test_the_slow_end_sees_a_quarter_of_the_runs_and_no_single_spike() -> None:
    assert sequential_test.tail_ratio([1200] * 5 + [1000] * 15) == pytest.approx(1.2)
    assert sequential_test.tail_ratio([50_000] + [1000] * 19) == pytest.approx(1)
    assert sequential_test.tail_ratio([7]) == 1
    assert sequential_test.p10([1200] * 5 + [1000] * 15) == 1000


def test_what_is_all_overhead_is_held_to_a_coarser_threshold() -> None:
    """Runs of 5 us: 6 % between two sides is what two processes' layouts may differ by."""
    tiny = [(tuple(x // 1000 for x in a), tuple(x // 1000 for x in b)) for a, b in pairs(60, 1.06)]
    assert isinstance(decide(pairs(60, 1.06), RULE), Regressed)
    assert isinstance(decide(tiny, RULE), Unchanged)
    assert sequential_test.rule_for(tiny, RULE).threshold == 0.10
    assert sequential_test.rule_for(pairs(5), RULE) == sequential_test.rule_for([], RULE) == RULE
