"""Steps in a series by E-divisive on ranks: how strongly any order of as many values splits is known.

Matteson & James, "A nonparametric approach for multiple change point analysis of multivariate data", J. Am.
Stat. Assoc. 109 (2014), with exponent 1, of normal scores. Of scores the permutation distribution depends on
their number alone: it was drawn once (`python -m benchmarks.change_orders`) and stands in a table.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import TypeAlias

SHORTEST = 4  # points of a segment: fewer tell nothing of a distribution
RISK_PER_POINT = (
    0.0007  # of a false step: one in 1,000 points is what users may meet, with what it entails
)
LEAST_RISK, MOST_RISK = (
    0.02,
    0.028,
)  # of a whole history: a young one could show nothing, a long one too much
ARCS_SHARE = 0.05  # of the risk, for the search that an arc is two steps of; splits have the rest
Split: TypeAlias = tuple[int, float]  # where the second part begins, and how far the two are apart


@dataclass(frozen=True)
class Strengths:
    """What one order in 20, and one in 200, of so many values reaches by its strongest split and arc.

    0 for arcs where there is no room for one.
    """

    values: int
    split_20: float
    split_200: float
    arc_20: float
    arc_200: float


ORDERS = (
    Strengths(8, 1.94, 3.01, 0.0, 0.0),
    Strengths(9, 2.46, 3.44, 0.0, 0.0),
    Strengths(10, 2.36, 3.93, 0.0, 0.0),
    Strengths(11, 2.64, 4.36, 0.0, 0.0),
    Strengths(12, 2.90, 4.75, 1.81, 3.63),
    Strengths(13, 2.98, 4.73, 2.68, 4.73),
    Strengths(14, 3.24, 5.03, 3.09, 4.98),
    Strengths(16, 3.28, 5.43, 3.78, 5.43),
    Strengths(18, 3.49, 5.41, 4.19, 5.90),
    Strengths(20, 3.59, 5.62, 4.54, 6.33),
    Strengths(24, 3.80, 6.04, 5.11, 7.00),
    Strengths(28, 3.96, 6.21, 5.50, 7.50),
    Strengths(32, 4.08, 6.36, 5.82, 7.89),
    Strengths(40, 4.27, 6.61, 6.27, 8.48),
    Strengths(50, 4.44, 6.96, 6.75, 9.15),
    Strengths(60, 4.57, 7.02, 7.08, 9.44),
    Strengths(80, 4.76, 7.34, 7.57, 10.14),
    Strengths(100, 4.92, 7.51, 7.94, 10.50),
    Strengths(140, 5.03, 7.71, 8.45, 11.09),
    Strengths(200, 5.22, 7.85, 8.98, 11.62),
)


def find_steps(values: Sequence[float]) -> tuple[int, ...]:
    """Where a new distribution begins, as ascending indices."""
    n = len(values)
    if n < 2 * SHORTEST:
        return ()
    risk = min(max(RISK_PER_POINT * n, LEAST_RISK), MOST_RISK)
    cuts, left = [0, n], [(0, n)]
    while left:
        begin, end = left.pop()
        found = [begin + i for i in _find_believed(values[begin:end], risk * (end - begin) / n)]
        cuts += found
        left += pairwise([begin, *found, end]) if found else ()
    return _place(values, sorted(cuts))


def find_split(values: Sequence[float]) -> Split:
    """The split with the largest scaled energy distance; (0, 0) where there is none."""
    return _split(_sum_distances(values))


def normal_scores(values: Sequence[float]) -> list[float]:
    """What values of these ranks would be in a normal sample; equal values get their scores' mean."""
    normal, n = NormalDist(), len(values)
    ordered = sorted(values)
    scores = [normal.inv_cdf((rank + 0.625) / (n + 0.25)) for rank in range(n)]
    of_value: dict[float, float] = {}
    for value in dict.fromkeys(ordered):
        begin = bisect_right(ordered, value) - ordered.count(value)
        same = scores[begin : begin + ordered.count(value)]
        of_value[value] = math.fsum(same) / len(same)
    return [of_value[v] for v in values]


def _find_believed(values: Sequence[float], risk: float) -> tuple[int, ...]:
    """The one or two cuts that but few orders of the same values would give as strongly."""
    if len(values) < 2 * SHORTEST:
        return ()
    sums = _sum_distances(normal_scores(values))
    at, strength = _split(sums)
    if strength > _strength_at(len(values), risk * (1 - ARCS_SHARE)):
        return (at,)
    begin, end, strength = _arc(sums)
    # Two steps at once: half as often, and so as many.
    if strength > _strength_at(len(values), risk * ARCS_SHARE / 2, arc=True):
        return begin, end
    return ()


def _strength_at(n: int, risk: float, *, arc: bool = False) -> float:
    """What the strongest split, or arc, of `n` values in any order reaches at this risk."""
    i = min(max(bisect_right(ORDERS, n, key=lambda o: o.values), 1), len(ORDERS) - 1)
    below, above = ORDERS[i - 1], ORDERS[i]
    share = min(max((n - below.values) / (above.values - below.values), 0.0), 1.0)
    tail = (math.log(1 / risk) - math.log(20)) / math.log(
        10
    )  # exponential: a decade adds the same

    def reach(o: Strengths) -> float:
        common, seldom = (o.arc_20, o.arc_200) if arc else (o.split_20, o.split_200)
        return common + tail * (seldom - common)

    return reach(below) * (1 - share) + reach(above) * share


def _place(values: Sequence[float], cuts: Sequence[int]) -> tuple[int, ...]:
    """The cuts where the values themselves part most: ranks tell that there is a step better than where."""
    placed = list(cuts)
    for i in range(1, len(placed) - 1):
        begin = placed[i - 1]
        placed[i] = begin + find_split(values[begin : placed[i + 1]])[0]
    return tuple(placed[1:-1])


def _split(sums: Sequence[Sequence[float]]) -> Split:
    n, best = len(sums) - 1, (0, 0.0)
    for m in range(SHORTEST, n - SHORTEST + 1):
        left, across = sums[m][m], sums[m][n] - sums[m][m]
        scaled = _scale(left, across, sums[n][n] - left - 2 * across, m, n - m)
        if scaled > best[1]:
            best = m, scaled
    return best


def _arc(sums: Sequence[Sequence[float]]) -> tuple[int, int, float]:
    n, best = len(sums) - 1, (0, 0, 0.0)
    for a in range(SHORTEST, n - 2 * SHORTEST + 1):
        row, whole, before = sums[a], sums[a][n], sums[a][a]
        for b in range(a + SHORTEST, n - SHORTEST + 1):
            inside = sums[b][b] - 2 * row[b] + before
            across = sums[b][n] - whole - inside
            outside = sums[n][n] - 2 * across - inside
            scaled = _scale(inside, across, outside, b - a, n - b + a)
            if scaled > best[2]:
                best = a, b, scaled
    return best


def _scale(first: float, across: float, second: float, m: int, k: int) -> float:
    """The energy distance of two parts of `m` and `k` values, by the distances in and between them."""
    apart = 2 * across / (m * k) - first / (m * (m - 1)) - second / (k * (k - 1))
    return apart * m * k / (m + k)


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
