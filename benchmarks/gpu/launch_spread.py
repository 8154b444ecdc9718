"""Prints each cell's launches of several runs: their p50s, half their range, and what is left without the worst of them."""

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from perf.results import tables


def main(paths: Sequence[str]) -> int:
    """A line for each cell of each table."""
    for path in paths:
        for row in tables.read_cells(Path(path)):
            p50s = sorted(row.launch_p50s_ms)
            if not p50s:
                continue
            spelled = " ".join(f"{p:.4f}" for p in row.launch_p50s_ms)
            print(f"{row.run_id} {row.cell}: ± {half_range_pct(p50s):.1f} %, "
                  f"but for the slowest ± {half_range_pct(p50s[:-1]):.1f} %: {spelled}")  # fmt: skip
    return 0


def half_range_pct(values: Sequence[float]) -> float:
    """Half the range of launches in % of their median."""
    return 50 * (max(values) - min(values)) / statistics.median(values) if values else 0.0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
