"""How strongly the scores of so many values split in orders drawn at random: perf.stats.change_points' table.

    python -m benchmarks.change_orders [--values N…] [--orders N]

Prints the lines of ORDERS. Minutes for all of them.
"""

import argparse

import numpy as np
from numpy.typing import NDArray

from perf.stats.change_points import SHORTEST, normal_scores

VALUES = (8, 9, 10, 11, 12, 13, 14, 16, 18, 20, 24, 28, 32, 40, 50, 60, 80, 100, 140, 200)
DRAWN = 100_000
AT_ONCE = 2_000_000  # distances held in memory
SEED = 20
Numbers = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--values", type=int, nargs="+", default=VALUES)
    parser.add_argument("--orders", type=int, default=DRAWN)
    given = parser.parse_args()
    for n in given.values:
        splits, arcs = draw_strengths(n, given.orders)
        figures = (*np.quantile(splits, (0.95, 0.995)), *np.quantile(arcs, (0.95, 0.995)))
        print(f"    Strengths({n}, {', '.join(f'{f:.2f}' for f in figures)}),", flush=True)


def draw_strengths(n: int, orders: int, seed: int = SEED) -> tuple[Numbers, Numbers]:
    """The strongest split and the strongest arc of each order; 0 for arcs where n leaves no room."""
    chance = np.random.default_rng(seed + n)
    scores = np.array(normal_scores(range(n)))
    splits, arcs = [], []
    for done in range(0, orders, size := max(AT_ONCE // n**2, 1)):
        drawn = scores[np.argsort(chance.random((min(size, orders - done), n)), axis=1)]
        sums = np.zeros((len(drawn), n + 1, n + 1))
        sums[:, 1:, 1:] = np.abs(drawn[:, :, None] - drawn[:, None, :]).cumsum(1).cumsum(2)
        splits.append(_split(sums, n))
        arcs += [_arc(part, n) for part in np.array_split(sums, max(len(sums) // 100, 1))]
    return np.concatenate(splits), np.concatenate(arcs)


def _split(sums: Numbers, n: int) -> Numbers:
    m = np.arange(SHORTEST, n - SHORTEST + 1)
    left, across = sums[:, m, m], sums[:, m, n] - sums[:, m, m]
    right = sums[:, n, n][:, None] - left - 2 * across
    return _strongest(left, across, right, m, n - m)


def _arc(sums: Numbers, n: int) -> Numbers:
    a, b = np.triu_indices(n + 1, SHORTEST)
    inner = (a >= SHORTEST) & (b <= n - SHORTEST)
    a, b = a[inner], b[inner]
    if not len(a):
        return np.zeros(len(sums))
    inside = sums[:, b, b] - 2 * sums[:, a, b] + sums[:, a, a]
    across = sums[:, b, n] - sums[:, a, n] - inside
    outside = sums[:, n, n][:, None] - 2 * across - inside
    return _strongest(inside, across, outside, b - a, n - b + a)


def _strongest(
    first: Numbers, across: Numbers, second: Numbers, m: NDArray[np.intp], k: NDArray[np.intp]
) -> Numbers:
    apart = 2 * across / (m * k) - first / (m * (m - 1)) - second / (k * (k - 1))
    return np.asarray((apart * m * k / (m + k)).max(axis=1))


if __name__ == "__main__":
    main()
