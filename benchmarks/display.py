"""Whether the display on a terminal disturbs what is measured below it: runs with and without it, in turns.

    python -m benchmarks.display [--pairs 40] [--prefix chrt -r 5] [--write]

Both sides of a pair run on a terminal of their own; one is a dumb one, on which nothing is drawn. `--prefix` starts
the wrapper, and with it its workers, so that what else goes on on the machine disturbs neither.
"""

import argparse
import math
import os
import pty
import random
import select
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import harness, page
from perf.results.tables import read_cells
from perf.stats.summary import Interval, median_interval

BAR = 0.01
FLAGS = ("-r", "benchmark", "-i", "random", "-e", "cpu", "-t", "150", "--launches", "2",
         "--intra_op_threads", "1", "--models", "squeezenet", "shufflenet")  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """One run: how long it took, and its cells' p50."""

    wall_s: float
    p50s_ms: tuple[float, ...]
    drawn: int  # bytes that its terminal was sent
    waited: bool  # for another run of the harness, which is no cost of either side


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--prefix", nargs="+", default=["chrt", "-r", "5"])
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/performance.md"
    )
    given = parser.parse_args()
    chance, pairs = random.Random(1), list[tuple[Seen, Seen]]()
    while len(pairs) < given.pairs:
        order = chance.sample(("xterm", "dumb"), 2)
        found = {terminal: _run(terminal, given.prefix) for terminal in order}
        if not any(seen.waited for seen in found.values()):
            pairs.append((found["xterm"], found["dumb"]))
    page.publish(_table(pairs, given.prefix), into_page=given.write)


def _run(terminal: str, prefix: Sequence[str]) -> Seen:
    with harness.quiet():
        pass  # another run's end is not this one's cost
    with tempfile.TemporaryDirectory() as scratch:
        results = Path(scratch) / "result"
        ours, theirs = pty.openpty()
        begun = time.monotonic()
        process = subprocess.Popen(
            [*prefix, *harness.wrapper("-o", str(results), *FLAGS)],
            stdout=theirs, stderr=theirs, env={**os.environ, "TERM": terminal},
        )  # fmt: skip
        os.close(theirs)
        told = _read_all(ours)
        status = process.wait()
        wall_s = time.monotonic() - begun
        if status:
            raise RuntimeError(
                f"the run ended with status {status}:\n{told.decode(errors='replace')}"
            )
        rows = read_cells(results / "latest" / "cells.jsonl")
    p50s = tuple(r.p50_ms for r in rows if r.p50_ms is not None)
    return Seen(wall_s, p50s, len(told), b"waiting for run" in told)


def _read_all(terminal: int) -> bytes:
    """What a process writes to its terminal, until its last descendant has closed it."""
    told = b""
    try:
        while select.select([terminal], [], [], 600)[0] and (chunk := os.read(terminal, 65536)):
            told += chunk
    except OSError:
        pass  # how Linux says that the other end is closed
    finally:
        os.close(terminal)
    return told


def _table(pairs: Sequence[tuple[Seen, Seen]], prefix: Sequence[str]) -> page.Table:
    p50s = [
        [math.log(a.p50s_ms[i] / b.p50s_ms[i]) for a, b in pairs]
        for i in range(len(pairs[0][0].p50s_ms))
    ]
    walls = [math.log(a.wall_s / b.wall_s) for a, b in pairs]
    rows = [
        ("p50 of all cells", _ratio([sum(logs) / len(logs) for logs in zip(*p50s, strict=True)])),
        ("whole run", _ratio(walls)),
    ]
    typical_s = sorted(b.wall_s for _, b in pairs)[len(pairs) // 2]
    drawn = sorted(a.drawn - b.drawn for a, b in pairs)[len(pairs) // 2]
    return page.Table(
        "display",
        "python -m benchmarks.display",
        ("with the display / without", "ratio, 95 % interval", "bar"),
        tuple((name, text, f"1 ± {BAR:g}") for name, text in rows),
        (
            f"{len(pairs)} pairs in turns, in random order within a pair; medians of the pairs' ratios. A run is "
            f"{len(p50s)} models, 2 launches of 150 runs each, {typical_s:.1f} s; the display drew {drawn / 1024:.0f} KiB. "
            f"Wrapper and workers under `{' '.join(prefix)}`.",
        ),
    )  # fmt: skip


def _ratio(logs: Sequence[float]) -> str:
    middle, interval = sorted(logs)[len(logs) // 2], median_interval(logs)
    assert isinstance(interval, Interval), "too few pairs"
    return f"{math.exp(middle):.4f} [{math.exp(interval.low):.4f}, {math.exp(interval.high):.4f}]"


if __name__ == "__main__":
    main()
