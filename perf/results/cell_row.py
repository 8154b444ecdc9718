"""One record told as one row of the long table: every figure, from the launches that it is true of."""

import math
import statistics as stdlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from perf.results.columns import CellRow
from perf.results.host_records import host_name
from perf.results.latency import (
    NS_PER_MS,
    collect_marks,
    describe_check,
    published_launches,
    summarise_latency,
)
from perf.schema import outcomes
from perf.schema.cell import Cell, Precision
from perf.schema.fold import Expectation, is_wrong
from perf.schema.journal import Compared, Created, HostMemory, Placement, Timed
from perf.schema.record import (
    GpuCounters,
    GpuMemory,
    Launch,
    LaunchKind,
    Passed,
    Record,
    check_launch,
    measure_launches,
)
from perf.stats.summary import PairedGain, ratio, rounded

UNPROVEN = "unproven"
Facts = dict[str, Any]  # columns of CellRow by name


def make_cell_row(
    record: Record, gain: PairedGain | None, *, run_id: str, label: str = "", host: str = ""
) -> CellRow:
    """The long table's row of a record; `gain` is over the CPU EP."""
    return CellRow(
        run_id=record.run_id or run_id,
        label=label,
        host=_hosts(record) or host,
        **_asked(record),
        **_outcome(record),
        **_latency(record),
        **_gain(gain),
        **_session(record),
        **memory_columns(record),
        **counter_columns(record),
        **_placement(record),
        **_validation(record),
    )


def _hosts(record: Record) -> str:
    """Names of the hosts that its launches ran on; "" where they do not tell."""
    names = dict.fromkeys(host_name(x.host) for x in record.launches if x.host)
    return "+".join(names)


def math_mode(cell: Cell) -> str:
    """The arithmetic a cell may use: TF32 is not fp32."""
    tf32 = cell.tf32 and cell.target.precision is Precision.FP32
    return "tf32" if tf32 else cell.target.precision.value


def input_shapes(cell: Cell) -> Mapping[str, str]:
    """Shapes of the first test set's inputs: 1x3x224x224; "scalar" for none."""
    first = cell.sets[0].inputs if cell.sets else ()
    return {t.name: "x".join(str(d) for d in t.shape) or "scalar" for t in first}


def versions(record: Record) -> Mapping[str, str]:
    """Of the environment, and over them those that launches told as loaded."""
    out = dict(record.cell.environment.versions)
    for launch in record.launches:
        out |= launch.versions
    return out


def io_mode(record: Record) -> str:
    """As timed, which is what is true; as asked for where nothing was timed."""
    told = {x.timed.io for x in measure_launches(record) if x.timed}
    return "+".join(sorted(told)) or record.cell.io.value


def log_path(record: Record) -> str:
    """The log of the launch that decided the outcome, below a result folder; "" where none ran."""
    if not record.launches:
        return ""
    failed = [x for x in record.launches if not isinstance(x.outcome, Passed)]
    same = [x for x in failed if x.outcome == record.outcome]
    launch = (same or failed or [record.launches[-1]])[0]
    folder = PurePosixPath(record.run_id or ".") / "cells" / record.cell.folder.as_posix()
    return str(folder / launch.name / "output.log")


def _asked(record: Record) -> Facts:
    cell, protocol = record.cell, record.cell.protocol
    return {
        "cell": cell.id,
        "digest": cell.digest,
        "model": cell.model.name,
        "model_sha256": cell.model.sha256,
        "inputs_digest": cell.inputs_digest,
        "input_shapes": input_shapes(cell),
        "target": cell.target.label,
        "precision": cell.target.precision.value,
        "math_mode": math_mode(cell),
        "environment": cell.environment.name,
        "versions": versions(record),
        "variant": cell.variant,
        "provider": cell.provider,
        "options": cell.options,
        "session_config": cell.session_config,
        "graph_optimization": cell.graph_optimization,
        "io": io_mode(record),
        "isolation": protocol.isolation,
        "seed": protocol.seed,
        "intra_op_threads": protocol.intra_op_threads,
        "inter_op_threads": protocol.inter_op_threads,
        "cpu_affinity": protocol.affinity,
        "instrumented": protocol.instrumented,
        "min_ep_share": cell.min_ep_share,
        "rtol": cell.tolerance.rtol,
        "atol": cell.tolerance.atol,
        "atol_scaled": cell.tolerance.atol_scaled,
        "percent_mismatch": cell.tolerance.percent_mismatch,
    }


def _outcome(record: Record) -> Facts:
    outcome = record.outcome
    notes = (f"{n.key}: {n.text}" for x in record.launches for n in x.notes)
    return {
        "status": outcomes.status(outcome),
        "outcome": outcomes.name(outcome),
        "exact_outcome": outcomes.exact(outcome),
        "stage": outcomes.stage(outcome),
        "error_type": outcomes.error_type(outcome),
        "detail": outcomes.detail(outcome),
        "check": describe_check(record),
        "marks": collect_marks(record),
        "finished_at": record.finished_at,
        "wall_s": rounded(record.wall_s) or None,
        "log": log_path(record),
        "notes": tuple(dict.fromkeys(notes)),
    }


def _latency(record: Record) -> Facts:
    found, timed = (
        summarise_latency(record),
        [x.timed for x in published_launches(record) if x.timed],
    )
    summary = found.summary if found else None
    spread = found.spread if found else None
    interval = spread.interval if spread else None
    return {
        "launches": spread.launches if spread else None,
        "preempted_launches": found.preempted if found else None,
        "samples": summary.n if summary else None,
        "sets": max((t.sets for t in timed), default=None),
        "warmup": max((t.warmup for t in timed), default=None),
        "mean_ms": rounded(summary.mean if summary else None),
        "stdev_ms": rounded(summary.stdev if summary else None),
        "min_ms": rounded(summary.minimum if summary else None),
        "p50_ms": rounded(summary.p50 if summary else None),
        "p90_ms": rounded(summary.p90 if summary else None),
        "p95_ms": rounded(summary.p95 if summary else None),
        "p99_ms": rounded(summary.p99 if summary else None),
        "launch_median_ms": rounded(spread.median if spread else None),
        "launch_mad_ms": rounded(spread.mad if spread else None),
        "launch_half_range_ms": rounded(spread.half_range if spread else None),
        "launch_low_ms": rounded(interval.low if interval else None),
        "launch_high_ms": rounded(interval.high if interval else None),
        "launch_level": interval.level if interval else None,
        "launch_p50s_ms": tuple(round(m, 6) for m in found.medians_ms) if found else (),
        "launch_p25s_ms": tuple(round(q, 6) for q in found.quarters_ms) if found else (),
        "runs_per_s": ratio(1000.0, summary.mean if summary else None),
        "floor_us": stdlib.median(t.floor_ns for t in timed) / 1000 if timed else None,
        "parts_p50_ms": _parts(timed),
        "synchronised": all(t.synchronised for t in timed) if timed else None,
        "gpu_only": any(t.gpu_only for t in timed) if timed else None,
    }


def _parts(timed: list[Timed]) -> Mapping[str, float]:
    names = dict.fromkeys(name for t in timed for name in t.parts_ns)
    samples = {n: [ns for t in timed for ns in t.parts_ns.get(n, ())] for n in names}
    return {n: round(stdlib.median(s) / NS_PER_MS, 6) for n, s in samples.items() if s}


def _gain(gain: PairedGain | None) -> Facts:
    interval = gain.interval if gain else None
    return {
        "cpu_gain_pct": rounded(gain.percent, 4) if gain and gain.claimed else None,
        "cpu_gain_low_pct": rounded(interval.low, 4) if interval else None,
        "cpu_gain_high_pct": rounded(interval.high, 4) if interval else None,
        "cpu_gain_pairs": gain.pairs if gain else None,
    }


def _session(record: Record) -> Facts:
    check, timed = check_launch(record), measure_launches(record)
    cold = check.created if check and check.cold else _uncached(timed)
    again = [x.created.seconds for x in timed if x.created]
    first = [x.first_run.seconds * 1000 for x in timed if x.first_run]
    cached = [x.created.cached for x in timed if x.created and x.created.cached is not None]
    return {
        "creation_cold_s": rounded(cold.seconds if cold else None),
        "creation_second_s": rounded(stdlib.median(again) if again else None),
        "first_run_ms": rounded(
            check.first_run.seconds * 1000 if check and check.first_run else None
        ),
        "first_run_second_ms": rounded(stdlib.median(first) if first else None),
        "engine_cached": all(cached) if cached else None,
    }


def _uncached(timed: Sequence[Launch]) -> Created | None:
    """Where an engine keeps no cache, the first measure launch's creation is cold, and alone, too."""
    first = timed[0].created if timed else None
    return first if first and first.cached is None else None


def placement_of(record: Record) -> Placement | None:
    """The account of where nodes ran: the check launch's, else any launch's."""
    told = [x.placement for x in record.launches if x.placement]
    check = check_launch(record)
    return check.placement if check and check.placement else (told[0] if told else None)


def ops_left_on_others(found: Placement | None, provider: str) -> Mapping[str, int]:
    """Nodes left on other providers, by provider/operator type, most first."""
    others = {
        f"{p}/{op}": n
        for p, ops in (found.op_types if found else {}).items()
        if p != provider
        for op, n in ops.items()
    }
    return dict(sorted(others.items(), key=lambda item: (-item[1], item[0])))


def _placement(record: Record) -> Facts:
    found, provider = placement_of(record), record.cell.provider
    attested = next((x.attested for x in record.launches if x.attested), None)
    ran = any(x.created for x in record.launches)
    source = found.source if found else (UNPROVEN if provider and ran else "")
    total = sum(found.nodes.values()) if found else None
    mine = found.nodes.get(provider, 0) if found and provider else None
    times = found.host_time_us if found and found.host_time_us else None
    spent = sum(times.values()) if times else None
    own = times.get(provider, 0.0) if times and provider else None
    return {
        "placement_source": source,
        "total_ops": total,
        "ops_on_ep": mine,
        "ratio_of_ops_on_ep": ratio(mine, total),
        "partitions_on_ep": found.partitions.get(provider) if found else None,
        "partition_nodes": found.partition_nodes.get(provider, ()) if found else (),
        "partition_us": found.partition_us.get(provider, {}) if found else {},
        "host_time_us": rounded(spent, 3),
        "host_time_on_ep_us": rounded(own, 3),
        "ratio_of_time_on_ep": ratio(own, spent),
        "ops_elsewhere": ops_left_on_others(found, provider),
        "attested_layer_share": attested.layer_share if attested else None,
        "attested_time_share": attested.time_share if attested else None,
        "attested_source": attested.source if attested else "",
        "precision_regime": attested.regime if attested else "",
    }


def _validation(record: Record) -> Facts:
    compared = [c for x in record.launches for c in x.compared]
    allowed = Expectation(percent_mismatch=record.cell.tolerance.percent_mismatch)

    def badness(c: Compared) -> tuple[bool, float, float]:
        return (is_wrong(c, allowed), _part(c.mismatched, c.total), c.max_abs or 0.0)

    worst = max(compared, key=badness, default=None)
    cosines = [c.cosine for c in compared if c.cosine is not None]
    return {
        "compared_outputs": len(compared) or None,
        "max_abs": _largest(c.max_abs for c in compared),
        "max_rel": _largest(c.max_rel for c in compared),
        "relative_norm": _largest(c.relative_norm for c in compared),
        "cosine": min(cosines, key=lambda c: (not math.isnan(c), c), default=None),
        "mismatched_pct": 100 * _part(worst.mismatched, worst.total) if worst else None,
        "worst_output": f"{worst.set}/{worst.output}" if worst else "",
        "worst_index": worst.worst_index if worst else (),
    }


def _largest(values: Iterable[float | None]) -> float | None:
    """The largest, NaN the largest of all: it is the worst that can be said."""
    known = [v for v in values if v is not None]
    return max(known, key=lambda v: (math.isnan(v), v), default=None)


def _part(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def memory_columns(record: Record) -> Facts:
    """Columns of memory, from the measure launches, else from the check launch."""
    at = measure_launches(record) or tuple(
        x for x in record.launches if x.kind is LaunchKind.CHECK
    )
    host = max((x.host_memory for x in at if x.host_memory), key=_above, default=None)
    gpu = max((x.gpu_memory for x in at if x.gpu_memory), key=_above, default=None)
    trees = [x.ending.peak_rss_mib for x in at if x.ending.peak_rss_mib is not None]
    return {
        "host_peak_mib": rounded(_above(host), 3) if host else None,
        "host_baseline_mib": rounded(host.baseline_mib, 3) if host else None,
        "host_tree_peak_mib": rounded(max(trees, default=None), 3),
        "gpu_peak_mib": rounded(_above(gpu), 3) if gpu else None,
        "gpu_baseline_mib": rounded(gpu.baseline_mib, 3) if gpu else None,
        "gpu_scope": gpu.scope if gpu else "",
        "gpu_by_stage_mib": gpu.by_stage_mib if gpu else {},
    }


def counter_columns(record: Record) -> Facts:
    """Counters of the timed stages; energy is the sum over launches for the sum of their runs."""
    told = [(x.gpu_counters, x) for x in published_launches(record) if x.gpu_counters]
    found, last = [c for c, _ in told], summarise_latency(record)
    power = _weighted(found, [c.average_w for c in found])
    idle = _weighted(found, [c.idle_w for c in found])
    by_counter = _per_run((c.energy_counter_j, x) for c, x in told)
    integrated = _per_run((c.energy_integrated_j, x) for c, x in told)
    rate = ratio(1000.0, last.summary.mean if last else None)
    gap = None if by_counter is None or integrated is None else integrated - by_counter
    return {
        "gpu": record.cell.gpu_name,
        "gpu_uuid": record.cell.gpu,
        "cpu_energy_j_per_run": rounded(
            _per_run((x.cpu_energy_j, x) for x in published_launches(record)), 9
        ),
        "energy_counter_j_per_run": rounded(by_counter, 9),
        "energy_integrated_j_per_run": rounded(integrated, 9),
        "energy_disagreement_pct": ratio(gap * 100 if gap is not None else None, by_counter),
        "average_w": rounded(power, 3),
        "average_above_idle_w": rounded(
            None if power is None or idle is None else power - idle, 3
        ),
        "runs_per_s_per_w": ratio(rate, power),
        "runs_per_s_per_board_w": ratio(
            rate, max((c.board_limit_w for c in found if c.board_limit_w), default=None)
        ),
        "power_source": "+".join(sorted({c.power_source for c in found} - {""})),
        "sm_mhz": rounded(_weighted(found, [c.sm_mhz for c in found]), 1),
        "memory_mhz": rounded(_weighted(found, [c.memory_mhz for c in found]), 1),
        "temperature_c": max(
            (c.temperature_c for c in found if c.temperature_c is not None), default=None
        ),
        "throttled_share": rounded(_weighted(found, [c.throttled_share for c in found])),
        "throttle_reasons": tuple(dict.fromkeys(r for c in found for r in c.throttle_reasons)),
        "gpu_others": max((c.others for c in found), default=None),
    }


def _above(memory: HostMemory | GpuMemory | None) -> float:
    return memory.peak_mib - memory.baseline_mib if memory else 0.0


def _weighted(found: list[GpuCounters], values: list[float | None]) -> float | None:
    """Mean over launches, weighted by the length of their timed stages."""
    known = [(v, c.window_s) for v, c in zip(values, found, strict=True) if v is not None]
    weight = sum(w for _, w in known)
    if not known:
        return None
    return sum(v * w for v, w in known) / weight if weight else stdlib.fmean(v for v, _ in known)


def _per_run(energies: Iterable[tuple[float | None, Launch]]) -> float | None:
    known = [(j, len(x.timed.samples_ns)) for j, x in energies if j is not None and x.timed]
    runs = sum(n for _, n in known)
    return sum(j for j, _ in known) / runs if runs else None
