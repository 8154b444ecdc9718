"""The order of measure launches: balanced, random by seed, and without the cells that have ended."""

from collections import Counter
from dataclasses import replace

import pytest

from perf.planning import measure_order
from perf.planning.launch import CellState
from perf.request.options import Options, parse
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
