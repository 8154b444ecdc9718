"""Times the comparison of two long tables of 100,000 rows each, and the memory that it takes.

python benchmarks/comparison/many_rows.py
"""

import csv
import itertools
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import page  # noqa: E402
from perf.results.columns import column_names, row_values  # noqa: E402
from perf.results.tables import format_value, tabulate_cells  # noqa: E402
from tests.comparison.runs import Made, record_of  # noqa: E402

ROWS, LIMIT_S, LIMIT_MIB = 100_000, 60.0, 1024
ALIKE = 200  # cells whose rows are repeated under other names


def write_table(path: Path, label: str) -> None:
    """A cells.csv of ROWS rows, a model each, its latencies drawn."""
    chance = random.Random(label)
    made = [
        record_of(Made("model", launch_ms=[chance.uniform(1, 9)] * 5, runs=20))
        for _ in range(ALIKE)
    ]
    rows = [x.row for x in tabulate_cells(made, run_id=label)]
    header = column_names(type(rows[0]))
    names = {header.index("model"): "m{}", header.index("cell"): "m{}::CPU"}
    texts = [[format_value(v) for v in row_values(row)] for row in rows]
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(header)
        for number, text in zip(range(ROWS), itertools.cycle(texts), strict=False):
            out.writerow(names[k].format(number) if k in names else v for k, v in enumerate(text))


def main() -> int:
    """Print one comparison's time and memory; exit status 1 where either is over its limit."""
    with tempfile.TemporaryDirectory() as scratch:
        tables = [Path(scratch) / f"{name}.csv" for name in ("a", "b")]
        for path in tables:
            write_table(path, path.stem)
        script = [sys.executable, str(ROOT / "comparison/comparison_script.py")]
        begun = time.monotonic()
        words = ["-p", str(tables[0]), "-c", str(tables[1]), "-o", str(Path(scratch) / "out.csv")]
        subprocess.run([*script, *words], check=False, stdout=subprocess.DEVNULL)
        wall_s = time.monotonic() - begun
        with (Path(scratch) / "out.csv").open(encoding="utf-8") as file:
            verdicts = sum(1 for _ in csv.reader(file)) - 1
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    mib = used.ru_maxrss / 1024
    row = (
        f"{2 * ROWS:,}",
        f"{verdicts:,}",
        f"{wall_s:.1f}",
        f"{used.ru_utime + used.ru_stime:.1f}",
        f"{mib:.0f}",
    )
    header = ("rows", "verdicts", "wall (s)", "CPU time (s)", "memory at most (MiB)")
    notes = (f"Bars: {LIMIT_S:g} s and {LIMIT_MIB} MiB.",)
    table = page.Table(
        "comparison_rows",
        "python benchmarks/comparison/many_rows.py --write",
        header,
        (row,),
        notes,
    )
    page.publish(table, into_page="--write" in sys.argv)
    return int(wall_s > LIMIT_S or mib > LIMIT_MIB)


if __name__ == "__main__":
    sys.exit(main())
