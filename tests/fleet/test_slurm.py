"""A fleet on a real Slurm of two nodes: what it submits, what it survives, and what comes of it."""

import csv
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from perf.results import run_folder
from perf.results.run_folder import RunFolder
from tests.asking import ROOT
from tests.debian import need
from tests.fleet.slurm_cluster import NODES, SlurmCluster, search_path, slurm_cluster
from tests.fleet.witness import ASKED, entries, ledger_home, run_again, witness

pytestmark = pytest.mark.alone  # a run that waits for a machine's quiet, on two nodes of it

WORDS = (*ASKED, "-t", "5", "--launches", "2", "--warmup", "0")
# Columns whose values a machine makes: all others are the same wherever a cell is run.
MEASURED = re.compile(
    r".*_(ms|s|us|mib|pct|w|run)$|launch_.*|ratio_of_time_on_ep|partition_us|runs_per_s.*|.*energy.*|"
    r"preempted_launches|marks|finished_at|host"
)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    need("slurmctld", "slurmctld slurmd slurm-client", search_path())
    with slurm_cluster(tmp_path_factory.mktemp("slurm")) as made:
        yield made


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return ledger_home(tmp_path / "home", 6)


def fleet(home: Path, *words: str) -> list[str]:
    return [
        sys.executable, "-m", "perf.fleet.slurm", *WORDS, "--run_id", "fleet", "--poll_s", "0.3", *words,
    ]  # fmt: skip


def environment(slurm: SlurmCluster) -> Mapping[str, str]:
    return {
        **slurm.environment,
        "PYTHONPATH": str(ROOT),
        "EP_PERF_LEASES": os.environ["EP_PERF_LEASES"],
    }


def ask(slurm: SlurmCluster, home: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        fleet(home, *words), cwd=home, env=environment(slurm), capture_output=True, text=True,
        check=False, timeout=240, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def rows(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as f:
        return {r["cell"]: r for r in csv.DictReader(f) if r["model"] != "host_canary"}


def test_four_shards_on_two_nodes_equal_the_single_run(slurm: SlurmCluster, home: Path) -> None:
    said = ask(slurm, home, "--nodes", "n1,n2", "--shards", "4")
    assert said.returncode == 0, said.stderr
    assert "run fleet of 4 shards on n1, n2" in said.stdout
    single = subprocess.run(
        [sys.executable, str(ROOT / "benchmark_wrapper.py"), *WORDS, "--run_id", "fleet", "-o", "single"],
        cwd=home, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert single.returncode == 0, single.stderr
    parts = [rows(p) for p in (home / "result/fleet/shards").glob("*/fleet/cells.csv")]
    assert len(parts) == 4
    assert sum(map(len, parts)) == len({i for part in parts for i in part}) == 12
    merged, alone = (rows(home / d / "fleet/cells.csv") for d in ("result", "single"))
    assert list(merged) == list(alone)
    for cell, row in alone.items():
        differ = {k for k, v in row.items() if merged[cell][k] != v and not MEASURED.fullmatch(k)}
        assert not differ, (cell, {k: (row[k], merged[cell][k]) for k in differ})
    assert {r["host"] for r in merged.values()} == set(NODES)
    launched = [e for e in entries(home) if not str(e["cell"]).startswith("host_canary")]
    assert len(launched) == 2 * 12 * 3  # a check and two measure launches, in either run


def test_asked_again_it_has_nothing_left_to_do(slurm: SlurmCluster, home: Path) -> None:
    first = ask(slurm, home, "--nodes", "2", "--shards", "2", "--host_canary", "0")
    assert first.returncode == 0, first.stderr
    told = entries(home)
    again = ask(slurm, home, "--nodes", "2", "--shards", "2", "--host_canary", "0")
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert entries(home) == told


def test_a_dry_run_shows_the_job_and_submits_nothing(slurm: SlurmCluster, home: Path) -> None:
    said = ask(slurm, home, "--nodes", "2", "--gres", "gpu:h100:1", "--constraint", "nvme",
               "--sbatch=--qos=night", "--map_path", f"{home}=/srv/lab", "--dry_run")  # fmt: skip
    assert said.returncode == 0, said.stderr
    lines = said.stdout.splitlines()
    for directive in (
        "--array=1-6%2", "--exclusive", "--requeue", "--gres=gpu:h100:1", "--constraint=nvme", "--qos=night",
        "--chdir=/srv/lab", "--output=/srv/lab/result/fleet/logs/%5a.log",
    ):  # fmt: skip
        assert f"#SBATCH {directive}" in lines
    assert "--shard_costs /srv/lab/result/fleet/costs.json" in lines[-2]
    assert lines[-1] == "# 6 shards of 6 models"
    assert not (home / "result").exists()


KINDS = ("daemon", "job", "wrapper", "node", "wrapper")


@pytest.mark.timeout(300)
def test_whatever_is_killed_no_cell_is_lost_and_none_is_run_twice(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    home = ledger_home(tmp_path / "home", 8, run_s=0.05)
    rng = random.Random(25)
    words = ("--nodes", "2", "--shards", "4", "--retries", "50", "--host_canary", "0")
    with witness(home / "result" / "fleet") as seen:
        driver = subprocess.Popen(
            fleet(home, *words), cwd=home, env=environment(slurm), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        with driver:
            killed = [slurm.lose_some(kind, rng) for kind in KINDS]
            said, _ = driver.communicate(timeout=240)
    assert all(killed)
    assert driver.returncode == 0, said
    found = run_folder.read_records(RunFolder(home / "result", "fleet"))
    assert len({r.cell.id for r in found}) == len(found) == 16
    assert not seen.changed()
    assert not run_again(home, seen)


# --- what cannot be served


def test_a_shard_that_refuses_is_given_up_at_once_with_its_own_line(
    slurm: SlurmCluster, home: Path
) -> None:
    said = ask(slurm, home, "--nodes", "2", "--shards", "2", "-k", "and")
    assert said.returncode == 2
    assert said.stderr.count("ended with an error and is not complete: given up") == 2
    assert "shard 1 ended with an error: error: -k 'and': a word is missing" in said.stderr
    assert said.stderr.splitlines()[-1].startswith("error: run fleet: no shard has begun; ")


def test_a_full_disk_costs_nothing_that_was_finished(slurm: SlurmCluster, home: Path) -> None:
    limited = home / "limited"
    limited.write_text(
        f'#!/bin/sh\n[ "$SLURM_ARRAY_TASK_ID" = 1 ] || ulimit -f 8\nexec {sys.executable} "$@"\n'
    )
    limited.chmod(0o755)
    words = ("--nodes", "2", "--shards", "2", "--host_canary", "0")
    full = ask(slurm, home, *words, "--python", str(limited))
    assert full.returncode == 1, full.stderr
    (line,) = (x for x in full.stderr.splitlines() if x.startswith("shard ") and "error: " in x)
    assert "File too large" in line
    assert "what had finished is kept" in line
    assert "and 5 more: NotRun (not returned)" in full.stderr
    kept = {
        p: p.read_bytes()
        for p in (home / "result").glob("fleet/shards/*/fleet/cells/*/*/*/record.json")
    }
    assert len(kept) == 6
    again = ask(slurm, home, *words)
    assert again.returncode == 0, again.stderr
    assert {p: p.read_bytes() for p in kept} == kept
    assert len(run_folder.read_records(RunFolder(home / "result", "fleet"))) == 12


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--nodes", "n1,n9"), "--nodes n9: Slurm has no such node; it has n1, n2"),
        (("--nodes", "0"), "--nodes 0: use at least 1"),
        (("--nodes", "2", "--partition", "nope"), "error: sbatch: Batch job submission failed: Invalid partition"),
        (("--nodes", "2", "--shards", "0"), "--shards 0: use at least 1"),
        (("--nodes", "2", "--models", "nope"), "--models 'nope' matches none of"),
        (("--nodes", "2", "--resume"), "--resume: a fleet shares a whole plan out"),
        (("--nodes", "2", "--launchez", "2"), "--launchez"),
    ],
)  # fmt: skip
def test_a_request_that_makes_no_sense_is_one_line(
    slurm: SlurmCluster, home: Path, words: tuple[str, ...], says: str
) -> None:
    said = ask(slurm, home, *words)
    assert said.returncode == 2
    assert said.stderr.count("\n") == 1, said.stderr
    assert said.stderr.startswith("error: ")
    assert says in said.stderr


def test_a_run_that_was_begun_otherwise_is_not_gone_on_with(
    slurm: SlurmCluster, home: Path
) -> None:
    words = ("--nodes", "2", "--host_canary", "0", "--models", "net_00")
    assert ask(slurm, home, *words, "--shards", "1").returncode == 0
    other = ask(slurm, home, "--nodes", "2", "--host_canary", "0", "--shards", "2")
    assert other.returncode == 2
    assert "run fleet was begun with other shards" in other.stderr
