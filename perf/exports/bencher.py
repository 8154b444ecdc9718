"""Bencher Metric Format: a benchmark per cell that published a latency, its measures with their bounds."""

import json
from collections.abc import Mapping

from perf.exports.case import Case, cases_of
from perf.exports.figures import figures_of
from perf.report.finished_run import FinishedRun

NS_PER_MS = 1e6
LONGEST_NAME = 1024
# Besides latency and throughput, which Bencher has of its own, in nanoseconds and operations per second.
OTHERS = {
    "host-memory-mib": "host_peak_mib",
    "gpu-memory-mib": "gpu_peak_mib",
    "energy-j-per-run": "energy_j_per_run",
    "session-creation-s": "creation_second_s",
}
Measures = dict[str, dict[str, float]]


def to_bencher(run: FinishedRun) -> str:
    """The run as one object of benchmarks."""
    told = {c.id[:LONGEST_NAME]: _measures(c) for c in cases_of(run) if c.row.p50_ms is not None}
    return json.dumps(told, indent=1) + "\n"


def _measures(case: Case) -> Measures:
    row, found = case.row, figures_of(case)
    middle = row.launch_median_ms if row.launch_median_ms is not None else row.p50_ms
    out: Measures = {"latency": _bounded(middle, row.launch_low_ms, row.launch_high_ms, NS_PER_MS)}
    if row.runs_per_s is not None:
        out["throughput"] = {"value": row.runs_per_s}
    if row.p99_ms is not None:
        out["latency-p99"] = {"value": row.p99_ms * NS_PER_MS}
    return out | _others(found)


def _bounded(
    value: float | None, low: float | None, high: float | None, factor: float
) -> dict[str, float]:
    told = {"value": value, "lower_value": low, "upper_value": high}
    return {name: v * factor for name, v in told.items() if v is not None}


def _others(found: Mapping[str, float]) -> Measures:
    return {name: {"value": found[figure]} for name, figure in OTHERS.items() if figure in found}
