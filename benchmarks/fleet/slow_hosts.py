"""How often a slowed host is flagged, and an honest one: real launches of the canary, dealt out to hosts at random.

    python -m benchmarks.fleet.slow_hosts [--moments 60] [--fleets 2000] [--seed 1] [--write]

The canary is measured on one core, alone and then with a process beside it that never rests. A host of a fleet
gets two moments of these, first and last; a slowed one gets both from beside the hog, or only the last.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import page
from benchmarks.fleet.kills import PAGE
from benchmarks.harness import ROOT
from perf.execution.host_canary import LAUNCHES
from perf.fleet.host_health import find_flagged
from perf.machine.system import SystemInfo
from perf.planning.plan import HOST_CANARY
from perf.results import run_folder
from perf.results.host_records import host_key, read_host_records
from perf.results.run_folder import RunFolder
from perf.schema.record import Launch, Record, measure_launches
from tests import models

HOSTS = 8  # of a fleet
KINDS = ("none", "slow from the start", "slow half-way")


@dataclass(frozen=True)
class Canary:
    """What was measured: the record, and its launches a few at a time."""

    record: Record
    host: SystemInfo
    alone: tuple[tuple[Launch, ...], ...]
    beside_hog: tuple[tuple[Launch, ...], ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=60)
    parser.add_argument("--fleets", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="put the table into docs/fleet.md")
    given = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # and of all that is started here
    with tempfile.TemporaryDirectory() as folder:
        table = flagged(measure(Path(folder), given.moments), given)
    page.publish(table, into_page=given.write, page=PAGE)


def measure(scratch: Path, moments: int) -> Canary:
    """Real launches of the canary between tiny models, alone and beside a hog."""
    for i in range(moments - 1):
        models.identity(scratch / "models" / f"m{i:03d}")
    alone = run(scratch, "alone")
    with hog():
        slowed = run(scratch, "slowed")
    (host,) = read_host_records(alone.root).values()
    record = canary_of(alone)
    return Canary(record, host, moments_of(record), moments_of(canary_of(slowed)))


def run(scratch: Path, run_id: str) -> RunFolder:
    argv = [
        sys.executable, "-m", "ep_perf", "run", "-m", "models", "-e", "cpu", "-i", "random", "-t", "1", "--launches", "1",
        "--warmup", "0", "--host_canary", "0.0001", "--run_id", run_id, "-q", "-q",
    ]  # fmt: skip
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "EP_PERF_LEASES": str(scratch)}
    subprocess.run(argv, cwd=scratch, env=variables, check=True)
    return RunFolder(scratch / "result", run_id)


@contextmanager
def hog() -> Iterator[None]:
    """A process that never rests, on the same core."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


def canary_of(folder: RunFolder) -> Record:
    (found,) = (r for r in run_folder.read_records(folder) if r.cell.model.name == HOST_CANARY)
    return found


def moments_of(record: Record) -> tuple[tuple[Launch, ...], ...]:
    launches = measure_launches(record)
    return tuple(launches[i : i + LAUNCHES] for i in range(0, len(launches), LAUNCHES))


def flagged(canary: Canary, given: argparse.Namespace) -> page.Table:
    """Fleets of hosts alike, one of them slowed in two of three, and which hosts were flagged."""
    rng = random.Random(given.seed)
    hosts = [replace(canary.host, hostname=f"n{i}", boot_id=f"boot-{i}") for i in range(HOSTS)]
    asked: Counter[str] = Counter()
    told: Counter[str] = Counter()
    for fleet in range(given.fleets):
        kind = KINDS[fleet % len(KINDS)]
        records = [
            host_record(canary, h, KINDS[0] if i else kind, rng) for i, h in enumerate(hosts)
        ]
        found = find_flagged(records, {host_key(h): h for h in hosts}, None)
        for i, host in enumerate(hosts):
            what = KINDS[0] if i else kind
            asked[what] += 1
            told[what] += host_key(host) in found
    rows = (
        ("honest hosts flagged", share(told[KINDS[0]], asked[KINDS[0]]), "<= 1 %"),
        *((f"{kind}: flagged", share(told[kind], asked[kind]), ">= 95 %") for kind in KINDS[1:]),
        ("real moments of three launches: alone, beside the hog", f"{len(canary.alone)}, {len(canary.beside_hog)}", ""),
    )  # fmt: skip
    return page.Table(
        "slow_hosts",
        f"python -m benchmarks.fleet.slow_hosts --moments {given.moments} --fleets {given.fleets}",
        ("what", "found", "bar"),
        rows,
        (f"fleets of {HOSTS} hosts alike, judged by the built-in noise bound.",),
    )


def host_record(canary: Canary, host: SystemInfo, kind: str, rng: random.Random) -> Record:
    """The canary's record on one host: a first moment and a last one."""
    first = canary.beside_hog if kind == KINDS[1] else canary.alone
    last = canary.alone if kind == KINDS[0] else canary.beside_hog
    drawn: Sequence[Launch] = [*rng.choice(first), *rng.choice(last)]
    launches = tuple(
        replace(
            x, host=host_key(host), boot_id=host.boot_id, began_s=float(i), name=f"measure_{i}"
        )
        for i, x in enumerate(drawn)
    )
    return replace(canary.record, launches=launches)


def share(part: int, whole: int) -> str:
    return f"{part} of {whole:,} ({100 * part / whole:.2f} %)"


if __name__ == "__main__":
    main()
