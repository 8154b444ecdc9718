"""Watches a real wrapper process from outside: its CPU time and its resident memory, against the clock."""

import resource
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Look:
    """One look at the process."""

    at_s: float  # CLOCK_MONOTONIC
    cpu_s: float  # of all its threads, so far; not of its children
    rss_mib: float


@dataclass(frozen=True)
class Watched:
    """A process that has ended."""

    looks: tuple[Look, ...]
    began_s: float
    ended_s: float
    status: int
    output: str
    tree_cpu_s: float  # of the process and of all its descendants that were reaped

    @property
    def wall_s(self) -> float:
        """From start to exit."""
        return self.ended_s - self.began_s

    def between(self, began_s: float, ended_s: float) -> tuple[Look, ...]:
        """The looks within a span of time."""
        return tuple(x for x in self.looks if began_s <= x.at_s <= ended_s)


def watch(argv: Sequence[str], log: Path, every_s: float = 0.1) -> Watched:
    """Run a command to its end, its output in `log`, looking at it every `every_s` seconds."""
    looks: list[Look] = []
    began, spent = time.monotonic(), _children_cpu_s()
    with log.open("wb") as out:
        process = subprocess.Popen(list(argv), stdout=out, stderr=subprocess.STDOUT)
        while process.poll() is None:
            if (seen := look(process.pid)) is not None:
                looks.append(seen)
            time.sleep(every_s)
    ended = time.monotonic()
    text = log.read_text(encoding="utf-8", errors="replace")
    spent = _children_cpu_s() - spent
    return Watched(tuple(looks), began, ended, process.returncode, text, spent)


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def look(pid: int) -> Look | None:
    """A process now; None where it has gone."""
    folder = Path("/proc") / str(pid)
    try:
        on_cpu_ns = sum(
            int((task / "schedstat").read_text(encoding="ascii").split()[0])
            for task in (folder / "task").iterdir()
        )
        status = (folder / "status").read_text(encoding="ascii", errors="replace")
    except (OSError, ValueError, IndexError):
        return None
    for line in status.splitlines():
        if line.startswith("VmRSS:"):
            return Look(time.monotonic(), on_cpu_ns / 1e9, int(line.split()[1]) / 1024)
    return None  # a zombie has no memory
