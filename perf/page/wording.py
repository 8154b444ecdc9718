"""Numbers as people read them on the page: digits that a figure supports, units, shares, sizes."""

import math
from collections.abc import Sequence


def exact(value: float | None, digits: int = 6) -> str:
    """A figure with the digits that cells.csv has; "" for unknown."""
    return "" if value is None else repr(round(float(value), digits))


def short(value: float | None) -> str:
    """Three significant digits, without an exponent where that is short; "" for unknown."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e6 or size < 1e-4:
        return f"{value:.2e}"
    digits = max(0, 2 - math.floor(math.log10(size)))
    return f"{value:.{digits}f}"


def trimmed(value: float) -> str:
    """A tick's label: no digit that says nothing."""
    return f"{value:.6g}" if 1e-3 <= abs(value) < 1e6 or value == 0 else f"{value:.0e}"


def signed_percent(value: float | None) -> str:
    """A gain or a change: +12.3 %; "" for unknown."""
    if value is None:
        return ""
    return f"{value:+.1f}\u00a0%" if math.isfinite(value) else f"{value}\u00a0%"


def percent(share: float | None) -> str:
    """A share in %; "" for unknown."""
    return "" if share is None else f"{100 * share:.1f}\u00a0%"


def counted(n: int, noun: str, plural: str = "") -> str:
    """1 cell, 2 cells."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def listed(parts: Sequence[str]) -> str:
    """a, b and c."""
    return (
        parts[0]
        if len(parts) == 1
        else f"{', '.join(parts[:-1])} and {parts[-1]}"
        if parts
        else ""
    )


def mib(value: float | None) -> str:
    """MiB without a fraction that nobody can use; "" for unknown."""
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 10 else f"{value:.1f}"


def microseconds(value: float) -> str:
    """A duration given in microseconds, in the unit that reads best."""
    return f"{short(value / 1000)}\u00a0ms" if value >= 1000 else f"{short(value)}\u00a0µs"
