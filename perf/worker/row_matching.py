"""Rows of a detector's outputs matched to the reference's rows, where their order carries no meaning."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class OutputColumn:
    """One output of a group, as [rows, features]: what was got, the reference, the greatest difference."""

    got: np.ndarray
    reference: np.ndarray
    limit: np.ndarray


def row_axis(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """The axis that counts rows in one set's outputs: 0, or 1 behind a batch of one.

    A batch of one: all that have several axes begin with 1 and agree on the second, and one has three
    ([1,N,4] boxes, [1,N] scores). Rows are never matched across a larger batch.
    """
    several = [s for s in shapes.values() if len(s) > 1]
    batch = (
        any(len(s) > 2 for s in several)
        and all(s[0] == 1 for s in several)
        and len({s[1] for s in several}) == 1
    )
    return 1 if batch else 0


def by_row(array: np.ndarray, axis: int) -> np.ndarray:
    """The array as [rows, features]."""
    rows = array.shape[axis]
    return np.moveaxis(array, axis, 0).reshape(rows, array.size // rows)


def group_outputs(shapes: Mapping[str, tuple[int, ...]], axis: int) -> list[list[str]]:
    """Names of outputs whose rows belong together: those with equally many (boxes, scores, labels)."""
    groups: dict[int, list[str]] = defaultdict(list)
    for name, shape in shapes.items():
        if len(shape) > axis and shape[axis] > 1 and 0 not in shape:
            groups[shape[axis]].append(name)
    return list(groups.values())


def match_rows(columns: Sequence[OutputColumn]) -> np.ndarray:
    """For each reference row, the row of `got` that answers it, each used once; all columns move together.

    A row answers another where every element of every column is within its limit. The matching is as large
    as any can be (augmenting paths, Kuhn 1955), so the outputs pass if and only if some order of the rows
    passes. Rows that nothing answers get what is left, in order, and show up as mismatches.
    """
    count = len(columns[0].reference)
    candidates = _candidates(columns, count)
    answer_of: dict[int, int] = {}
    taken_by: dict[int, int] = {}
    for row in range(count):
        _augment(row, candidates, answer_of, taken_by)
    left = iter(sorted(set(range(count)) - set(taken_by)))
    return np.array([answer_of[r] if r in answer_of else next(left) for r in range(count)])


def _candidates(columns: Sequence[OutputColumn], count: int) -> list[list[int]]:
    """For each reference row, the rows of `got` that answer it."""
    key, limit, ordered, places = _key(columns)
    out = []
    for row in range(count):
        low = np.searchsorted(ordered, key[row] - limit[row], "left")
        high = np.searchsorted(ordered, key[row] + limit[row], "right")
        near = places[low:high]
        near = near[np.argsort(np.abs(near - row), kind="stable")]  # the same place first
        fits = np.ones(len(near), bool)
        for c in columns:
            fits &= _within(c.got[near], c.reference[row], c.limit[row])
        out.append([int(i) for i in near[fits]])
    return out


def _key(columns: Sequence[OutputColumn]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The feature of most distinct values, to look up near rows by: reference, limit, sorted got, its places.

    Features that hold NaN, infinities or strings cannot be sorted by; without another, every row is near.
    """
    best, best_count = None, 0
    for c in columns:
        if c.reference.dtype.kind not in "fiub":
            continue
        for j in range(c.reference.shape[1]):
            ours, theirs = c.reference[:, j], c.got[:, j]
            distinct = len(np.unique(ours))
            if distinct > best_count and np.isfinite(ours).all() and np.isfinite(theirs).all():
                best, best_count = (ours, c.limit[:, j], theirs), distinct
    if best is None:
        zero = np.zeros(len(columns[0].reference))
        best = (zero, zero, zero)
    ours, limit, theirs = (x.astype(np.float64) for x in best)
    places = np.argsort(theirs, kind="stable")
    return ours, limit * (1 + 1e-12), theirs[places], places


def _within(got: np.ndarray, reference: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Which rows of `got` answer one reference row."""
    if reference.dtype.kind in "OUS":
        same = got == reference
    else:
        with np.errstate(invalid="ignore"):
            same = np.abs(got.astype(np.float64) - reference.astype(np.float64)) <= limit
        same |= (got == reference) | (np.isnan(got) & np.isnan(reference))
    answers: np.ndarray = same.all(axis=1)
    return answers


def _augment(
    start: int,
    candidates: Sequence[Sequence[int]],
    answer_of: dict[int, int],
    taken_by: dict[int, int],
) -> None:
    """Give reference row `start` an answer, moving earlier rows to others of their candidates if need be."""
    parent: dict[int, int] = {}  # row of `got` -> the reference row that reached it
    queue = [start]
    for row in queue:
        for answer in candidates[row]:
            if answer in parent:
                continue
            parent[answer] = row
            if answer in taken_by:
                queue.append(taken_by[answer])
                continue
            while True:  # hand answers along the path that ends in the free one
                taker = parent[answer]
                before = answer_of.get(taker)
                answer_of[taker], taken_by[answer] = answer, taker
                if before is None:
                    return
                answer = before
