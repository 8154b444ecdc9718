"""Rows of cells.csv or cells.jsonl, which keep launch statistics but no samples, as one side."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from comparison.cell_summary import (
    Accuracy,
    CellSummary,
    LaunchSummary,
    Metric,
    PlacementSummary,
    Side,
)
from comparison.run_records import HOST_CANARY, UnreadableError, engine_versions, joined
from perf.results.columns import CellRow
from perf.results.tables import TableError, read_cells

CANNOT = ("it holds no samples: launches cannot be paired, and only p50 has a spread",)


def read_cells_table(path: Path) -> Side:
    """One side from a long table; raises UnreadableError naming file, line and column."""
    try:
        rows = read_cells(path)
    except FileNotFoundError:
        raise UnreadableError(f"{path}: no such file") from None
    except (TableError, OSError) as e:
        raise UnreadableError(str(e)) from e
    if not rows:
        raise UnreadableError(f"{path}: it has a header only; give the table of a run that ended")
    runs = dict.fromkeys(r.run_id for r in rows)
    if len(runs) > 1:
        raise UnreadableError(
            f"{path}: it mixes {len(runs)} runs ({', '.join(list(runs)[:3])}); give one run's table"
        )
    return Side(
        rows[0].run_id,
        tuple(_facts(r) for r in rows if r.model != HOST_CANARY),
        frozenset(Metric) - {Metric.SLOW_END},
        CANNOT,
    )


def _facts(row: CellRow) -> CellSummary:
    values = {
        Metric.P50: row.p50_ms,
        Metric.MEAN: row.mean_ms,
        Metric.P99: row.p99_ms,
        Metric.SESSION: row.creation_second_s,
        Metric.HOST_MEMORY: row.host_peak_mib,
        Metric.GPU_MEMORY: row.gpu_peak_mib,
    }
    return CellSummary(
        id=row.cell,
        model=row.model,
        target=row.target,
        variant=row.variant,
        outcome=row.outcome,
        detail=row.detail,
        digest=row.digest,
        conditions=_conditions(row),
        launches=_launches(row.launch_p25s_ms),
        values={m: v for m, v in values.items() if v is not None and v > 0},
        accuracy=_accuracy(row),
        placement=_placement(row),
        disturbances=tuple(_disturbances(row)),
        disturbed=1.0
        if row.throttled_share or row.gpu_others
        else (row.preempted_launches or 0) / (row.launches or 1),
    )


def _launches(quarters_ms: Sequence[float]) -> tuple[LaunchSummary, ...]:
    return tuple(
        LaunchSummary(i, i, 0.0, "", (), {Metric.P50: q})
        for i, q in enumerate(quarters_ms)
        if q > 0
    )


def _conditions(row: CellRow) -> dict[str, str]:
    given = {
        "model": row.model_sha256[:12],
        "inputs": row.inputs_digest,
        "batch": joined(row.input_shapes),
        "ep_version": engine_versions(row.versions),
        "io": row.io,
        "precision": row.precision,
        "math": row.math_mode,
        "graph": row.graph_optimization,
        "host": row.host,
    }
    options = joined({**row.options, **row.session_config})
    return {k: v for k, v in given.items() if v} | {"options": options}


def _accuracy(row: CellRow) -> Accuracy | None:
    if not row.compared_outputs:
        return None
    share = row.mismatched_pct or 0.0
    return Accuracy(mismatched_share=share / 100, relative_norm=row.relative_norm)


def _placement(row: CellRow) -> PlacementSummary | None:
    if not row.provider or row.total_ops is None or row.ops_on_ep is None:
        return None
    return PlacementSummary(row.provider, row.ops_on_ep, row.total_ops, row.partitions_on_ep)


def _disturbances(row: CellRow) -> Iterable[str]:
    if row.preempted_launches:
        yield f"others took the CPU in {row.preempted_launches} of {row.launches} launches"
    if row.throttled_share:
        yield from (f"GPU throttled: {reason}" for reason in row.throttle_reasons)
    if row.gpu_others:
        yield "another process on the GPU"
