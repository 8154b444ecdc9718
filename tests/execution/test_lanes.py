"""What a trial of lanes says of the pairs of launches that it was given."""

import random
from collections.abc import Sequence

import pytest

from perf.execution.lanes import LaneTrial, was_beside
from perf.schema.journal import Timed


def launch(chance: random.Random, factor: float = 1.0, spread: float = 0.002) -> Sequence[int]:
    level = 500_000 * factor * (1 + chance.gauss(0, spread))
    return [round(level * (1 + abs(chance.gauss(0, 0.01)))) for _ in range(200)]


def trial(pairs: int, *factors: float, spread: float = 0.002) -> LaneTrial:
    """Two devices, on which launches beside the other take so many times as long."""
    chance, found = random.Random(5), LaneTrial()
    for _ in range(pairs):
        for number, factor in enumerate(factors):
            one, other = launch(chance, 1, spread), launch(chance, factor, spread)
            found.add(f"device={number}", (one, other))
    return found


def test_devices_that_do_nothing_to_each_other_have_no_effect() -> None:
    found = trial(5, 1.0, 1.0)
    assert (found.has_no_effect, found.is_open) == (True, False)


@pytest.mark.parametrize("factors", [(1.10, 1.0), (1.0, 1.10), (0.90, 1.0)])
def test_one_device_that_is_slowed_settles_it(factors: tuple[float, float]) -> None:
    found = trial(5, *factors)
    assert (found.has_no_effect, found.is_open) == (False, False)


def test_before_five_pairs_nothing_is_known() -> None:
    found = trial(4, 1.0, 1.0)
    assert (found.has_no_effect, found.is_open) == (False, True)


def test_launches_too_noisy_to_rule_an_effect_out_are_no_proof_however_many() -> None:
    assert trial(9, 1.0, 1.0, spread=0.2).is_open
    found = trial(15, 1.0, 1.0, spread=0.2)
    assert (found.has_no_effect, found.is_open) == (False, False)
    assert "not known to 2.5 %: " in str(found)


def test_without_pairs_there_is_no_proof() -> None:
    assert (LaneTrial().has_no_effect, str(LaneTrial())) == (False, "no launch of it passed")


@pytest.mark.parametrize(
    ("other", "beside"),
    [((10.0, 11.0), True), ((10.4, 12.0), True), ((10.6, 12.0), False), ((11.0, 12.0), False), ((3.0, 4.0), False)],
)  # fmt: skip
def test_a_launch_was_beside_another_for_most_of_its_time(
    other: tuple[float, float], beside: bool
) -> None:
    mine, theirs = (
        Timed((1,), "host", 1, 0, 0, 0, 0, True, begun_s=a, ended_s=b)
        for a, b in ((10.0, 11.0), other)
    )
    assert was_beside(mine, [theirs]) is beside
