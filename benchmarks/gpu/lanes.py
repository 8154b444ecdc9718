"""Lays launches on two GPUs in turn against those beside each other, by the runs that lanes.sh made.

python -m benchmarks.gpu.lanes RESULTS [--write]
"""

import argparse
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import page
from perf.machine.system import SystemInfo
from perf.results import tables
from perf.schema import codec
from perf.stats.sequential_test import MEDIAN_COST
from perf.stats.summary import mad

ALONE, BESIDE = "never", "always"


def main() -> None:
    """Print the table, and put it into docs/performance.md where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "results", type=Path, help="a folder of results with runs never_1, always_2, …"
    )
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/performance.md"
    )
    given = parser.parse_args()
    alone, beside = (read_launches(given.results, way) for way in (ALONE, BESIDE))
    rows = [make_row(c, alone[c], beside[c]) for c in alone if alone[c] and beside.get(c)]
    gone = [c for c in {**alone, **beside} if not (alone.get(c) and beside.get(c))]
    where = describe_host(next(given.results.glob(f"{BESIDE}_*/host.json")))
    page.publish(make_table(rows, gone, where), into_page=given.write)


def read_launches(results: Path, way: str) -> Mapping[str, Sequence[float]]:
    """Each cell's p50 of every launch, over the runs of one way."""
    found: dict[str, list[float]] = {}
    for path in sorted(results.glob(f"{way}_*/cells.csv")):
        for row in tables.read_cells(path):
            found.setdefault(row.cell, []).extend(row.launch_p50s_ms)
    return found


def make_row(cell: str, alone: Sequence[float], beside: Sequence[float]) -> tuple[str, ...]:
    """Both ways' medians with half their ranges, and how much longer the second is, ± two errors."""
    effect = math.log(statistics.median(beside) / statistics.median(alone))
    error = math.hypot(*(relative_error(side) for side in (alone, beside)))
    return (
        cell.replace("CUDAExecutionProvider", ""),
        f"{len(alone)} + {len(beside)}",
        spell(alone),
        spell(beside),
        f"{100 * math.expm1(effect):+.1f} ± {200 * error:.1f} %",
    )


def relative_error(values: Sequence[float]) -> float:
    """Standard error of the median, as a share of it."""
    logs = [math.log(v) for v in values]
    return MEDIAN_COST * mad(logs) / math.sqrt(len(logs))


def spell(values: Sequence[float]) -> str:
    """A median, and half the range in % of it."""
    middle = statistics.median(values)
    return f"{middle:.3f} ± {100 * (max(values) - min(values)) / 2 / middle:.1f} %"


def describe_host(path: Path) -> str:
    """The machine that a run measured."""
    host = codec.decode(SystemInfo, json.loads(path.read_text(encoding="utf-8")))
    boards = " and ".join(g.name for g in host.gpus)
    driver = host.gpus[0].driver if host.gpus else "none"
    return f"{boards}, driver {driver}; {host.usable_cores} cores of {host.cpu}"


def make_table(rows: Sequence[tuple[str, ...]], gone: Sequence[str], where: str) -> page.Table:
    """The rows, and what they leave unsaid, such as cells that were not launched both ways."""
    missing = [f"Not launched both ways: {', '.join(gone)}."] if gone else []
    return page.Table(
        "gpu_lanes",
        "bash benchmarks/gpu/lanes.sh PIECES OUT",
        ("model, variant", "launches", "in turn: p50 ms", "beside the other: p50 ms", "longer by"),
        tuple(rows),
        (
            "Runs in turn and in lanes as ABBA, on the same cores; ± after a p50 is half the range of launches, after a "
            "difference two standard errors of both medians.",
            *missing,
        ),
        where,
    )


if __name__ == "__main__":
    main()
