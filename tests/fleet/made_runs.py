"""Small runs of one plan, as shards leave them: three models on two targets, and a canary on each host."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from perf.machine.system import SystemInfo
from perf.request.options import parse
from perf.results.host_records import host_key, write_host_record
from perf.schema import codec, record
from perf.schema.record import Record
from perf.schema.version import stamp
from perf.schema.whole_plan import Column, WholePlan
from tests.results import hand_made
from tests.results.hand_made import CPU, CUDA

RUN_ID = "fleet"
MODELS = ("a", "b", "c")
COLUMNS = tuple(Column(hand_made.cell(target=t).target) for t in (CPU, CUDA))
PLAN = WholePlan("0123456789abcdef", MODELS, COLUMNS)
IDS = tuple(f"{m}::{c.name}" for m in MODELS for c in COLUMNS)


def host(name: str, **changes: object) -> SystemInfo:
    """One of several machines of a kind."""
    made = replace(hand_made.host(), hostname=name, boot_id=f"boot-{name}")
    return replace(made, **changes)  # type: ignore[arg-type]


def measured(cell_id: str, on: SystemInfo, ms: float = 4.0) -> Record:
    """A cell that passed on a host."""
    model, _, target = cell_id.partition("::")
    made = hand_made.benchmarked(hand_made.cell(model, target), (ms, ms * 1.01), {target: 9})
    return on_host(made, on)


def canary(on: SystemInfo, moments_ms: Sequence[float]) -> Record:
    """The host's canary: three launches at each moment."""
    centres = [ms * k for ms in moments_ms for k in (1.01, 1.0, 1.02)]
    made = hand_made.benchmarked(hand_made.cell("host_canary", CPU), centres, {CPU: 65})
    timed = [replace(x, began_s=float(i)) for i, x in enumerate(made.launches)]
    return on_host(replace(made, launches=tuple(timed)), on)


def on_host(made: Record, on: SystemInfo) -> Record:
    """The same, all its launches made there."""
    launches = tuple(replace(x, host=host_key(on), boot_id=on.boot_id) for x in made.launches)
    return replace(made, run_id=RUN_ID, launches=launches)


def write_shard(
    results: Path,
    records: Sequence[Record],
    hosts: Sequence[SystemInfo],
    *,
    shard: str = "1/2",
    plan: WholePlan = PLAN,
    options: Mapping[str, object] | None = None,
) -> Path:
    """A folder of results with the run of one shard, each launch with its log; returns it."""
    root = results / RUN_ID
    for made in records:
        leaf = root / "cells" / made.cell.folder
        for launch in made.launches:
            (leaf / launch.name).mkdir(parents=True)
            (leaf / launch.name / "output.log").write_text(f"{launch.name} of {made.cell.id}\n")
            (leaf / launch.name / "journal.jsonl").write_text("")
        leaf.mkdir(parents=True, exist_ok=True)
        (leaf / "cell.json").write_text(json.dumps(codec.encode(made.cell)))
        record.write_record(made, leaf / "record.json")
    for on in hosts:
        write_host_record(root, on)
    root.mkdir(parents=True, exist_ok=True)
    told = {
        "run_id": RUN_ID,
        "label": "",
        "command": ["benchmark_wrapper.py", "--shard", shard, "-e", "cpu", "-o", str(results)],
        "options": {"launches": parse([]).launches, "shard": shard, **(options or {})},
        "targets": [CPU, CUDA],
        "cells": [r.cell.id for r in records],
        "ab": [],
        "harness_commit": "0123abc",
        "plan": codec.encode(replace(plan, shard=shard)),
    }
    (root / "run.json").write_text(json.dumps(stamp(told)))
    return results
