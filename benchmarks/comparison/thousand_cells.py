"""Times the comparison of two runs of 1,000 cells, records with 5 launches of 200 samples each.

python benchmarks/comparison/thousand_cells.py
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import page  # noqa: E402
from tests.comparison.runs import Made, write_run  # noqa: E402

CELLS, LIMIT_S = 1000, 3.0


def main() -> int:
    """Print the best of three wall times; exit status 1 where it is over the limit."""
    with tempfile.TemporaryDirectory() as scratch:
        results = Path(scratch)
        for name in ("a", "b"):
            write_run(results / name, [Made(f"m{i}", runs=200) for i in range(CELLS)])
        script = [sys.executable, str(ROOT / "comparison/comparison_script.py")]
        words = ["-p", "a", "-c", "b", "--results", scratch, "-o", str(results / "out.csv")]
        walls, spent = [], resource.getrusage(resource.RUSAGE_CHILDREN)
        for _ in range(3):
            begun = time.monotonic()
            subprocess.run([*script, *words], check=True, stdout=subprocess.DEVNULL)
            walls.append(time.monotonic() - begun)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = (used.ru_utime + used.ru_stime - spent.ru_utime - spent.ru_stime) / len(walls)
    header = (
        "cells a side",
        "launches",
        "samples a side",
        "best of 3 (s)",
        "CPU time (s)",
        "bar (s)",
    )
    counts = (str(CELLS), str(5 * CELLS), str(1000 * CELLS))
    row = (*counts, f"{min(walls):.2f}", f"{cpu_s:.2f}", f"{LIMIT_S:g}")
    command = "python benchmarks/comparison/thousand_cells.py --write"
    table = page.Table("comparison_scale", command, header, (row,))
    page.publish(table, into_page="--write" in sys.argv)
    return int(min(walls) > LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
