"""What could run here and what would, shown before anything does."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from perf.history.expected_time import estimate_s, read_times
from perf.machine.gpus import Gpu
from perf.planning.targets import Offer, Planned
from perf.report.live_display import format_minutes
from perf.request.options import Options
from perf.schema import codec

_WIDTH = len("NvTensorRTRTXExecutionProvider_fp16")


def show_targets(known: Iterable[Sequence[Offer]], gpus: Sequence[Gpu], options: Options) -> int:
    """--list: each target, whether it can run here, and what would fix it, when known, or as JSON.

    Precisions of one target that share all of that are one entry; with -v each is its own.
    """
    if options.json:
        offered = [o for some in known for o in some]
        rows = [
            {"target": o.label, "aliases": o.target.aliases, "environment": o.probed.spec.name,
             "runs_here": not o.missing, "missing": o.missing}
            for o in offered
        ]  # fmt: skip
        print(json.dumps({"gpus": [codec.encode(g) for g in gpus], "targets": rows}, indent=1))
        return 0
    seen = ", ".join(f"{g.name} ({g.memory_mib:.0f} MiB)" for g in gpus)
    print(f"GPUs: {seen or 'none seen by NVML'}\n")
    for some in known:
        folded: dict[object, list[Offer]] = {}
        for o in some:
            alike = (o.target.name, o.probed.spec.name, o.missing, o.first)
            folded.setdefault(o.label if options.verbose else alike, []).append(o)
        for offers in folded.values():
            print(_describe_offers(offers), flush=True)
    return 0


def _describe_offers(offers: Sequence[Offer]) -> str:
    """Two lines on offers that differ in nothing but their precision."""
    o, *others = offers
    state = "runs here" if not o.missing else f"cannot run: {o.missing}"
    variants = " ".join(x.target.label.removeprefix(o.target.name) for x in others)
    aliases = " ".join(a for x in offers for a in x.target.aliases)
    parts = (
        f"also {variants}" if variants else "",
        f"aliases: {aliases}" if aliases else "",
        f"environment {o.probed.spec.name}",
    )
    more = "; ".join(p for p in parts if p)
    return f"{o.label:<{_WIDTH}}  {state}\n{'':<{_WIDTH}}  {more}"


def show_plan(planned: Sequence[Planned], options: Options) -> int:
    """--dry_run: the cells, as lines or as JSON, and how long they should take."""
    known = read_times(Path(options.perf_result_path), planned)
    expected_s = estimate_s(planned, options, known)
    if options.json:
        rows = [{"id": p.cell.id, "skip": p.skip, "cell": codec.encode(p.cell)} for p in planned]
        told = {"cells": rows, "launches": options.launches, "expected_s": round(expected_s, 1)}
        print(json.dumps(told, indent=1))
        return 0
    for p in planned:
        print(p.cell.id + (f"  (skipped: {p.skip})" if p.skip else ""))
    able = sum(not p.skip for p in planned)
    each = (
        f"1 check launch and {options.launches} measure launches"
        if options.benchmarks
        else "1 check launch"
    )
    print(
        f"{len(planned)} cell{'' if len(planned) == 1 else 's'}, {able} can run here; {each} each"
    )
    by_runs = f", {len(known)} cells as in earlier runs" if known else ""
    print(f"about {format_minutes(expected_s)}{by_runs}")
    return 0


def show_empty_shard(options: Options) -> int:
    """A shard that no model fell to: that is no mistake, and leaves nothing."""
    print(f"shard {options.shard} has no cell of this plan; nothing to run")
    return 0
