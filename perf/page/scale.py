"""Where values lie on a figure: a logarithmic or linear span, its round ticks, and integer coordinates."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

WIDE = 1000  # units of a figure's width, whatever its pixels
MOST_TICKS = 6


@dataclass(frozen=True)
class Scale:
    """A span of values; logarithmic where all are positive, so that a ratio has one length everywhere."""

    low: float
    high: float
    log: bool = True

    def share(self, value: float) -> float:
        """Place in the span, 0…1; what lies outside is at its edge."""
        low, span = self._ends
        if span <= 0:
            return 0.5
        share = (self._of(value) - low) / span
        return 0.0 if share < 0 else 1.0 if share > 1 else share

    def at(self, value: float, units: int = WIDE) -> int:
        """Place in whole units from the low end."""
        return round(self.share(value) * units)

    def ticks(self, most: int = MOST_TICKS) -> tuple[float, ...]:
        """Round values within the span, ascending."""
        if self.high <= self.low:
            return (self.low,)
        if self.log and self.high / self.low > 8:
            return _thinned(_decades(self.low, self.high), most)
        return _even(self.low, self.high, most)

    @cached_property
    def _ends(self) -> tuple[float, float]:
        low = self._of(self.low)
        return low, self._of(self.high) - low

    def _of(self, value: float) -> float:
        return (math.log(value) if value > 0 else -690.0) if self.log else value


def scale_of(values: Iterable[float], *, log: bool = True, margin: float = 0.02) -> Scale | None:
    """A scale that holds every finite value, with some room; None where there is none to hold."""
    found = [v for v in values if math.isfinite(v) and (v > 0 or not log)]
    if not found:
        return None
    low, high = min(found), max(found)
    if log:
        room = max((high / low) ** margin, 1.002)
        return Scale(low / room, high * room)
    room = max((high - low) * margin, abs(high) * 1e-3, 1e-12)
    return Scale(low - room, high + room, log=False)


def _decades(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if last - first <= 3 else (1,)
    found = [s * 10.0**e for e in range(first, last + 1) for s in steps]
    return [v for v in found if low <= v <= high]


def _thinned(values: list[float], most: int) -> tuple[float, ...]:
    step = math.ceil(len(values) / most) or 1
    return tuple(values[::step])


def _even(low: float, high: float, most: int) -> tuple[float, ...]:
    rough = (high - low) / most
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(s * unit for s in (1, 2, 5, 10) if s * unit >= rough)
    first = math.ceil(low / step)
    return tuple(i * step for i in range(first, math.floor(high / step) + 1))
