"""Ten thousand models on eight targets over two hundred hosts, simulated, and their 80,000 cells merged for real.

    python -m benchmarks.fleet.scale RESULTS RUN [--scratch DIR] [--write]

RESULTS/RUN is a real run of `--shard 1/1` with five launches a cell; its launches are what the simulated ones take and tell.
"""

import argparse
import hashlib
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import page
from benchmarks.fleet.kills import PAGE
from benchmarks.fleet.simulation import RUN_ID, Recorded, Spent, VirtualHosts, Work, make_work
from benchmarks.harness import ROOT
from perf.fleet.dispatch import Dispatcher, ShardState
from perf.fleet.fleet_request import SHARDS_PER_NODE
from perf.fleet.shard_folder import ShardFolder
from perf.planning.shards import assign_models
from perf.results.run_folder import RunFolder

POLL_S = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("run")
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--targets", type=int, default=8)
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--shards_per_host", type=int, default=SHARDS_PER_NODE)
    parser.add_argument("--lost", type=int, default=8)
    parser.add_argument("--failing", type=float, default=0.025)
    parser.add_argument("--unknown_costs", action="store_true", help="balance by number alone")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--scratch", type=Path, help="where the simulated runs go; a folder in memory is fast"
    )
    parser.add_argument("--write", action="store_true", help="put the tables into docs/fleet.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.scratch) as folder:
        os.environ["EP_PERF_LEASES"] = folder
        work = make_work(
            Recorded.of(RunFolder(given.results.absolute(), given.run)), given.models, given.targets,
            given.failing, given.seed,
        )  # fmt: skip
        page.publish(simulated(work, Path(folder), given), into_page=given.write, page=PAGE)
        page.publish(merged(Path(folder), given), into_page=given.write, page=PAGE)


def simulated(work: Work, results: Path, given: argparse.Namespace) -> page.Table:
    """The whole run on virtual hosts; what it took, against what it could have taken at best."""
    rng = random.Random(given.seed + 1)
    costs = {n: work.cost_s(n) for n in work.names}
    last_time = {n: c * rng.lognormvariate(0.0, 0.1) for n, c in costs.items()}
    count = given.hosts * given.shards_per_host
    parts = assign_models(work.names, count, {} if given.unknown_costs else last_time)
    bound_s = max(sum(costs.values()) / given.hosts, max(costs.values()))
    lost = {h: rng.uniform(0.1, 0.8) * bound_s for h in rng.sample(range(given.hosts), given.lost)}
    spent = Spent()
    hosts = VirtualHosts(
        work, results, {i: p for i, p in enumerate(parts, 1) if p}, [(0.0, h) for h in range(given.hosts)],
        lost, spent,
    )  # fmt: skip
    began = time.monotonic()
    dispatcher = Dispatcher(
        hosts,
        tuple(hosts.parts),
        lambda s, state: _is_complete(results, s, state),
        retries=5,
        say=lambda _line: None,
    )
    dispatcher.begin()
    while dispatcher.step():
        hosts.now_s += POLL_S
    planned = given.models * given.targets
    found = sum(len(ShardFolder(results, RUN_ID, s).finished()) for s in hosts.parts)
    useful_s = spent.all_s - spent.repeated_s
    rows = (
        ("models × targets, hosts, shards", f"{given.models:,} × {given.targets}, {given.hosts}, {len(hosts.parts)}", ""),
        ("launches, of them crashing", f"{spent.launches:,}, {100 * given.failing:g} %", ""),
        ("hosts lost; attempts at shards", f"{given.lost}; {hosts.begun}", ">= 5"),
        ("cells without a record", f"{planned - found}", "0"),
        ("makespan", f"{hosts.last_end_s / 60:.1f} min", ""),
        ("the bound: all work / all hosts", f"{bound_s / 60:.1f} min", ""),
        ("makespan / bound", f"{hosts.last_end_s / bound_s:.3f}", "<= 1.15"),
        ("the canary, at both ends of each shard", f"{100 * spent.canary_s / useful_s:.2f} % of all time", ""),
        ("launches repeated", f"{spent.repeated} ({100 * spent.repeated_s / useful_s:.3f} % of all time)", ""),
        ("work in flight that was lost", f"{100 * spent.lost_s / useful_s:.3f} % of all time", ""),
        ("real time of the simulation", f"{time.monotonic() - began:.0f} s", ""),
    )  # fmt: skip
    return page.Table(
        "simulation",
        "python -m benchmarks.fleet.scale RESULTS RUN",
        ("what", "found", "bar"),
        rows,
        (
            f"costs of shards: {'not known' if given.unknown_costs else 'known to ± 10 %'}; a lost host's shard "
            "may start elsewhere after 7 min, and the host does not come back; launches of a cell that was not finished are made again.",
        ),
    )


def _is_complete(results: Path, shard: int, state: ShardState) -> bool:
    return state is ShardState.ENDED and ShardFolder(results, RUN_ID, shard).is_complete()


def merged(results: Path, given: argparse.Namespace) -> page.Table:
    """All shards merged, twice, in a process of its own."""
    folders = sorted((results / RUN_ID / "shards").iterdir())
    argv = [
        sys.executable,
        "-m",
        "perf.fleet.merge",
        *map(str, folders),
        "--run_id",
        RUN_ID,
        "-o",
        str(results),
    ]
    times, cpu, peaks, digests = [], [], [], []
    for _ in range(2):
        began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
        times.append(time.monotonic() - began)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        peaks.append(after.ru_maxrss / 1024)
        digests.append(_digest(results))
        print(done.stdout, done.stderr, file=sys.stderr)
    cells = given.models * given.targets
    size = sum(p.stat().st_size for p in (results / RUN_ID).glob("cells.*")) / 2**20
    rows = (
        ("cells", f"{cells:,}", ""),
        (
            "first merge, of it CPU time of its processes",
            f"{times[0]:.0f} s, {cpu[0]:.0f} s",
            "< 120 s",
        ),
        ("again, of it CPU time of its processes", f"{times[1]:.0f} s, {cpu[1]:.0f} s", ""),
        ("largest process", f"{max(peaks):.0f} MiB", "< 2,048 MiB"),
        ("files the same after both", "yes" if digests[0] == digests[1] else "NO", "yes"),
        ("cells.csv and cells.jsonl", f"{size:.0f} MiB", ""),
    )
    return page.Table("merge", "the same command", ("what", "found", "bar"), rows)


def _digest(results: Path) -> str:
    """Of every file that a merge makes, by name and bytes."""
    total = hashlib.sha256()
    made = [*results.glob("*.csv"), *(p for p in (results / RUN_ID).iterdir() if p.is_file())]
    made += (results / RUN_ID / "cells").glob("*/*/*/*")
    for path in sorted(p for p in made if p.is_file() and not p.name.startswith(".")):
        total.update(str(path.relative_to(results)).encode())
        with path.open("rb") as f:
            total.update(hashlib.file_digest(f, "sha256").digest())
    return total.hexdigest()


if __name__ == "__main__":
    main()
