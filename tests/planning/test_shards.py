"""Shards of a plan: every model in one, the same on every host, balanced where costs are known."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perf.planning.shards import Shard, assign_models, parse_shard
from perf.request.options import BadRequestError, parse

NAMES = st.lists(st.text(min_size=1, max_size=8), max_size=40, unique=True)
COUNTS = st.integers(1, 12)
COSTS = st.none() | st.dictionaries(
    st.text(min_size=1, max_size=8), st.floats(0, 1e6), max_size=40
)


@given(NAMES, COUNTS, COSTS)
def test_every_model_is_in_one_shard_and_keeps_its_order(
    names: list[str], count: int, costs_s: dict[str, float] | None
) -> None:
    shards = assign_models(names, count, costs_s)
    assert len(shards) == count
    assert sorted(n for s in shards for n in s) == sorted(names)
    for shard in shards:
        assert list(shard) == [n for n in names if n in shard]


@given(NAMES, COUNTS, COSTS, st.randoms(use_true_random=False))
def test_hosts_that_list_models_and_costs_in_another_order_agree(
    names: list[str], count: int, costs_s: dict[str, float] | None, rng: random.Random
) -> None:
    shuffled = rng.sample(names, len(names))
    other = None if costs_s is None else dict(rng.sample(list(costs_s.items()), len(costs_s)))
    here, there = assign_models(names, count, costs_s), assign_models(shuffled, count, other)
    assert list(map(set, here)) == list(map(set, there))


@given(NAMES, COUNTS)
def test_without_costs_a_model_more_moves_no_other(names: list[str], count: int) -> None:
    before, after = assign_models(names[1:], count), assign_models(names, count)
    assert all(set(a) <= set(b) for a, b in zip(before, after, strict=True))


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=60), COUNTS)
def test_costs_balance_within_grahams_bound(costs: list[float], count: int) -> None:
    known = {f"m{i}": c for i, c in enumerate(costs)}
    loads = [sum(known[n] for n in s) for s in assign_models(tuple(known), count, known)]
    mean, largest = sum(costs) / count, max(costs)
    assert max(loads) <= mean + largest * (1 - 1 / count) + 1e-6


def test_the_hash_is_the_same_in_every_version_of_the_harness() -> None:
    names = ("squeezenet", "resnet50", "encoder", "détecteur")
    assert assign_models(names, 3) == (("encoder", "détecteur"), (), ("squeezenet", "resnet50"))


def test_a_model_without_a_known_cost_counts_as_the_median_one() -> None:
    costs_s = {"a": 9.0, "b": 5.0, "c": 1.0}
    assert assign_models(("a", "b", "c", "new"), 2, costs_s) == (("a", "c"), ("b", "new"))


def test_a_shard_is_read_as_it_is_written() -> None:
    assert parse_shard(parse(["--shard", "02/8"]).shard) == Shard(2, 8)
    assert parse([]).shard == ""


@pytest.mark.parametrize(
    "given_shard", ["0/2", "3/2", "1", "1/0", "-1/2", "a/b", "1/2/3", "1.5/2"]
)
def test_a_shard_out_of_range_is_one_line(given_shard: str) -> None:
    with pytest.raises(BadRequestError, match=f"--shard {given_shard}: use I/N with I in 1…N"):
        parse([f"--shard={given_shard}"])


def test_a_shard_of_a_rerun_is_refused() -> None:
    with pytest.raises(BadRequestError, match="leave out one"):
        parse(["--shard", "1/2", "--rerun", "failed"])
