"""Which shard of a plan has which models: by a stable hash, or balanced by what each model last cost."""

import hashlib
import heapq
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Shard:
    """One part of a plan: `number` of `count`, from 1."""

    number: int
    count: int


def parse_shard(text: str) -> Shard:
    """`3/8`; the flag has refused what is none."""
    number, _, count = text.partition("/")
    return Shard(int(number), int(count))


def assign_models(
    names: Sequence[str], count: int, costs_s: Mapping[str, float] | None = None
) -> tuple[tuple[str, ...], ...]:
    """The models of each of `count` shards, in the order given; the same on every host.

    Without costs a model's shard depends on its name alone, so that a model more or less in the list moves
    no other. With costs the longest goes first to the shard that has least to do (Graham, "Bounds on
    Multiprocessing Timing Anomalies", SIAM J. Appl. Math. 17 (1969) 416-429: at most 4/3 of the best); ties
    go by name and by number. A model whose cost is not known counts as the median one.
    """
    shard = _by_hash(names, count) if costs_s is None else _by_cost(names, count, costs_s)
    out: list[list[str]] = [[] for _ in range(count)]
    for name in names:
        out[shard[name]].append(name)
    return tuple(map(tuple, out))


def _by_hash(names: Sequence[str], count: int) -> dict[str, int]:
    return {
        name: int.from_bytes(
            hashlib.sha256(name.encode(errors="surrogateescape")).digest()[:8], "big"
        )
        % count
        for name in names
    }


def _by_cost(names: Sequence[str], count: int, costs_s: Mapping[str, float]) -> dict[str, int]:
    known = [costs_s[n] for n in names if n in costs_s]
    middle = statistics.median(known) if known else 1.0
    longest_first = sorted(names, key=lambda n: (-costs_s.get(n, middle), n))
    loads = [(0.0, number) for number in range(count)]  # a heap already
    out = {}
    for name in longest_first:
        load, number = heapq.heappop(loads)
        out[name] = number
        heapq.heappush(loads, (load + costs_s.get(name, middle), number))
    return out
