"""What a fleet loses when daemons, jobs, wrappers and whole nodes are killed at random, on a real Slurm.

    python -m benchmarks.fleet.kills [--kills 50] [--seed 1] [--write]

A controller and two nodes are started from Debian's packages (tests/fleet/fetch_slurm.sh .envs/slurm). The engine
is a fake that writes each launch into a ledger outside of the run; a witness takes down each record as it appears.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks import page
from benchmarks.harness import ROOT
from perf.results import run_folder
from perf.results.run_folder import RunFolder
from tests.fleet.slurm_cluster import slurm_cluster
from tests.fleet.witness import ASKED, TARGETS, entries, ledger_home, run_again, witness

PAGE = ROOT / "docs" / "fleet.md"
KINDS = ("daemon", "job", "wrapper", "node")
LAUNCHES = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--models", type=int, default=24)
    parser.add_argument(
        "--run_s", type=float, default=0.25, help="what a run of the fake engine takes"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="put the table into docs/fleet.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = killed(Path(folder), given)
    page.publish(table, into_page=given.write, page=PAGE)


def killed(scratch: Path, given: argparse.Namespace) -> page.Table:
    """One run, killed at as often as asked, and what was found after."""
    rng = random.Random(given.seed)
    home = ledger_home(scratch / "home", given.models, given.run_s)
    (scratch / "slurm").mkdir()
    (scratch / "leases").mkdir()
    hits: Counter[str] = Counter()
    began = time.monotonic()
    with slurm_cluster(scratch / "slurm") as slurm, witness(home / "result" / "fleet") as seen:
        argv = [
            sys.executable, "-m", "perf.fleet.slurm", "--nodes", "2", "--shards", "8", "--retries", "1000",
            "--run_id", "fleet", "--poll_s", "0.5", *ASKED, "-t", "5",
            "--launches", str(LAUNCHES), "--warmup", "0", "--host_canary", "0",
        ]  # fmt: skip
        variables = {
            **slurm.environment,
            "PYTHONPATH": str(ROOT),
            "EP_PERF_LEASES": str(scratch / "leases"),
        }
        with (scratch / "driver.log").open("w") as log:
            driver = subprocess.Popen(argv, cwd=home, env=variables, stdout=log, stderr=log)
        while driver.poll() is None and sum(hits.values()) < given.kills:
            kind = rng.choice(KINDS)
            hits[kind] += slurm.lose_some(kind, rng, patience_s=20.0)
        during_s = time.monotonic() - began
        status = driver.wait(1800)
    if status or sum(hits.values()) < given.kills:
        raise RuntimeError(
            f"{sum(hits.values())} kills, exit status {status}:\n{(scratch / 'driver.log').read_text()[-3000:]}"
        )
    records = run_folder.read_records(RunFolder(home / "result", "fleet"))
    planned = given.models * len(TARGETS)
    launched, needed = len(entries(home)), planned * (1 + LAUNCHES)
    names = ", ".join(f"{hits[k]} {k}s" for k in KINDS)
    rows = (
        (f"kills -9: {names}", str(sum(hits.values())), ""),
        ("cells planned, with a record", f"{planned}, {len(records)}", "all"),
        ("cells lost", str(planned - len({r.cell.id for r in records})), "0"),
        ("records that changed after they were first seen", str(len(seen.changed())), "0"),
        ("launches of a cell that was finished before", str(len(run_again(home, seen))), "0"),
        ("launches made, needed", f"{launched}, {needed}", ""),
        ("wall of the run, of the part with kills", f"{time.monotonic() - began:.0f} s, {during_s:.0f} s", ""),
    )  # fmt: skip
    return page.Table(
        "kills",
        f"python -m benchmarks.fleet.kills --kills {given.kills} --seed {given.seed}",
        ("what", "found", "bar"),
        rows,
        (
            "daemon: slurmd alone; job: slurmstepd and all below it; wrapper: the run; node: all of these at once.",
        ),
    )


if __name__ == "__main__":
    main()
