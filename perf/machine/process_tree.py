"""Reads processes from outside through /proc: children, memory, the cgroup's kills, and strangers to end."""

import contextlib
import os
import re
import signal
import time
from pathlib import Path

from perf.schema.untrusted_file import read_regular

_OOM_KILLS = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)
_UNIFIED = re.compile(r"^0::/*(.*)$", re.MULTILINE)
PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def children(pid: int) -> tuple[int, ...]:
    """Direct children of every thread of a process; empty where it is gone."""
    out: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                text = (task / "children").read_text(encoding="ascii")
                out.extend(int(p) for p in text.split())
    return tuple(out)


def process_tree(pid: int) -> frozenset[int]:
    """A process and all its descendants."""
    seen: set[int] = set()
    todo = [pid]
    while todo:
        one = todo.pop()
        if one not in seen:
            seen.add(one)
            todo.extend(children(one))
    return frozenset(seen)


def tree_rss_mib(pid: int) -> float:
    """Resident memory of a process tree, in MiB; shared pages are counted once per process."""
    total = 0.0
    for one in process_tree(pid):
        with contextlib.suppress(OSError, IndexError):
            statm = Path(f"/proc/{one}/statm").read_text(encoding="ascii")
            total += int(statm.split()[1]) * PAGE_MIB
    return total


def time_since_start_s() -> float:
    """Seconds that this process has run."""
    begun_ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    up_s = float(Path("/proc/uptime").read_text().split()[0])
    return up_s - begun_ticks / os.sysconf("SC_CLK_TCK")


def count_oom_kills() -> int:
    """The cgroup's count of out-of-memory kills; outside a memory cgroup, or where it does not tell, the
    machine's own; 0 for neither."""
    for path in (f"{_own_cgroup()}/memory.events", "/proc/vmstat"):
        if found := _OOM_KILLS.search(_kernel_text(path)):
            return int(found[1])
    return 0


def _own_cgroup() -> str:
    found = _UNIFIED.search(_kernel_text("/proc/self/cgroup"))
    return f"/sys/fs/cgroup/{found[1]}" if found else ""


def _kernel_text(path: str) -> str:
    try:
        return read_regular(path, 1 << 16).decode("utf-8", "replace")
    except OSError:
        return ""


def kill_children(spared: frozenset[int], within_s: float) -> tuple[int, ...]:
    """Kill and reap every child of ours that is not spared: what escaped a worker and fell to us.

    What a killed child leaves falls to us too, and is next. Returns those that could not be reaped within
    `within_s` seconds: the kernel holds them, or somebody traces them.
    """
    deadline_s = time.monotonic() + within_s
    while True:
        doomed = [p for p in children(os.getpid()) if p not in spared]
        if not doomed:
            return ()
        for pid in doomed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in doomed:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if time.monotonic() >= deadline_s:
            return tuple(doomed)
        time.sleep(0.0005)
