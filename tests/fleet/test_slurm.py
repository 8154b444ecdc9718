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
from tests.fleet.slurm_cluster import NODES, SlurmCluster, slurm_cluster
from tests.fleet.witness import TARGETS, entries, ledger_home, run_again, witness

WORDS = (
    "-m",
    "models",
    "-e",
    *TARGETS,
    "-i",
    "zoo",
    "-t",
    "5",
    "--launches",
    "2",
    "--warmup",
    "0",
)
# Columns whose values a machine makes: all others are the same wherever a cell is run.
MEASURED = re.compile(
    r".*_(ms|s|us|mib|pct|w|run)$|launch_.*|ratio_of_time_on_ep|partition_us|runs_per_s.*|.*energy.*|"
    r"preempted_launches|marks|finished_at|host"
)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
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
