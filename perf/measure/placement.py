"""Where ONNX Runtime put a graph's nodes, by its assignment or else a profile, and their time there."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from perf.measure.ort_profile import KERNEL, by_thread, last_run, own_times, read_events
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
    for event in last_run(read_events(profile)):
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
    for events in by_thread(last_run(read_events(profile))).values():
        for event, own in own_times(events):
            if provider := event["args"].get("provider", ""):
                total[provider] += own
    return dict(total)


def partition_times(profile: Path) -> dict[str, dict[str, float]]:
    """Microseconds of host time per compiled subgraph, by provider, in the last run of a profile.

    ORT names what a provider compiled PROVIDER_NAME_NUMBER (graph_partitioner.cc); other kernels bear their
    nodes' names, and are in `host_times` alone. Raises ValueError, OSError.
    """
    out: dict[str, dict[str, float]] = defaultdict(dict)
    for event in last_run(read_events(profile)):
        provider = event["args"].get("provider", "")
        name = str(event["name"]).removesuffix(KERNEL)
        if provider and name.startswith(f"{provider}_"):
            name = name.removeprefix(f"{provider}_")
            out[provider][name] = out[provider].get(name, 0.0) + float(event["dur"])
    return dict(out)


def _placement(
    source: str, ops: Mapping[str, Counter[str]], partitions: Mapping[str, int]
) -> Placement:
    nodes = {p: c.total() for p, c in ops.items()}
    return Placement(source, nodes, {p: dict(c) for p, c in ops.items()}, dict(partitions))
