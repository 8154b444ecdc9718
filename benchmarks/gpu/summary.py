"""Prints the GPU columns of one or several cells.csv, a line per cell, for docs/performance.md."""

import sys
from collections.abc import Sequence
from pathlib import Path

from perf.results import tables

COLUMNS = (
    "cell", "exact_outcome", "p50_ms", "launch_half_range_ms", "synchronised", "creation_cold_s", "creation_second_s",
    "gpu_peak_mib", "gpu_baseline_mib", "gpu_scope", "energy_counter_j_per_run", "energy_integrated_j_per_run",
    "average_w", "sm_mhz", "memory_mhz", "temperature_c", "throttled_share", "throttle_reasons", "gpu_others",
    "device_ms", "device_half_range_ms", "device_busy_ms", "device_kernels", "device_time_source", "host_bound_pct",
    "relative_norm", "isolation", "detail",
)  # fmt: skip


def main(paths: Sequence[str]) -> int:
    """One header, then a line per cell and run."""
    print(" | ".join(("run", *COLUMNS)))
    for path in paths:
        for row in tables.read_cells(Path(path)):
            told = [getattr(row, c) for c in COLUMNS]
            print(" | ".join([row.run_id, *("" if v is None else _short(v) for v in told)]))
    return 0


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)[:160]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
