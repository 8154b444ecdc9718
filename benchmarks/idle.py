"""What the wrapper itself uses while a worker runs: its share of a core, and its memory.

    python -m benchmarks.idle [--runs 3000] [--write]

Starts a real run of one cell, long enough to look at, and reads /proc of the wrapper's process from outside
while its worker is in the timed stage. Without a GPU, nothing is sampled by the wrapper itself.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks import harness, page, watching
from perf.results import run_folder
from perf.results.run_folder import RunFolder
from perf.schema.record import Record, measure_launches

SHARE_BAR_PERCENT, RSS_BAR_MIB = 1.0, 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3000)
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/performance.md"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        results = Path(scratch) / "result"
        argv = harness.wrapper(
            "-o", str(results), "-r", "both", "-i", "zoo", "-e", "cpu", "--models", "squeezenet",
            "-t", str(given.runs), "--launches", "1",
        )  # fmt: skip
        seen = watching.watch(argv, Path(scratch) / "log")
        (record,) = run_folder.read_records(
            RunFolder(results, (results / "latest").resolve().name)
        )
    page.publish(_table(seen, record, given.runs), into_page=given.write)


def _table(seen: watching.Watched, record: Record, runs: int) -> page.Table:
    timed = measure_launches(record)[0].timed
    if timed is None:
        raise RuntimeError(f"{record.cell.id} was not timed: {seen.output}")
    during = seen.between(timed.begun_s, timed.ended_s)
    first, last = during[0], during[-1]
    share = 100 * (last.cpu_s - first.cpu_s) / (last.at_s - first.at_s)
    peak = max(x.rss_mib for x in seen.looks)
    return page.Table(
        "idle",
        f"python -m benchmarks.idle --runs {runs}",
        ("the wrapper's", "found", "bar"),
        (
            (
                "share of a core while a worker runs",
                f"{share:.2f} %",
                f"< {SHARE_BAR_PERCENT:g} %",
            ),
            ("resident memory then", f"{last.rss_mib:.0f} MiB", f"< {RSS_BAR_MIB:g} MiB"),
            ("resident memory, largest of the run", f"{peak:.0f} MiB", f"< {RSS_BAR_MIB:g} MiB"),
            (
                "CPU time in the whole run",
                f"{seen.looks[-1].cpu_s:.2f} s of {seen.wall_s:.1f} s",
                "",
            ),
        ),
        (f"{len(during)} looks over {last.at_s - first.at_s:.1f} s of one launch's timed loop.",),
    )


if __name__ == "__main__":
    main()
