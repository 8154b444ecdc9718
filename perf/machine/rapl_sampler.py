"""Energy of the CPU packages by RAPL, sampled from outside the worker and laid against its timed window."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from perf.machine.gpu_counters import over_window
from perf.schema.journal import Event, Timed

POWERCAP = Path("/sys/class/powercap")
_EVERY_S = 0.02  # RAPL's counters move once a millisecond


@dataclass
class _Package:
    """One package's counter: microjoules that wrap at a given range."""

    file: Path
    wraps_at_uj: int
    points: list[tuple[float, float]] = field(default_factory=list)  # time, joules since the first
    last_uj: int | None = None

    def sample(self, at_s: float) -> None:
        """Read the counter; raises OSError, ValueError."""
        now_uj = int(self.file.read_text(encoding="ascii"))
        step_uj = 0 if self.last_uj is None else now_uj - self.last_uj
        if step_uj < 0:
            step_uj += self.wraps_at_uj + 1
        total_j = self.points[-1][1] if self.points else 0.0
        self.points.append((at_s, total_j + step_uj / 1e6))
        self.last_uj = now_uj


class RaplSampler:
    """Samples all packages for one launch: `sample()` while it runs, then `finish(events)`.

    Where the counters are not there, or are root's alone as kernels since 5.10 keep them, there is no energy
    to tell, and `finish` returns None.
    """

    def __init__(
        self, powercap: Path = POWERCAP, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._packages = _packages(powercap)
        self._next_s = -math.inf

    @property
    def readable(self) -> bool:
        """Whether there is a package whose counter can be read."""
        return bool(self._packages)

    def sample(self) -> None:
        """Take one sample, at most every 20 ms; a counter that fails ends the series."""
        now = self._clock()
        if now < self._next_s:
            return
        self._next_s = now + _EVERY_S
        try:
            for package in self._packages:
                package.sample(now)
        except (OSError, ValueError):
            self._packages = ()

    def finish(self, events: Sequence[Event]) -> float | None:
        """Joules of all packages over the timed window, others' work included; None where unknown."""
        window = next(
            ((e.begun_s, e.ended_s) for e in events if isinstance(e, Timed) and e.begun_s), None
        )
        if window is None or not self._packages:
            return None
        parts = [over_window(p.points, window) for p in self._packages]
        known = [j for j in parts if j is not None]
        return sum(known) if len(known) == len(parts) else None


def _packages(powercap: Path) -> tuple[_Package, ...]:
    """Packages that can be read: zones named package-N; cores and memory below them are in their energy."""
    found = []
    for zone in sorted(powercap.glob("intel-rapl:*")):  # AMD's packages bear this name too
        try:
            if (zone / "name").read_text(encoding="ascii").startswith("package"):
                int((zone / "energy_uj").read_text(encoding="ascii"))
                most = int((zone / "max_energy_range_uj").read_text(encoding="ascii"))
                found.append(_Package(zone / "energy_uj", most))
        except (OSError, ValueError):
            continue
    return tuple(found)
