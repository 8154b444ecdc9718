"""A run's records, or the long table that was made from them, summarised for a comparison."""

import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from textwrap import shorten
from typing import Any

from comparison.cell_summary import (
    Accuracy,
    CellSummary,
    LaunchSummary,
    Metric,
    PlacementSummary,
    QuartileLaunches,
    RunSummary,
    UnreadableError,
)
from perf.results import cell_figures, findings, latency, run_folder
from perf.results.cell_row import CellRow, format_signature
from perf.results.device_time import launch_median_ms
from perf.results.host_records import host_name
from perf.results.latency import NS_PER_MS
from perf.results.shapes import ShapedRecord, split_by_shapes
from perf.results.tables import TableError, iterate_cells
from perf.schema import outcomes, record, strict_json
from perf.schema.engine_message import lead_with_reason
from perf.schema.journal import RECORDS, Compared, Placement
from perf.schema.record import Launch, Record, check_launch
from perf.schema.untrusted_file import read_whole
from perf.schema.version import NewerSchemaError
from perf.stats.sequential_test import tail_ratio
from perf.stats.summary import quantile, supported_quantile

CANARY = "canary"  # model name of the fixed small model launched beside the cells
HOST_CANARY = "host_canary"  # and of the one that is measured first and last on a host
LANE_TRIAL = "lane_trial"  # and of the one that shows what devices do to each other
HOST_LIMIT = 1 << 20  # bytes
ROWS_A_WORD = 50_000  # whoever waits for a table so long is told how far it is
BESIDE_THE_ENGINE = ("python", "numpy", "ml-dtypes", "ml_dtypes")
NO_SAMPLES = "it holds no samples: launches cannot be paired, and only p50 has a spread"


def read_run(folder: Path) -> RunSummary:
    """Summarise every record below a run's folder; raises UnreadableError."""
    damaged: list[str] = []
    machines = read_machines(folder, damaged)
    cells = [
        summarise_record(part, machines.of(r), machines.flagged_of(r))
        for r in read_records(folder, damaged)
        for part in split_by_shapes(r)
    ]
    if not cells:
        why = damaged[0] if damaged else "did the run end early?"
        raise UnreadableError(f"{folder}: no record.json that can be read below cells/; {why}")
    return RunSummary(
        label=folder.name,
        cells=tuple(c for c in cells if c.model not in (CANARY, HOST_CANARY, LANE_TRIAL)),
        metrics=frozenset(Metric),
        canaries=tuple(c for c in cells if c.model == CANARY),
        damaged=tuple(damaged),
    )


def read_records(folder: Path, damaged: list[str]) -> Iterator[Record]:
    """Every record of a run that can be believed, by path; a line is put into `damaged` for each other.

    Raises UnreadableError for one of a newer version.
    """
    for path in sorted((folder / "cells").glob("*/*/*/record.json")):
        try:
            found = record.read_record(path)
        except NewerSchemaError as e:
            raise UnreadableError(str(e)) from e
        except (OSError, ValueError) as e:
            damaged.append(f"{path}: not a record this version reads ({shorten(str(e), 160)})")
            continue
        if any(x.timed and min(x.timed.samples_ns, default=1) <= 0 for x in found.launches):
            damaged.append(f"{path}: it holds samples that no run took, of 0 ns or less")
            continue
        yield found


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


def read_machines(folder: Path, damaged: list[str]) -> Machines:
    """The machines of a run, from host.json, hosts/ and run.json; empty where they cannot be read."""
    one = _conditions(_read_host(folder / "host.json", damaged))
    by_key = {
        p.stem: _conditions(_read_host(p, damaged)) for p in sorted(folder.glob("hosts/*.json"))
    }
    try:
        told = run_folder.read_json(folder / "run.json")
    except NewerSchemaError as e:
        raise UnreadableError(str(e)) from e
    merged = told.get("merged") if isinstance(told, dict) else None
    flagged = merged.get("flagged") if isinstance(merged, dict) else None
    texts = flagged.items() if isinstance(flagged, dict) else ()
    return Machines(one, by_key, {key: str(text) for key, text in texts})


def _read_host(path: Path, damaged: list[str]) -> Mapping[str, Any]:
    try:
        host = strict_json.parse(read_whole(path, HOST_LIMIT))
        if not isinstance(host, dict):
            raise ValueError("not an object")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as e:
        damaged.append(f"{path}: cannot be read ({shorten(str(e), 160)})")
        return {}
    return host


def _conditions(host: Mapping[str, Any]) -> Mapping[str, str]:
    gpus = [g for g in host.get("gpus") or () if isinstance(g, dict)]
    out = {
        "cpu": str(host.get("cpu") or ""),
        "host": str(host.get("hostname") or ""),
        "gpu": ", ".join(sorted({str(g.get("name")) for g in gpus})),
        "driver": ", ".join(sorted({str(g.get("driver")) for g in gpus})),
        "kernel": str(host.get("kernel") or ""),
    }
    return {k: v for k, v in out.items() if v}


def read_cells_table(path: Path) -> RunSummary:
    """Summarise a long table; raises UnreadableError naming file, line and column."""
    cells: list[CellSummary] = []
    ids: dict[str, None] = {}
    shared: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}  # of 200,000 rows few differ
    try:
        for row in iterate_cells(path):
            ids[row.run_id] = None
            if row.model not in (HOST_CANARY, LANE_TRIAL):
                cell = summarise_row(row)
                alike = shared.setdefault(tuple(cell.conditions.items()), cell.conditions)
                cells.append(replace(cell, conditions=alike))
            if len(cells) % ROWS_A_WORD == 0:
                print(f"{path}: {len(cells):,} rows read", file=sys.stderr)
    except FileNotFoundError:
        raise UnreadableError(f"{path}: no such file") from None
    except (TableError, OSError) as e:
        raise UnreadableError(str(e)) from e
    if not cells:
        raise UnreadableError(f"{path}: it has a header only; give the table of a run that ended")
    if len(ids) > 1:
        raise UnreadableError(
            f"{path}: it mixes {len(ids)} runs ({', '.join(list(ids)[:3])}); give one run's table"
        )
    metrics = frozenset(Metric) - {Metric.TAIL_RATIO}
    return RunSummary(next(iter(ids)), tuple(cells), metrics, (NO_SAMPLES,))


def _describe_facts(outcome: record.Outcome) -> Iterator[str]:
    """What tells an outcome from others of its name, an engine's own words with the reason first."""
    for name, value in vars(outcome).items():
        if told := lead_with_reason(str(value)) if name in ("message", "where") else str(value):
            yield told


def summarise_record(
    part: ShapedRecord, machine: Mapping[str, str], flagged: tuple[str, ...] = ()
) -> CellSummary:
    """What a comparison needs to know of one record and one of its input shapes, and of its host."""
    found, shapes = part.record, cell_figures.format_shapes(part.record.cell)
    cell, check = found.cell, check_launch(found)
    device_ms = {
        x.round: launch_median_ms(x.device_timed)
        for x in found.launches
        if x.device_timed and x.device_timed.source == RECORDS  # a span has launching in it
    }
    launches = tuple(
        _summarise_launch(x, found, device_ms.get(x.round))
        for x in found.launches
        if x.kind == "measure"
    )
    detail = ", ".join(_describe_facts(found.outcome))
    disturbances, disturbed = _find_disturbances(found)
    return CellSummary(
        id=cell.id, model=cell.model.name, target=cell.target.label, variant=cell.variant, digest=cell.digest,
        environment=cell.environment.name, interpreter=cell.environment.python,
        outcome=outcomes.name(found.outcome), detail=detail if len(detail) < 300 else detail[:297] + "…",
        conditions=_record_conditions(found, machine),
        launches=tuple(x for x in launches if x.values), values=_summarise_values(launches),
        accuracy=_summarise_accuracy(check.compared) if check and check.compared else None,
        placement=_summarise_placement(cell.provider, check.placement) if check else None,
        disturbances=(*disturbances, *flagged), disturbed=disturbed,
        shapes=format_signature(shapes) if part.count > 1 else "", is_first=part.number == 1,
        impossible=findings.impossible_reason(found),
    )  # fmt: skip


def _record_conditions(found: Record, machine: Mapping[str, str]) -> Mapping[str, str]:
    """Everything that two runs must have in common, or name as their question."""
    cell, p = found.cell, found.cell.protocol
    known = {
        **machine,
        "model": cell.model.sha256[:12],
        "inputs": cell.inputs_digest,
        "ep_version": _join_engine_versions(cell_figures.merge_versions(found)),
        "io": cell_figures.find_io_mode(found),
        "batch": _join(cell_figures.format_shapes(cell)),
        "precision": cell.target.precision.value,
        "math": cell_figures.name_arithmetic(cell),
        "graph": cell.graph_optimization,
        "protocol": f"runs {p.runs or 'auto'}, warm-up {p.warmup}, {p.min_time_s:g}-{p.max_time_s:g} s"
        f", threads {p.intra_op_threads}/{p.inter_op_threads}, cores {p.affinity or 'any'}"
        f", {p.isolation}{', ' + p.instrumented if p.instrumented else ''}",
    }
    options = _join({**cell.options, **cell.session_config})
    return {k: v for k, v in known.items() if v} | {"options": options}


def _summarise_launch(x: Launch, found: Record, device_ms: float | None) -> LaunchSummary:
    """A measure launch, with the device's time by the device launch of its round."""
    samples = x.timed.samples_ns if x.timed and latency.is_published(found) else ()
    values = _summarise_samples(samples)
    if samples:
        ordered = sorted(samples)
        values[Metric.P50] = quantile(ordered, 0.25) / NS_PER_MS  # moves as p50 does, less noisy
        values[Metric.TAIL_RATIO] = tail_ratio(ordered)
    if samples and device_ms is not None:
        values[Metric.DEVICE] = device_ms
    if x.created:
        values[Metric.SESSION] = x.created.seconds
    for metric, memory in ((Metric.HOST_MEMORY, x.host_memory), (Metric.GPU_MEMORY, x.gpu_memory)):
        if memory:
            values[metric] = memory.peak_mib - memory.baseline_mib
    measured = {m: v for m, v in values.items() if v > 0}
    return LaunchSummary(x.round, x.order, x.began_s, x.boot_id, samples, measured)


def _summarise_samples(samples_ns: Sequence[int]) -> dict[Metric, float]:
    if not samples_ns:
        return {}
    ordered = sorted(samples_ns)
    p99 = supported_quantile(ordered, 0.99)
    return {
        Metric.P50: quantile(ordered, 0.5) / NS_PER_MS,
        Metric.MEAN: statistics.fmean(ordered) / NS_PER_MS,
    } | ({} if p99 is None else {Metric.P99: p99 / NS_PER_MS})


def _summarise_values(launches: Sequence[LaunchSummary]) -> Mapping[Metric, float]:
    """Metrics as the tables publish them; the tail ratio, which they do not have, over the launches."""
    medians = {
        metric: statistics.median(x.values[metric] for x in launches if metric in x.values)
        for metric in dict.fromkeys(m for x in launches for m in x.values)
    }
    return medians | _summarise_samples(list(chain.from_iterable(x.samples_ns for x in launches)))


def _summarise_accuracy(compared: Sequence[Compared]) -> Accuracy:
    return Accuracy(
        mismatched_share=max(map(cell_figures.mismatched_share, compared)),
        relative_norm=cell_figures.find_largest(c.relative_norm for c in compared),
        unusable=next((c.problem for c in compared if c.problem), ""),
    )


def _summarise_placement(provider: str, placed: Placement | None) -> PlacementSummary | None:
    if placed is None or not provider:
        return None
    total, partitions = sum(placed.nodes.values()), placed.partitions.get(provider)
    return PlacementSummary(provider, placed.nodes.get(provider, 0), total, partitions)


def _find_disturbances(found: Record) -> tuple[tuple[str, ...], float]:
    """What made the machine noisy while a cell was measured, and the share of its launches that it met."""
    launches = latency.published_launches(found)
    counters = [x.gpu_counters for x in launches]
    preempted = [latency.was_preempted(x) for x in launches]
    throttled = {r for c in counters if c and c.throttled_share for r in c.throttle_reasons}
    met = [
        p or bool(c and (c.throttled_share or c.others))
        for p, c in zip(preempted, counters, strict=True)
    ]
    texts = _describe_disturbances(
        sum(preempted), len(launches), sorted(throttled), any(c and c.others for c in counters)
    )
    return texts, sum(met) / len(met) if met else 0.0


def _describe_disturbances(
    preempted: int, launches: int | None, throttled: Iterable[str], others: bool
) -> tuple[str, ...]:
    cpu = [f"others took the CPU in {preempted} of {launches} launches"] if preempted else []
    gpu = ["another process on the GPU"] if others else []
    return (*cpu, *(f"GPU throttled: {reason}" for reason in throttled), *gpu)


def summarise_row(row: CellRow) -> CellSummary:
    """What a row of the long table says, which holds launch statistics and no samples."""
    values = {
        Metric.P50: row.p50_ms,
        Metric.MEAN: row.mean_ms,
        Metric.P99: row.p99_ms,
        Metric.DEVICE: row.device_ms if row.device_time_source == RECORDS else None,
        Metric.SESSION: row.creation_second_s,
        Metric.HOST_MEMORY: row.host_peak_mib,
        Metric.GPU_MEMORY: row.gpu_peak_mib,
    }
    conditions = {
        "model": row.model_sha256[:12],
        "inputs": row.inputs_digest,
        "batch": _join(row.input_shapes),
        "ep_version": _join_engine_versions(row.versions),
        "io": row.io,
        "precision": row.precision,
        "math": row.math_mode,
        "graph": row.graph_optimization,
        "host": row.host,
    }
    options = _join({**row.options, **row.session_config})
    launches = QuartileLaunches(tuple(q for q in row.launch_p25s_ms if q > 0))
    accuracy = placement = None
    if row.compared_outputs:
        accuracy = Accuracy((row.mismatched_pct or 0.0) / 100, row.relative_norm)
    if row.provider and row.total_ops is not None and row.ops_on_ep is not None:
        placement = PlacementSummary(
            row.provider, row.ops_on_ep, row.total_ops, row.partitions_on_ep
        )
    preempted, throttled = row.preempted_launches or 0, row.throttled_share
    reasons = row.throttle_reasons if throttled else ()
    return CellSummary(
        id=row.cell, model=row.model, target=row.target, variant=row.variant, digest=row.digest,
        outcome=row.outcome, detail=row.detail,
        conditions={k: v for k, v in conditions.items() if v} | {"options": options},
        launches=launches, values={m: v for m, v in values.items() if v is not None and v > 0},
        accuracy=accuracy, placement=placement,
        disturbances=_describe_disturbances(preempted, row.launches, reasons, bool(row.gpu_others)),
        disturbed=1.0 if throttled or row.gpu_others else preempted / (row.launches or 1),
        shapes=format_signature(row.input_shapes) if (row.shape_count or 1) > 1 else "",
        is_first=(row.shape_number or 1) == 1,
    )  # fmt: skip


def _join_engine_versions(versions: Mapping[str, str]) -> str:
    """Versions of what runs the model; what merely surrounds it changes no answer."""
    return _join({k: v for k, v in versions.items() if k not in BESIDE_THE_ENGINE})


def _join(values: Mapping[str, str]) -> str:
    """A mapping as one condition; `match.differences` takes it apart at the semicolons."""
    return "; ".join(f"{k} {v}" for k, v in sorted(values.items()))


def split_sides(run: RunSummary, first: str, second: str) -> tuple[RunSummary, RunSummary]:
    """The two sides of an A/B run, their cells named alike so that they can be paired."""
    return _take_side(run, first), _take_side(run, second)


def _take_side(run: RunSummary, label: str) -> RunSummary:
    cells = tuple(replace(c, id=c.model, variant="") for c in run.cells if label in _side_names(c))
    if not cells:
        raise UnreadableError(f"{run.label}: no record of {label} in this A/B run")
    return replace(run, label=label, cells=cells)


def _side_names(cell: CellSummary) -> tuple[str, ...]:
    """How --ab may have named a cell's target: as in tables, or with its environment, and its variant."""
    named = ",".join(p for p in cell.variant.split(",") if p and not p.startswith("io="))
    variant = f"[{named}]" if named else ""
    target = cell.target.partition("@")[0]
    return f"{cell.target}{variant}", f"{target}{variant}@{cell.environment}"
