"""What a process of its own costs: wall time per launch beyond its session and its runs.

    python -m benchmarks.isolation [--rounds 40] [--write]

In each round, in random order: a launch forked by a host, the same without the write fence, a launch spawned
afresh, and a bare script that imports numpy and onnxruntime, makes the same session and the same runs. A launch's wall time is from its
start to its end as the wrapper saw them; its cost is that time less the session and the runs that it told
of. Beyond the floor is less those of the bare script of the same round: the difference of the two is what a
session and its runs cost more in a process that shares its host's pages.
"""

import argparse
import itertools
import random
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from benchmarks import harness, page
from perf.schema.record import Launch
from perf.stats.summary import median_interval
from perf.wrapper.supervisor import Supervisor

RUNS = 3
BARS_MS = {"host": 10, "host, --no_fence": 10, "spawn": 130}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--models", nargs="+", default=["loop_if", "squeezenet"], metavar="NAME")
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/performance.md"
    )
    given = parser.parse_args()
    found = {}
    for model in given.models:
        with tempfile.TemporaryDirectory() as scratch:
            job = harness.cell_of(
                Path(scratch) / "result", "-r", "both", "-i", "zoo", "-e", "cpu", "--models", model,
                "-t", str(RUNS), "--warmup", "0", "--launches", "1",
            )  # fmt: skip
            found[model] = _measured(job, Path(scratch), given.rounds)
    page.publish(_table(found, given.rounds), into_page=given.write)


def _measured(job: Path, scratch: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds of each round, by what they are of: each way's wall, its cost, its book-keeping; the floor."""
    out: dict[str, list[float]] = defaultdict(list)
    rng = random.Random(0)
    with harness.quiet(), Supervisor() as supervisor:
        launches = {}
        for how in BARS_MS:
            isolation, *flags = how.split(", ")
            launches[how] = harness.Launches(supervisor, job, scratch / how, isolation, *flags)
            launches[how].one()  # starts the host: once per environment, not per launch
        for _ in range(rounds):
            for how in rng.sample([*BARS_MS, "bare"], len(BARS_MS) + 1):
                began = time.monotonic()
                if how == "bare":
                    told = harness.bare(job, RUNS + 1, 0)  # a launch has its first run besides
                    out["floor"].append(told.created_s + told.runs_s)
                    out["bare"].append(time.monotonic() - began)
                    out["bare cost"].append(out["bare"][-1] - out["floor"][-1])
                else:
                    launch = launches[how].one()
                    wall = launch.ending.wall_s
                    out[how].append(wall)
                    out[f"{how} cost"].append(wall - _useful_s(launch))
                    out[f"{how} books"].append(time.monotonic() - began - wall)
    return out


def _useful_s(launch: Launch) -> float:
    """What a launch is made for: its session and its runs, as it told of them."""
    if launch.created is None or launch.timed is None:
        raise RuntimeError(f"{launch.name} told of no session or no runs")
    first = launch.first_run.seconds if launch.first_run else 0.0
    return launch.created.seconds + first + sum(launch.timed.samples_ns) / 1e9


def _table(models: dict[str, dict[str, list[float]]], rounds: int) -> page.Table:
    rows = []
    for (model, found), how in itertools.product(models.items(), (*BARS_MS, "bare")):
        cost = found[f"{how} cost"]
        interval = median_interval(cost, 0.95)
        over = [w - f for w, f in zip(found[how], found["floor"], strict=True)]
        rows.append(
            (
                model,
                how,
                page.ms(statistics.median(found[how])),
                page.ms(statistics.median(cost)),
                page.ms((interval.low, interval.high)) if interval else "",
                f"<= {BARS_MS[how]}" if how in BARS_MS else "",
                f"{statistics.median(cost) / statistics.median(found['bare cost']):.3f}",
                page.ms(statistics.median(over)),
                page.ms(statistics.median(found[f"{how} books"])) if how in BARS_MS else "",
            )
        )
    floors = ", ".join(f"{m} {page.ms(statistics.median(f['floor']))}" for m, f in models.items())
    return page.Table(
        "isolation",
        f"python -m benchmarks.isolation --rounds {rounds}",
        ("model", "launched by", "wall ms", "beyond session and runs ms", "95 % interval", "bar ms",
         "of the bare one's", "beyond the floor ms", "folder, journal, launch.json ms"),
        tuple(rows),
        (f"1 + {RUNS} runs, medians of {rounds} interleaved rounds; floors in ms: {floors}. bare: a "
         "script that imports numpy and onnxruntime and does the same, with no journal and no verdict.",),
    )  # fmt: skip


if __name__ == "__main__":
    main()
