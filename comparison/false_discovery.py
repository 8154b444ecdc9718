"""Which of a table's many changes are believed, so that few of those believed are false."""

from collections.abc import Sequence


def find_discoveries(p_values: Sequence[float], rate: float) -> tuple[bool, ...]:
    """Benjamini & Hochberg, J. R. Statist. Soc. B 57 (1995) 289-300: which p-values are rejected.

    The expected share of false ones among the rejected is at most `rate` for independent tests and
    for positively dependent one-sided ones (Benjamini & Yekutieli, Ann. Statist. 29 (2001)
    1165-1188, theorem 1.2), which a machine's drift, common to all cells, makes these.
    """
    m = len(p_values)
    ordered = sorted(p_values)
    limit = -1.0
    for i, p in enumerate(ordered, start=1):
        if p <= rate * i / m:
            limit = p
    return tuple(p <= limit for p in p_values)


def two_sided(p_up: Sequence[float], rate: float) -> tuple[bool, ...]:
    """Rises and falls, as two one-sided families at half the rate each."""
    up = find_discoveries(p_up, rate / 2)
    down = find_discoveries([1 - p for p in p_up], rate / 2)
    return tuple(a or b for a, b in zip(up, down, strict=True))
