"""Steps of E-divisive: planted ones are found, noise alone has none, and the bars of both are measured."""

import random

from benchmarks.change_orders import draw_strengths
from perf.stats.change_points import ORDERS, find_split, find_steps

RUNS, SERIES = 40, 300


def series(seed: int, *steps: tuple[int, float]) -> list[float]:
    """Noise of deviation 1, right-skewed now and then as timings are, with steps at their indices."""
    chance = random.Random(seed)
    return [
        chance.gauss(0, 1)
        + (chance.expovariate(1.0) if chance.random() < 0.05 else 0.0)
        + sum(size for at, size in steps if i >= at)
        for i in range(RUNS)
    ]


def test_the_split_is_where_the_means_part() -> None:
    assert find_split([1.0] * 10 + [2.0] * 6)[0] == 10
    assert find_split([1.0] * 7) == (0, 0.0)


def test_a_flat_series_has_no_step_and_neither_has_a_short_one() -> None:
    assert find_steps([3.0] * 50) == ()
    assert find_steps([1.0, 2.0, 1.0]) == ()
    assert find_steps([]) == ()


def test_a_step_and_the_way_back_are_both_found() -> None:
    made = series(3, (12, 6.0), (26, -6.0))
    assert find_steps(made) == (12, 26)
    assert find_steps(made) == find_steps(made)


def test_a_stretch_of_slow_runs_is_two_steps_also_where_no_single_split_is() -> None:
    made = series(11, (18, 4.0), (26, -4.0))
    assert find_split(made)[0] not in (18, 26)
    assert find_steps(made) == (18, 26)


def test_where_values_come_again_there_is_no_step_but_where_they_change() -> None:
    assert find_steps([1.0, 2.0] * 20) == ()
    assert find_steps([1.0, 2.0] * 10 + [3.0, 4.0] * 10) == (20,)


def test_no_outlier_hides_a_step_or_makes_one() -> None:
    steady, stepped = series(7), series(9, (20, 3.0))
    steady[13] = stepped[13] = 1e9
    assert find_steps(steady) == ()
    assert find_steps(stepped) == (20,)


def test_planted_steps_of_twice_the_noise_are_found() -> None:
    """The bar is 95 % of them; benchmarks/change_points.py measures it on thousands of other series."""
    found = 0
    for seed in range(SERIES):
        at = 8 + seed % 25
        steps = find_steps(series(seed, (at, 2.0)))
        found += any(abs(s - at) <= 5 for s in steps)
    print(f"steps of 2 x noise in histories of {RUNS}: {found} of {SERIES} found")
    assert found >= 0.95 * SERIES


def test_noise_alone_is_seldom_split() -> None:
    false = sum(len(find_steps(series(1000 + seed))) for seed in range(SERIES))
    print(f"{false} false steps in {SERIES * RUNS} points")
    assert false <= SERIES * RUNS / 1000


def test_the_table_of_orders_is_what_orders_drawn_anew_reach() -> None:
    for known in (o for o in ORDERS if o.values in (12, 28)):
        splits, arcs = draw_strengths(known.values, 4000, seed=7)
        for drawn, common, seldom in (
            (splits, known.split_20, known.split_200),
            (arcs, known.arc_20, known.arc_200),
        ):
            assert 0.03 < (drawn > common - 0.01).mean() < 0.08
            assert 0.001 < (drawn > seldom - 0.01).mean() < 0.011
