"""What a trial of lanes says of a long launch's runs, by what went on on the other devices meanwhile."""

import random
import re
from dataclasses import replace

import pytest

from perf.execution.lanes import FEWEST, LaneTrial, Round, runs_between
from perf.schema.journal import Timed
from perf.schema.record import Ending, Launch, LaunchKind, Passed

BEGUN_S, STEP_S = 100.0, 1.0  # of a round: a gap of 0.3 s, a start of 0.4 s, runs of 0.3 s
STARTS, RUNS = "device=0 while another starts", "device=0 while another runs"


def other(number: int, *, runs: tuple[float, float] = (0.7, 1.0)) -> Launch:
    """A launch on another device, in round `number`."""
    at_s = BEGUN_S + number * STEP_S
    timed = replace(timed_of(1), begun_s=at_s + runs[0], ended_s=at_s + runs[1])
    ending = Ending(status=0, signal=None, wall_s=0.7)
    return Launch("m", LaunchKind.MEASURE, Passed(), ending, began_s=at_s + 0.3, timed=timed)


def timed_of(*samples_ns: int) -> Timed:
    return Timed(samples_ns, "host", 1, 0, 0, 0, 0, True)


def long_launch(rounds: int, starts: float, runs: float, noise: float) -> Timed:
    """Runs of some 0.5 ms, that take so many times as long while another launch starts or runs."""
    chance, samples, at_s = random.Random(7), [], 0.0
    while at_s < rounds * STEP_S:
        phase = at_s % STEP_S
        factor = 1.0 if phase < 0.3 else starts if phase < 0.7 else runs
        level = 1 + noise * random.Random(f"{int(at_s)} {phase >= 0.3}").gauss(0, 1)
        samples.append(round(500_000 * factor * level * (1 + abs(chance.gauss(0, 0.01)))))
        at_s += samples[-1] / 1e9
    return replace(timed_of(*samples), begun_s=BEGUN_S, ended_s=BEGUN_S + at_s)


def trial(
    rounds: int = 9, starts: float = 1.0, runs: float = 1.0, noise: float = 0.0
) -> LaneTrial:
    found = LaneTrial()
    beside = [Round([other(n)]) for n in range(-1, rounds)]
    found.add("device=0", long_launch(rounds, starts, runs, noise), beside)
    return found


def test_devices_that_do_nothing_to_each_other_have_no_effect() -> None:
    found = trial()
    assert {what: len(pairs) for what, pairs in found.pairs.items()} == {STARTS: 9, RUNS: 9}
    assert found.has_no_effect, str(found)


@pytest.mark.parametrize(("starts", "runs"), [(1.08, 1.0), (1.0, 1.08), (1.0, 0.92)])
def test_whatever_others_do_is_an_effect_if_it_shows(starts: float, runs: float) -> None:
    found = trial(starts=starts, runs=runs)
    assert not found.has_no_effect
    effect = re.search(r"([+-][1-9]\.\d) ± ", str(found))
    assert effect
    assert float(effect[1]) == pytest.approx(100 * (starts * runs - 1), abs=0.7)


def test_too_few_rounds_are_no_proof() -> None:
    found = trial(rounds=4)
    assert len(found.pairs[RUNS]) == 4
    assert not found.has_no_effect
    assert "not known to 2.5 %: too few pairs" in str(found)


def test_noise_is_no_proof() -> None:
    found = trial(noise=0.1)
    assert not found.has_no_effect
    assert "not known to 2.5 %: " in str(found)


def test_without_pairs_there_is_no_proof() -> None:
    assert not LaneTrial().has_no_effect
    assert str(LaneTrial()) == "no launch of it was seen beside another"


def test_a_round_before_the_long_launchs_runs_says_nothing() -> None:
    found = LaneTrial()
    early = [Round([other(n)]) for n in (-9, -8, -7)]
    found.add("device=0", long_launch(2, 1.0, 1.0, 0.0), early)
    assert found.pairs == {STARTS: [], RUNS: []}
    assert not found.has_no_effect


def test_launches_of_a_round_that_were_not_timed_at_one_time_are_no_pair_of_runs() -> None:
    found = LaneTrial()
    apart = [Round([other(n), other(n, runs=(1.1, 1.2))]) for n in range(-1, 5)]
    found.add("device=0", long_launch(6, 1.0, 1.0, 0.0), apart)
    assert found.pairs[RUNS] == []


def test_runs_lie_where_they_were_in_time_and_what_is_cut_is_left_out() -> None:
    timed = replace(timed_of(*[10_000_000] * 100), begun_s=50.0, ended_s=51.0)
    assert len(runs_between(timed, 50.0, 51.0)) == 100
    assert len(runs_between(timed, 50.095, 50.205)) == 10 == FEWEST
    assert runs_between(timed, 40.0, 50.0) == []
