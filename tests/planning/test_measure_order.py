"""The order of measure launches: balanced, random by seed, and without the cells that have ended."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from perf.planning import measure_order
from perf.planning.launch import CellState
from perf.request.options import Options, parse
from perf.schema.cell import TensorFile, TestSet
from perf.schema.record import GpuCounters, NotRun
from tests.results import hand_made

CELLS = [r.cell for r in hand_made.two_models()[:4]]


def progress() -> list[CellState]:
    return [CellState(planned=None, cell=c, backend=None) for c in CELLS]  # type: ignore[arg-type]


def order(options: Options, living: list[CellState]) -> list[list[str]]:
    rounds: dict[int, list[str]] = {}
    for number, p in measure_order.balanced_rounds(options, CELLS[0].model.name, living):
        rounds.setdefault(number, []).append(p.cell.id)
    return list(rounds.values())


def test_every_round_measures_every_cell_once() -> None:
    rounds = order(parse(["--launches", "6"]), progress())
    assert len(rounds) == 6
    assert all(Counter(r) == Counter(c.id for c in CELLS) for r in rounds)


@pytest.mark.parametrize("seed", range(5))
def test_each_second_round_reverses_the_one_before(seed: int) -> None:
    rounds = order(parse(["--launches", "6", "--seed", str(seed)]), progress())
    for first, second in zip(rounds[::2], rounds[1::2], strict=True):
        assert second == first[::-1]


def test_the_order_is_the_seeds() -> None:
    assert order(parse(["--seed", "1"]), progress()) == order(parse(["--seed", "1"]), progress())
    orders = {str(order(parse(["--seed", str(s)]), progress())) for s in range(8)}
    assert len(orders) > 1


def test_a_cell_that_ends_on_the_way_is_left_out_and_the_others_go_on() -> None:
    living = progress()
    seen: list[tuple[int, str]] = []
    for number, p in measure_order.balanced_rounds(
        parse(["--launches", "3"]), CELLS[0].model.name, living
    ):
        seen.append((number, p.cell.id))
        if len(seen) == 2:
            p.end(NotRun("enough"))
            ended = p.cell.id
    assert [i for _, i in seen].count(ended) == 1
    assert len(seen) == 3 * len(CELLS) - 2


def test_only_a_launch_that_was_held_back_counts_as_throttled() -> None:
    launch = hand_made.measure(0, [1.0])
    assert not measure_order.was_throttled(launch)
    for share, held in ((None, False), (0.0, False), (0.25, True)):
        counters = GpuCounters(None, None, None, None, None, None, None, None, share)
        assert measure_order.was_throttled(replace(launch, gpu_counters=counters)) is held


def side(large_ms: float) -> CellState:
    """Nine launches of a cell that is fed two shapes in turn; the second takes so long."""
    sets = tuple(
        TestSet(f"set_{rows}", (TensorFile("x", "x.npy", 1, (rows, 4)),)) for rows in (1, 64)
    )
    chance = random.Random(large_ms)
    found = [
        hand_made.measure(
            n, [v * (1 + abs(chance.gauss(0, 0.001))) for v in (0.5, large_ms * (1 + n / 10))] * 20
        )
        for n in range(9)
    ]
    state = CellState(planned=None, cell=replace(CELLS[0], sets=sets), backend=None)  # type: ignore[arg-type]
    state.launches.extend(found)
    return state


def test_an_ab_goes_on_until_every_shape_is_decided() -> None:
    """The small shape is the same on both sides; the large one scatters, which pooled runs would not show."""
    same = measure_order.SidePair(side(5.0), side(5.0))
    assert not same.open
    noisy = side(5.0)
    noisy.launches[:] = [
        hand_made.measure(n, [0.5, 5.0 * (1 + n % 3)] * 20) for n in range(len(noisy.launches))
    ]
    assert measure_order.SidePair(side(5.0), noisy).open
