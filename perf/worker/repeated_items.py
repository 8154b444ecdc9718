"""A large batch as few items repeated: its reference is computed of those few, where items do not meet."""

from collections.abc import Callable

import numpy as np

from perf.backends import Tensors
from perf.measure import tensor_io

ITEMS = 8  # distinct ones; a smaller batch has no other
ALONE = 1e-5  # of an output's scale: as far apart, two batches differ by the order of their sums


def repeat(items: np.ndarray, batch: int) -> np.ndarray:
    """Items one after another, and again, until there are as many as the batch has."""
    return items[np.arange(batch) % len(items)]


def infer_by_items(
    infer: Callable[[Tensors], Tensors], feed: Tensors, batch: int
) -> tuple[Tensors, str]:
    """The outputs of a feed, and "" or how they were had: of its distinct items, each as often as it is fed.

    That is so where the batch repeats `ITEMS` items, and half of them alone give what they give among all:
    no item has a part in another's output.
    """
    if (few := _first_items(feed, batch)) is None:
        return infer(feed), ""
    half = {n: a[: ITEMS // 2] if len(feed[n]) == batch else a for n, a in few.items()}
    try:
        all_of_them, some = infer(few), infer(half)
    except Exception:  # whatever an engine raises: it takes this batch alone, and is given it
        return infer(feed), ""
    if not all(_is_alone(a, some.get(n)) for n, a in all_of_them.items()):
        return infer(feed), ""
    return {n: repeat(a, batch) for n, a in all_of_them.items()}, f"{ITEMS} items of {batch}"


def _first_items(feed: Tensors, batch: int) -> Tensors | None:
    """The feed with the first items alone; None where there are no more, or others than those."""
    if batch <= ITEMS:
        return None
    out: dict[str, np.ndarray] = {}
    found = False
    for name, array in feed.items():
        out[name] = array
        if array.ndim and len(array) == batch:
            found = True
            out[name] = array[:ITEMS]
            if not np.array_equal(np.asarray(array), np.asarray(repeat(array[:ITEMS], batch))):
                return None
    return out if found else None


def _is_alone(among_all: np.ndarray, among_half: np.ndarray | None) -> bool:
    if among_half is None or not among_all.ndim or not among_half.ndim:
        return False
    if (len(among_all), len(among_half)) != (ITEMS, ITEMS // 2):
        return False
    a, b = (tensor_io.decode(x) for x in (among_all[: ITEMS // 2], among_half))
    if a.shape != b.shape or a.dtype.kind not in "fc":
        return a.shape == b.shape and bool(np.array_equal(a, b))
    scale = np.abs(a[np.isfinite(a)]).max(initial=0.0)
    return bool(np.allclose(a, b, rtol=0.0, atol=ALONE * scale, equal_nan=True))
