"""The fixed small model that is measured first, last and now and then, to see whether a host drifts."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from perf.planning.launch import CellState
from perf.schema.record import LaunchKind

LAUNCHES = 3  # each time: the least disturbed of them stands for the host at that moment


@dataclass
class HostCanary:
    """Says when the canary's cells are due, and which launch of theirs is next."""

    states: list[CellState] = field(default_factory=list)
    every_s: float = math.inf  # inf: first and last alone
    clock: Callable[[], float] = time.monotonic
    _last_s: float = field(default=-math.inf, init=False)

    @property
    def due(self) -> bool:
        """Whether it is time to measure them again; always so before the first time."""
        return bool(self.states) and self.clock() - self._last_s >= self.every_s

    def launches(self) -> Iterable[tuple[int, CellState]]:
        """Number and cell of the launches of one time, targets in turn."""
        for _ in range(LAUNCHES):
            for state in self.states:
                if state.alive:
                    yield sum(x.kind is LaunchKind.MEASURE for x in state.launches), state
        self._last_s = self.clock()
