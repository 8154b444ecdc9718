"""The kernels of one run in a profile that ONNX Runtime wrote, each with the time that is its own."""

import json
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NESTING = ("Loop", "If", "Scan")  # their events span those of their bodies
KERNEL = "_kernel_time"  # how the names of kernels' events end


@dataclass(frozen=True)
class Kernel:
    """One kernel that ran: when it began within the run, and how long the host was in it alone."""

    name: str
    op_type: str
    provider: str
    start_us: float
    own_us: float


def read_kernels(profile: Path) -> tuple[Kernel, ...]:
    """Kernels of the last run of a profile, in the order they began; raises ValueError, OSError.

    For an asynchronous device a kernel's time is the time to launch it, not to compute.
    """
    try:
        events = last_run(read_events(profile))
        timed = [pair for each in by_thread(events).values() for pair in own_times(each)]
        found = [
            Kernel(
                name=str(e["name"]).removesuffix(KERNEL),
                op_type=str(e["args"].get("op_name", "")),
                provider=str(e["args"].get("provider", "")),
                start_us=float(e["ts"]),
                own_us=float(own),
            )
            for e, own in timed
        ]
    except (AttributeError, KeyError, TypeError, RecursionError) as e:
        raise ValueError(f"{profile}: no profile of ONNX Runtime: {e!r:.80}") from e
    begun = min((k.start_us for k in found), default=0.0)
    if not all(math.isfinite(k.start_us) and math.isfinite(k.own_us) for k in found):
        raise ValueError(f"{profile}: times that are not finite")
    kernels = (Kernel(k.name, k.op_type, k.provider, k.start_us - begun, k.own_us) for k in found)
    return tuple(sorted((k for k in kernels if k.provider), key=lambda k: k.start_us))


def read_events(profile: Path) -> list[dict[str, Any]]:
    """A profile's events; raises ValueError, OSError."""
    events: list[dict[str, Any]] = json.loads(profile.read_text(encoding="utf-8"))
    return events


def last_run(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Kernel events of the last model_run: the first run of a session allocates and tunes."""
    events = list(events)
    runs = [e for e in events if e.get("cat") == "Session" and e["name"] == "model_run"]
    start = max((e["ts"] for e in runs), default=0)
    return [
        e
        for e in events
        if e.get("cat") == "Node" and str(e["name"]).endswith(KERNEL) and e["ts"] >= start
    ]


def by_thread(events: Iterable[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    """Events of each thread: those of one thread lie beside or inside one another."""
    out: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        out[event["tid"]].append(event)
    return out


def own_times(events: list[dict[str, Any]]) -> list[tuple[dict[str, Any], float]]:
    """Each event of a thread with its duration less that of the events directly inside it."""
    ordered = sorted(events, key=lambda e: (e["ts"], -e["dur"]))
    own = [float(e["dur"]) for e in ordered]
    open_: list[int] = []
    for i, event in enumerate(ordered):
        while open_ and event["ts"] >= ordered[open_[-1]]["ts"] + ordered[open_[-1]]["dur"]:
            open_.pop()
        if open_:
            own[open_[-1]] -= event["dur"]
        if event["args"].get("op_name") in NESTING:
            open_.append(i)
    return [(e, max(0.0, t)) for e, t in zip(ordered, own, strict=True)]
