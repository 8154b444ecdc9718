"""Whether the open first dims of a model's inputs are its batch, told by running it with 1 and with 2."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from perf.conversion.data_sets import Tensors
from perf.conversion.model_inputs import BatchProof, Overrides, Shape, fill_inputs
from perf.conversion.signature import Value

# Other sizes take other kernels, which sum in another order; another row is far beyond this.
ROW_DIFFERENCE = 1e-3


def batch_prover(
    run: Callable[[Tensors], Tensors], values: Sequence[Value], overrides: Overrides
) -> BatchProof:
    """The proof that resolve_shapes asks for; what `run` raises is no proof."""

    def is_batch(shapes: Mapping[str, Shape], axes: Mapping[str, int]) -> bool:
        two = {n: _doubled(shape, axes.get(n)) for n, shape in shapes.items()}
        feed = fill_inputs(values, two, overrides, seed=1)
        try:
            both = run(feed)
            one = run({n: _first_row(array, axes.get(n)) for n, array in feed.items()})
        except Exception:  # an engine's exceptions share no base
            return False
        states = any(axes.values())  # a recurrent state has its batch behind its layers
        return (
            bool(one)
            and one.keys() == both.keys()
            and all(_doubles(one[n], both[n], states) for n in one)
        )

    return is_batch


def _doubled(shape: Shape, axis: int | None) -> Shape:
    return tuple(2 * size if at == axis else size for at, size in enumerate(shape))


def _first_row(array: np.ndarray, axis: int | None) -> np.ndarray:
    return array if axis is None else array.take([0], axis)


def _doubles(one: np.ndarray, both: np.ndarray, states: bool) -> bool:
    """Whether an output has twice the size in its first dim, or of states in any one, and half its values."""
    axis = next(
        (at for at in range(one.ndim if states else 1) if _doubled(one.shape, at) == both.shape),
        None,
    )
    if axis is None or not one.size:
        return False
    first = both.take(range(one.shape[axis]), axis)
    if one.dtype.kind not in "fc":
        return bool(np.array_equal(first, one))
    scale = float(np.abs(one[np.isfinite(one)]).max(initial=0.0)) or 1.0
    return bool(np.allclose(first, one, ROW_DIFFERENCE, ROW_DIFFERENCE * scale, equal_nan=True))
