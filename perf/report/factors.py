"""How much faster, slower, larger or smaller: the one way in which runs and comparisons tell a factor."""

import math


def tell_factor(factor: float, more: str, less: str, *, fine: bool = False) -> str:
    """A factor as what it is called, at least 1: 19 × slower. `fine`: a third decimal near 1."""
    told = format_factor(max(factor, 1 / factor), fine=fine)
    return f"{told} × {more if factor >= 1 else less}"


def tell_interval(low: float, high: float, factor: float, *, fine: bool = False) -> str:
    """A factor's interval in the manner of `tell_factor`, above 1 as that is."""
    ends = [low, high]
    if factor < 1:
        ends = [1 / f if f else math.inf for f in reversed(ends)]
    return f"[{', '.join(format_factor(f, fine=fine) for f in ends)}]"


def format_factor(factor: float, *, fine: bool = False) -> str:
    """Three digits, two for many times."""
    if factor >= 1000 or not math.isfinite(factor):
        return f"{factor:.0f}"
    if fine and 0.9 < factor < 1.1:
        return f"{factor:.3f}"
    return f"{factor:.3g}" if factor < 0.1 or factor >= 9.995 else f"{factor:.2f}"
