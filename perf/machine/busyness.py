"""What others do to a machine's CPUs while a run wants them: their share, what a hypervisor steals, load."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

LOOK_S = 0.2  # how long a look at the start takes
BUSY_SHARE = 0.2  # of all CPUs: what others use, above which a run says so
STOLEN_SHARE = 0.02  # the same of what a hypervisor takes


@dataclass(frozen=True)
class CpuTimes:
    """Ticks of all CPUs since boot."""

    total: int
    idle: int  # waiting for a disk included
    stolen: int


@dataclass(frozen=True)
class Busyness:
    """How busy a machine was over a while; shares of all CPUs, 0…1."""

    cores: int
    used: float
    stolen: float
    load: float | None  # the kernel's mean over a minute

    @property
    def is_busy(self) -> bool:
        """Whether a run beside it would measure that too."""
        return self.used >= BUSY_SHARE or self.stolen >= STOLEN_SHARE

    def __str__(self) -> str:
        load = "" if self.load is None else f", load {self.load:.1f}"
        return f"{100 * self.used:.0f} % of {self.cores} cores in use, {100 * self.stolen:.0f} % stolen{load}"


def look_at_machine(root: Path = Path("/"), look_s: float = LOOK_S) -> Busyness | None:
    """What others use while we sleep; None where the kernel does not tell."""
    before = read_cpu_times(root)
    time.sleep(look_s)
    return busyness_since(before, root)


def busyness_since(before: CpuTimes | None, root: Path = Path("/")) -> Busyness | None:
    """What everybody used since then; None where the kernel does not tell."""
    after = read_cpu_times(root)
    if before is None or after is None or after.total <= before.total:
        return None
    total = after.total - before.total
    stolen = (after.stolen - before.stolen) / total
    used = 1 - (after.idle - before.idle) / total - stolen
    return Busyness(os.cpu_count() or 1, max(0.0, used), max(0.0, stolen), _read_load(root))


def read_cpu_times(root: Path = Path("/")) -> CpuTimes | None:
    """The first line of /proc/stat (proc_stat(5)); None where there is none."""
    try:
        name, *fields = (root / "proc/stat").read_text(encoding="ascii").partition("\n")[0].split()
        user, nice, system, idle, iowait, irq, softirq, steal, *_ = map(int, fields)
    except (OSError, ValueError):
        return None
    total = user + nice + system + idle + iowait + irq + softirq + steal
    return CpuTimes(total, idle + iowait, steal) if name == "cpu" else None


def _read_load(root: Path) -> float | None:
    try:
        return float((root / "proc/loadavg").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return None
