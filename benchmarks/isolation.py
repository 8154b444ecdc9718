"""What a process of its own costs: wall time per launch beyond its session and its runs.

    python -m benchmarks.isolation [--rounds 40] [--write]

In each round, in random order: a launch forked by a host, a launch spawned afresh, and a bare script that
imports numpy and onnxruntime, makes the same session and the same 3 runs. The floor is what session and
runs took inside the bare script of the same round; a launch's cost is its wall time, from the wrapper's
decision to its durable answer, less that floor.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from benchmarks import harness, page
from perf.core.statistics import median_interval
from perf.wrapper.supervise import Supervisor

RUNS = 3
BARS_MS = {"host": 10, "spawn": 130}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--model", default="squeezenet")
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/performance.md"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        job = harness.cell_of(
            Path(scratch) / "result", "-r", "both", "-i", "zoo", "-e", "cpu", "--models", given.model,
            "-t", str(RUNS), "--warmup", "0", "--launches", "1",
        )  # fmt: skip
        walls = _measured(job, Path(scratch), given.rounds)
    page.publish(_table(walls, given.rounds, given.model), into_page=given.write)


def _measured(job: Path, scratch: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds of each round: wall of host, spawn and bare, and the floor inside the bare one."""
    out: dict[str, list[float]] = defaultdict(list)
    rng = random.Random(0)
    with harness.quiet(), Supervisor() as supervisor:
        launches = {how: harness.Launches(supervisor, job, scratch / how, how) for how in BARS_MS}
        launches["host"].one()  # starts the host: once per environment, not per launch
        for _ in range(rounds):
            for how in rng.sample(["host", "spawn", "bare"], 3):
                began = time.monotonic()
                if how == "bare":
                    told = harness.bare(job, RUNS, 0)
                    out["floor"].append(told.created_s + told.runs_s)
                else:
                    launch = launches[how].one()
                wall = time.monotonic() - began
                out[how].append(wall)
                if how != "bare":
                    created = launch.created.seconds if launch.created else 0.0
                    spent = sum(launch.timed.samples_ns) / 1e9 if launch.timed else 0.0
                    out[f"{how} own"].append(wall - created - spent)
    return out


def _table(walls: dict[str, list[float]], rounds: int, model: str) -> page.Table:
    rows = [
        ("floor (session + runs)", page.ms(statistics.median(walls["floor"])), "0", "", "", "")
    ]
    for how in ("host", "spawn", "bare"):
        over = [w - f for w, f in zip(walls[how], walls["floor"], strict=True)]
        interval = median_interval(over, 0.95)
        bounds = page.ms((interval.low, interval.high)) if interval else ""
        own = page.ms(statistics.median(walls[f"{how} own"])) if how != "bare" else ""
        name = how if how != "bare" else "bare script (imports numpy, onnxruntime)"
        bar = f"<= {BARS_MS[how]}" if how in BARS_MS else ""
        rows.append(
            (
                name,
                page.ms(statistics.median(walls[how])),
                page.ms(statistics.median(over)),
                bounds,
                own,
                bar,
            )
        )
    return page.Table(
        "isolation",
        f"python -m benchmarks.isolation --rounds {rounds}",
        ("a launch by", "wall ms", "beyond the floor ms", "95 % interval", "beyond its own ms", "bar ms"),
        tuple(rows),
        (f"{model}, {RUNS} runs, medians of {rounds} interleaved rounds; a launch includes its folder, "
         "its journal read and folded, and launch.json; its own: the session and runs that it told of.",),
    )  # fmt: skip


if __name__ == "__main__":
    main()
