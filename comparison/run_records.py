"""A run's records, and what its folder says of the machine, turned into one side of a comparison."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from comparison.cell_summary import (
    Accuracy,
    CellSummary,
    LaunchSummary,
    Metric,
    PlacementSummary,
    Side,
)
from perf.results import cell_row, latency
from perf.results.host_records import host_name
from perf.schema import outcomes, record
from perf.schema.cell import Cell
from perf.schema.codec import DecodeError
from perf.schema.journal import Compared
from perf.schema.record import Launch, Record, check_launch
from perf.schema.version import NewerSchemaError
from perf.stats.sequential_test import tail_ratio
from perf.stats.summary import quantile, supported_quantile

CANARY = "canary"  # model name of the fixed small model launched beside the cells
HOST_CANARY = "host_canary"  # and of the one that is measured first and last on a host
NS_PER_MS = 1e6
BESIDE_THE_ENGINE = ("python", "numpy", "ml-dtypes", "ml_dtypes")


class UnreadableError(Exception):
    """A side cannot be read; the message is one line: what, where, what to do next."""


def read_run(folder: Path) -> Side:
    """Read every record below a run's folder; raises UnreadableError."""
    found = list(read_records(folder))
    if not found:
        raise UnreadableError(f"{folder}: no record.json below cells/; did the run end early?")
    machines = read_machines(folder)
    cells = [summarise_cell(r, machines.of(r), machines.flagged_of(r)) for r in found]
    return Side(
        label=folder.name,
        cells=tuple(c for c in cells if c.model not in (CANARY, HOST_CANARY)),
        answers=frozenset(Metric),
        canaries=tuple(c for c in cells if c.model == CANARY),
    )


def read_records(folder: Path) -> Iterable[Record]:
    """Every record of a run, in the order of their paths; raises UnreadableError for a torn one."""
    for path in sorted((folder / "cells").glob("*/*/*/record.json")):
        try:
            yield record.read_record(path)
        except NewerSchemaError as e:
            raise UnreadableError(str(e)) from e
        except (OSError, DecodeError, json.JSONDecodeError) as e:
            raise UnreadableError(f"{path}: not a record this version reads ({e})") from e


@dataclass(frozen=True)
class Machines:
    """Conditions of the machines that a run ran on: the one, or by the host that launches name."""

    one: Mapping[str, str]
    by_key: Mapping[str, Mapping[str, str]]
    flagged: Mapping[str, str]  # in a merged run, hosts that are not to be trusted, and why

    def of(self, found: Record) -> Mapping[str, str]:
        """Of the one host that made a record's launches; else of the run as a whole."""
        keys = {x.host for x in found.launches}
        return self.by_key.get(keys.pop(), self.one) if len(keys) == 1 else self.one

    def flagged_of(self, found: Record) -> tuple[str, ...]:
        """What was wrong with the hosts of a record."""
        keys = dict.fromkeys(x.host for x in found.launches)
        return tuple(f"host {host_name(k)} {self.flagged[k]}" for k in keys if k in self.flagged)


def read_machines(folder: Path) -> Machines:
    """The machines of a run, from host.json, hosts/ and run.json; empty where they do not tell."""
    by_key = {p.stem: _conditions(_read_object(p)) for p in (folder / "hosts").glob("*.json")}
    told = _read_object(folder / "run.json").get("merged")
    flagged = told.get("flagged", {}) if isinstance(told, dict) else {}
    return Machines(_conditions(_read_object(folder / "host.json")), by_key, flagged)


def _read_object(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        return {}
    except json.JSONDecodeError as e:
        raise UnreadableError(f"{path}: not JSON ({e})") from e
    return told if isinstance(told, dict) else {}


def _conditions(host: Mapping[str, Any]) -> Mapping[str, str]:
    gpus = host.get("gpus") or []
    out = {
        "cpu": str(host.get("cpu") or ""),
        "host": str(host.get("hostname") or ""),
        "gpu": ", ".join(sorted({str(g.get("name")) for g in gpus})),
        "driver": ", ".join(sorted({str(g.get("driver")) for g in gpus})),
        "kernel": str(host.get("kernel") or ""),
    }
    return {k: v for k, v in out.items() if v}


def summarise_cell(
    found: Record, host: Mapping[str, str], flagged: tuple[str, ...] = ()
) -> CellSummary:
    """What a comparison needs to know of one record, and of the host that made it."""
    cell, check = found.cell, check_launch(found)
    launches = tuple(_launch(x, found) for x in found.launches if x.kind == "measure")
    return CellSummary(
        id=cell.id,
        model=cell.model.name,
        target=cell.target.label,
        variant=cell.variant,
        environment=cell.environment.name,
        interpreter=cell.environment.python,
        outcome=outcomes.name(found.outcome),
        detail=_detail(found),
        digest=cell.digest,
        conditions=conditions_of(found, host),
        launches=tuple(x for x in launches if x.values),
        values=_overall(launches),
        accuracy=_accuracy(check.compared) if check else None,
        placement=_placement(cell, check) if check else None,
        disturbances=(*_disturbances(found), *flagged),
        disturbed=_disturbed(found),
    )


def conditions_of(found: Record, host: Mapping[str, str]) -> Mapping[str, str]:
    """Everything that two sides must have in common, or name as their question."""
    cell, p = found.cell, found.cell.protocol
    given = {
        **host,
        "model": cell.model.sha256[:12],
        "inputs": cell.inputs_digest,
        "ep_version": engine_versions(cell_row.versions(found)),
        "io": cell_row.io_mode(found),
        "batch": joined(cell_row.input_shapes(cell)),
        "precision": cell.target.precision.value,
        "math": cell_row.math_mode(cell),
        "options": joined({**cell.options, **cell.session_config}),
        "graph": cell.graph_optimization,
        "protocol": f"runs {p.runs or 'auto'}, warm-up {p.warmup}, {p.min_time_s:g}-{p.max_time_s:g} s"
        f", threads {p.intra_op_threads}/{p.inter_op_threads}, cores {p.affinity or 'any'}"
        f", {p.isolation}{', ' + p.instrumented if p.instrumented else ''}",
    }
    return {k: v for k, v in given.items() if v or k == "options"}


def _launch(x: Launch, found: Record) -> LaunchSummary:
    samples = x.timed.samples_ns if x.timed and latency.is_published(found) else ()
    values: dict[Metric, float] = {}
    if samples:
        ordered = sorted(samples)
        values[Metric.P50] = quantile(ordered, 0.25) / NS_PER_MS  # moves as p50 does, less noisy
        values[Metric.MEAN] = statistics.fmean(ordered) / NS_PER_MS
        values[Metric.SLOW_END] = tail_ratio(ordered)
        if (p99 := supported_quantile(ordered, 0.99)) is not None:
            values[Metric.P99] = p99 / NS_PER_MS
    if x.created:
        values[Metric.SESSION] = x.created.seconds
    if x.host_memory:
        values[Metric.HOST_MEMORY] = x.host_memory.peak_mib - x.host_memory.baseline_mib
    if x.gpu_memory:
        values[Metric.GPU_MEMORY] = x.gpu_memory.peak_mib - x.gpu_memory.baseline_mib
    kept = {m: v for m, v in values.items() if v > 0}
    return LaunchSummary(x.round, x.order, x.began_s, x.boot_id, samples, kept)


def _overall(launches: Sequence[LaunchSummary]) -> dict[Metric, float]:
    """Metrics as the tables publish them; the slow end, which they do not have, over the launches."""
    out = {}
    for metric in dict.fromkeys(m for x in launches for m in x.values):
        out[metric] = statistics.median(x.values[metric] for x in launches if metric in x.values)
    ordered = sorted(chain.from_iterable(x.samples_ns for x in launches))
    if ordered:
        out[Metric.P50] = quantile(ordered, 0.5) / NS_PER_MS
        out[Metric.MEAN] = statistics.fmean(ordered) / NS_PER_MS
        if (p99 := supported_quantile(ordered, 0.99)) is not None:
            out[Metric.P99] = p99 / NS_PER_MS
    return out


def _detail(found: Record) -> str:
    text = ", ".join(str(v) for v in vars(found.outcome).values() if str(v))
    return text if len(text) < 300 else text[:297] + "…"


def _accuracy(compared: Sequence[Compared]) -> Accuracy | None:
    if not compared:
        return None
    norms = [c.relative_norm for c in compared if c.relative_norm is not None]
    return Accuracy(
        mismatched_share=max((c.mismatched / c.total for c in compared if c.total), default=0.0),
        relative_norm=max(norms) if norms else None,
        unusable=next((c.problem for c in compared if c.problem), ""),
    )


def _placement(cell: Cell, check: Launch) -> PlacementSummary | None:
    if check.placement is None or not cell.provider:
        return None
    nodes = check.placement.nodes
    return PlacementSummary(
        provider=cell.provider,
        on_provider=nodes.get(cell.provider, 0),
        total=sum(nodes.values()),
        partitions=check.placement.partitions.get(cell.provider),
    )


def _disturbances(found: Record) -> tuple[str, ...]:
    """What made the machine noisy while this cell was measured, each once."""
    out: list[str] = []
    measured = latency.published_launches(found)
    if others := sum(latency.was_preempted(x) for x in measured):
        out.append(f"others took the CPU in {others} of {len(measured)} launches")
    counters = [x.gpu_counters for x in measured if x.gpu_counters]
    for reason in sorted({r for c in counters if c.throttled_share for r in c.throttle_reasons}):
        out.append(f"GPU throttled: {reason}")
    if any(c.others for c in counters):
        out.append("another process on the GPU")
    return tuple(out)


def _disturbed(found: Record) -> float:
    """Share of the measure launches that did not have the machine to themselves."""
    measured = latency.published_launches(found)
    held_up = [
        latency.was_preempted(x)
        or (
            x.gpu_counters is not None
            and bool(x.gpu_counters.throttled_share or x.gpu_counters.others)
        )
        for x in measured
    ]
    return sum(held_up) / len(held_up) if held_up else 0.0


def engine_versions(versions: Mapping[str, str]) -> str:
    """Versions of what runs the model; what merely surrounds it changes no answer."""
    return joined({k: v for k, v in versions.items() if k not in BESIDE_THE_ENGINE})


def joined(values: Mapping[str, str]) -> str:
    """A mapping as one condition; `pair.differences` takes it apart at the semicolons."""
    return "; ".join(f"{k} {v}" for k, v in sorted(values.items()))


def split(side: Side, first: str, second: str) -> tuple[Side, Side]:
    """The two sides of an A/B run, their cells named alike so that they can be paired."""
    a, b = _only(side, first), _only(side, second)
    for part, label in ((a, first), (b, second)):
        if not part.cells:
            raise UnreadableError(f"{side.label}: no record of {label} in this A/B run")
    return a, b


def _only(side: Side, label: str) -> Side:
    mine = [c for c in side.cells if label in _names(c)]
    renamed = tuple(replace(c, id=c.model, variant="") for c in mine)
    return replace(side, label=label, cells=renamed)


def _names(cell: CellSummary) -> tuple[str, ...]:
    """How --ab may have named a cell's target: as in tables, or with its environment, and its variant."""
    named = ",".join(p for p in cell.variant.split(",") if p and not p.startswith("io="))
    variant = f"[{named}]" if named else ""
    target = cell.target.partition("@")[0]
    return f"{cell.target}{variant}", f"{target}{variant}@{cell.environment}"
