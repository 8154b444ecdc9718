"""Whether the open first dims of a model's inputs are its batch, told by running it with 1 and with 2."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from perf.conversion.data_sets import Tensors
from perf.conversion.model_inputs import Overrides, fill_inputs
from perf.conversion.signature import Value

# Other sizes take other kernels, which sum in another order; another row is far beyond this.
ROW_DIFFERENCE = 1e-3


def is_batch(
    run: Callable[[Tensors], Tensors],
    values: Sequence[Value],
    shapes: Mapping[str, tuple[int, ...]],
    rows: Sequence[str],
    overrides: Overrides,
) -> bool:
    """Whether two rows in the inputs `rows` double every output and leave its first rows as they are.

    `shapes` are those of one row; `run` may raise anything, which is no proof.
    """
    two = {n: (2, *shape[1:]) if n in rows else shape for n, shape in shapes.items()}
    feed = fill_inputs(values, two, overrides, seed=1)
    try:
        both = run(feed)
        one = run({n: array[:1] if n in rows else array for n, array in feed.items()})
    except Exception:  # an engine's exceptions share no base
        return False
    return bool(one) and one.keys() == both.keys() and all(_doubles(one[n], both[n]) for n in one)


def _doubles(one: np.ndarray, both: np.ndarray) -> bool:
    if not one.ndim or not one.size or both.shape != (2 * one.shape[0], *one.shape[1:]):
        return False
    first = both[: one.shape[0]]
    if one.dtype.kind not in "fc":
        return bool(np.array_equal(first, one))
    scale = float(np.abs(one[np.isfinite(one)]).max(initial=0.0)) or 1.0
    return bool(np.allclose(first, one, ROW_DIFFERENCE, ROW_DIFFERENCE * scale, equal_nan=True))


def batch_prover(
    run: Callable[[Tensors], Tensors], values: Sequence[Value], overrides: Overrides
) -> Callable[[Mapping[str, tuple[int, ...]], Sequence[str]], bool]:
    """`is_batch` for resolve_shapes: of some shapes, and the inputs whose first dims are open."""
    return lambda shapes, rows: is_batch(run, values, shapes, rows, overrides)
