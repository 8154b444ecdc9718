"""The figures of a cell that dashboards keep, by name and unit, and none that is not published."""

import math
from collections.abc import Mapping

from perf.exports.case import Case


def figures_of(case: Case) -> Mapping[str, float]:
    """Known figures, in the units of their names; what is unknown or not finite is left out."""
    row = case.row
    energy = row.energy_counter_j_per_run or row.energy_integrated_j_per_run
    told = {
        "p50_ms": row.p50_ms,
        "mean_ms": row.mean_ms,
        "p90_ms": row.p90_ms,
        "p99_ms": row.p99_ms,
        "launch_half_range_ms": row.launch_half_range_ms,
        "runs_per_s": row.runs_per_s,
        "cpu_gain_pct": row.cpu_gain_pct,
        "creation_cold_s": row.creation_cold_s,
        "creation_second_s": row.creation_second_s,
        "host_peak_mib": row.host_peak_mib,
        "gpu_peak_mib": row.gpu_peak_mib,
        "energy_j_per_run": energy or row.cpu_energy_j_per_run,
        "ratio_of_ops_on_ep": row.ratio_of_ops_on_ep,
        "relative_norm": row.relative_norm,
    }
    return {name: v for name, v in told.items() if v is not None and math.isfinite(v)}
