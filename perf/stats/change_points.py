"""Steps in a series, by E-divisive: the split that two distributions explain best, believed by permutations.

Matteson & James, "A nonparametric approach for multiple change point analysis of multivariate data", J. Am.
Stat. Assoc. 109 (2014), with exponent 1. A segment is first split as a whole, which finds late steps best,
and then with any end of what follows, which finds a way there and back.
"""

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

SHORTEST = 4  # points of a segment: fewer tell nothing of a distribution
PERMUTATIONS = 199
RISK = 0.025  # that either search splits a segment without a step
Split: TypeAlias = tuple[int, float]  # where the second part begins, and how far the two are apart


def find_steps(values: Sequence[float], *, risk: float = RISK, seed: int = 0) -> tuple[int, ...]:
    """Where a new distribution begins, as ascending indices; the same for the same values."""
    chance = random.Random(seed)
    cuts, done = [0, len(values)], set[tuple[int, int]]()
    while fresh := [s for s in pairwise(sorted(cuts)) if s not in done]:
        for begin, end in fresh:
            done.add((begin, end))
            if at := _find_believed(values[begin:end], risk, chance):
                cuts.append(begin + at)
    return tuple(sorted(cuts)[1:-1])


def find_split(values: Sequence[float], *, any_end: bool = False) -> Split:
    """The split with the largest scaled energy distance; (0, 0) where there is none.

    `any_end`: what follows may end before the last point.
    """
    n, best = len(values), (0, 0.0)
    if n < 2 * SHORTEST:
        return best
    sums = _sum_distances(values)
    for m in range(SHORTEST, n - SHORTEST + 1):
        row, left = sums[m], sums[m][m]
        for end in range(m + SHORTEST, n + 1) if any_end else (n,):
            k, across = end - m, row[end] - left
            right = sums[end][end] - left - 2 * across
            apart = 2 * across / (m * k) - left / (m * (m - 1)) - right / (k * (k - 1))
            if (scaled := apart * m * k / (m + k)) > best[1]:
                best = m, scaled
    return best


def _find_believed(values: Sequence[float], risk: float, chance: random.Random) -> int:
    """Where a segment splits more strongly than all but a few orders of its values would; 0 for nowhere."""
    allowed = int(risk * (PERMUTATIONS + 1)) - 1
    for any_end in (False, True):
        at, strength = find_split(values, any_end=any_end)
        shuffled, stronger = list(values), 0
        for _ in range(PERMUTATIONS if at else 0):
            chance.shuffle(shuffled)
            stronger += find_split(shuffled, any_end=any_end)[1] >= strength
            if stronger > allowed:
                break
        if at and stronger <= allowed:
            return at
    return 0


def _sum_distances(values: Sequence[float]) -> list[list[float]]:
    """At [i][j], the distances between each of the first i and each of the first j values, summed."""
    out = [[0.0] * (len(values) + 1)]
    for x in values:
        row, along, above = [0.0], 0.0, out[-1]
        for j, y in enumerate(values, 1):
            along += abs(x - y)
            row.append(above[j] + along)
        out.append(row)
    return out
