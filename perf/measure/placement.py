"""Where ONNX Runtime put a graph's nodes, by its assignment or else a profile, and their time there."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from perf.schema.journal import Placement

RECORD = "session.record_ep_graph_assignment_info"  # a session config entry of ORT >= 1.24


def placement_from_session(session: Any) -> Placement | None:
    """The graph assignment of a session made with RECORD=1; None where this ORT keeps none.

    Nodes are counted as ORT gave them to providers: after its basic optimisation, before fusion, the bodies
    of Loop, If and Scan included. A compiling provider gets few subgraphs of many nodes, others one a node.
    """
    told = getattr(session, "get_provider_graph_assignment_info", None)
    if told is None:
        return None
    ops: dict[str, Counter[str]] = defaultdict(Counter)
    sizes: dict[str, list[int]] = defaultdict(list)
    for subgraph in told():
        nodes = subgraph.get_nodes()
        sizes[subgraph.ep_name].append(len(nodes))
        ops[subgraph.ep_name].update(node.op_type for node in nodes)
    placed = _placement("graph_assignment", ops, {p: len(n) for p, n in sizes.items()})
    several = {p: tuple(n) for p, n in sizes.items() if any(size > 1 for size in n)}
    return replace(placed, partition_nodes=several)


def placement_from_profile(profile: Path) -> Placement:
    """The providers of the kernels of one profiled run: a fallback for ORT < 1.24, after fusion."""
    ops: dict[str, Counter[str]] = defaultdict(Counter)
    seen: set[tuple[str, str]] = set()
    for event in _last_run(_events(profile)):
        provider, name = event["args"].get("provider", ""), str(event["name"])
        if (
            provider and (provider, name) not in seen
        ):  # a Loop's body is one node, however often it ran
            seen.add((provider, name))
            ops[provider][event["args"].get("op_name", "")] += 1
    return _placement("profile", ops, Counter({p: c.total() for p, c in ops.items()}))


def host_times(profile: Path) -> dict[str, float]:
    """Microseconds of host time per provider in the last run of a profile; raises ValueError, OSError.

    A Loop's or If's event spans its body's: each event counts for what none of those inside it cover, so the
    sum is the time in kernels, once. For an asynchronous device it is the time to launch, not to compute.
    """
    total: dict[str, float] = defaultdict(float)
    for events in _by_thread(_last_run(_events(profile))).values():
        for event, own in _own_times(events):
            if provider := event["args"].get("provider", ""):
                total[provider] += own
    return dict(total)


def partition_times(profile: Path) -> dict[str, dict[str, float]]:
    """Microseconds of host time per compiled subgraph, by provider, in the last run of a profile.

    ORT names what a provider compiled PROVIDER_NAME_NUMBER (graph_partitioner.cc); other kernels bear their
    nodes' names, and are in `host_times` alone. Raises ValueError, OSError.
    """
    out: dict[str, dict[str, float]] = defaultdict(dict)
    for event in _last_run(_events(profile)):
        provider = event["args"].get("provider", "")
        name = str(event["name"]).removesuffix("_kernel_time")
        if provider and name.startswith(f"{provider}_"):
            name = name.removeprefix(f"{provider}_")
            out[provider][name] = out[provider].get(name, 0.0) + float(event["dur"])
    return dict(out)


def _placement(
    source: str, ops: Mapping[str, Counter[str]], partitions: Mapping[str, int]
) -> Placement:
    nodes = {p: c.total() for p, c in ops.items()}
    return Placement(source, nodes, {p: dict(c) for p, c in ops.items()}, dict(partitions))


def _events(profile: Path) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = json.loads(profile.read_text(encoding="utf-8"))
    return events


def _last_run(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Kernel events of the last model_run: the first run of a session allocates and tunes."""
    events = list(events)
    runs = [e for e in events if e.get("cat") == "Session" and e["name"] == "model_run"]
    start = max((e["ts"] for e in runs), default=0)
    return [
        e
        for e in events
        if e.get("cat") == "Node" and str(e["name"]).endswith("_kernel_time") and e["ts"] >= start
    ]


def _by_thread(events: Iterable[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    out: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        out[event["tid"]].append(event)
    return out


def _own_times(events: list[dict[str, Any]]) -> list[tuple[dict[str, Any], float]]:
    """Each event with its duration less that of the events directly inside it."""
    ordered = sorted(events, key=lambda e: (e["ts"], -e["dur"]))
    own = [float(e["dur"]) for e in ordered]
    open_: list[int] = []
    for i, event in enumerate(ordered):
        while open_ and event["ts"] >= ordered[open_[-1]]["ts"] + ordered[open_[-1]]["dur"]:
            open_.pop()
        if open_:
            own[open_[-1]] -= event["dur"]
        if event["args"].get("op_name") in ("Loop", "If", "Scan"):
            open_.append(i)
    return [(e, max(0.0, t)) for e, t in zip(ordered, own, strict=True)]
