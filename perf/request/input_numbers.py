"""Numbers that a user writes for an input, in a list or a flag: finite, exact, and such as a record holds."""

import math
from typing import Any


def read_ends(bounds: Any) -> tuple[Any, Any]:
    """The two ends of a range as a list says them; raises ValueError."""
    if not isinstance(bounds, list) or len(bounds) != 2:
        raise ValueError(f"{bounds!r:.40} is no [lowest, highest]")
    return bounds[0], bounds[1]


def read_range(low: Any, high: Any) -> tuple[int | float, int | float]:
    """Both ends of a range, as a list or a flag spells them; raises ValueError, TypeError."""
    bounds = read_number(low), read_number(high)
    if bounds[0] > bounds[1]:
        raise ValueError(f"{low} is above {high}")
    if beyond := [b for b in bounds if isinstance(as_stored(b), str)]:
        raise ValueError(f"{beyond[0]} is beyond int64")
    return bounds


def read_number(given: Any) -> int | float:
    """A finite number or its text; an integer that no float holds stays one. Raises ValueError, TypeError."""
    whole = _whole(given)
    if not isinstance(given, (int, float, str)):
        raise TypeError(f"{given!r:.40} is no number")
    try:
        number = float(given if whole is None else whole)
    except OverflowError as e:
        raise ValueError(f"{str(given)[:20]}… is too large") from e
    if not math.isfinite(number):
        raise ValueError(f"{given} is not finite")
    return number if whole is None or number == whole else whole


def as_stored(number: int | float) -> int | float | str:
    """As a record can hold it: an integer beyond int64 as its text."""
    return number if isinstance(number, float) or -(2**63) <= number < 2**63 else str(number)


def _whole(given: Any) -> int | None:
    try:
        return int(given) if isinstance(given, (int, str)) else None
    except ValueError:
        return None


def read_size(given: Any) -> int:
    """A dim's size; raises ValueError, TypeError, OverflowError."""
    if (size := int(given)) != float(given) or size < 0:
        raise ValueError(f"{given!r} is no size")
    return size
