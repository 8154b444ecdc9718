"""What replays of CUDA graphs are tried with, and how a refusal to capture one is told."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from perf.backends import Tensors
from perf.schema.engine_message import lead_with_reason

if TYPE_CHECKING:
    import numpy as np

MOST_TEXT = 600  # characters of an engine's reason


def vary_feed(feed: Tensors) -> tuple[dict[str, Any], ...]:
    """A feed, and the same values in two other orders: of what is no list of sizes (integers in one row)."""
    import numpy as np

    def reorder(array: Any, order: "Callable[[np.ndarray], np.ndarray]") -> Any:
        is_plain = type(array) is np.ndarray and array.dtype.kind in "fiu"
        if not is_plain or (array.dtype.kind in "iu" and array.ndim < 2):
            return array
        return np.ascontiguousarray(order(array.ravel()).reshape(array.shape))

    orders: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
        lambda flat: np.roll(flat, 1),
        lambda flat: flat[::-1],
    )
    return (dict(feed), *({n: reorder(a, order) for n, a in feed.items()} for order in orders))


def describe_refusal(error: Exception) -> str:
    """That a model cannot be captured, and the engine's reason."""
    return f"it cannot be captured as a CUDA graph: {lead_with_reason(str(error))[:MOST_TEXT]}"
