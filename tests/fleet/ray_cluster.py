"""A fleet on a real Ray of two nodes; Ray is large, so these run apart, in an environment that has it."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster

from perf.results import run_folder
from perf.results.host_records import host_name
from perf.results.run_folder import RunFolder
from tests.asking import ROOT
from tests.fleet.witness import ASKED, entries, ledger_home, run_again, witness

WORDS = (*ASKED, "-t", "5", "--launches", "2", "--warmup", "0",
         "--host_canary", "0")  # fmt: skip


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv(
        "RAY_health_check_period_ms", "500"
    )  # a lost node is noticed within seconds
    monkeypatch.setenv("RAY_health_check_failure_threshold", "3")
    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 2, "node_name": "r1", "include_dashboard": False},
    )
    made.add_node(num_cpus=2, node_name="r2")
    yield made
    made.shutdown()
    shutil.rmtree(Path(tempfile.gettempdir()) / "ray", ignore_errors=True)  # it leaves its logs


def fleet(cluster: Cluster, *words: str) -> list[str]:
    return [
        sys.executable, "-m", "perf.fleet.ray", "--address", cluster.address, "--run_id", "fleet", "--poll_s", "0.3",
        *WORDS, *words,
    ]  # fmt: skip


def start(cluster: Cluster, home: Path, *words: str) -> "subprocess.Popen[str]":
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    variables.pop("OMP_NUM_THREADS", None)
    return subprocess.Popen(
        fleet(cluster, *words), cwd=home, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def hosts(home: Path) -> set[str]:
    found = run_folder.read_records(RunFolder(home / "result", "fleet"))
    return {host_name(x.host) for r in found for x in r.launches}


def test_shards_run_on_both_nodes_and_ray_s_thread_count_is_not_theirs(
    cluster: Cluster, tmp_path: Path
) -> None:
    home = ledger_home(tmp_path / "home", 4)
    with start(cluster, home, "--shards", "4") as driver:
        said, _ = driver.communicate(timeout=240)
    assert driver.returncode == 0, said
    assert "run fleet of 4 shards on r1, r2" in said
    assert hosts(home) == {"r1", "r2"}
    told = entries(home)
    assert len(told) == 4 * 2 * 3
    assert {e["omp"] for e in told} == {None}


def test_a_lost_node_costs_no_cell_and_none_is_run_twice(cluster: Cluster, tmp_path: Path) -> None:
    home = ledger_home(tmp_path / "home", 6, run_s=0.05)
    extra: Any = cluster.add_node(num_cpus=2, node_name="r3")
    with witness(home / "result" / "fleet") as seen:
        with start(cluster, home, "--shards", "6") as driver:
            deadline = time.monotonic() + 120
            while not seen.seen and time.monotonic() < deadline:
                time.sleep(0.05)
            cluster.remove_node(extra, allow_graceful=False)
            said, _ = driver.communicate(timeout=240)
        assert driver.returncode == 0, said
    found = run_folder.read_records(RunFolder(home / "result", "fleet"))
    assert len({r.cell.id for r in found}) == len(found) == 12
    assert not seen.changed()
    assert not run_again(home, seen)


def test_without_a_cluster_it_is_one_line(tmp_path: Path) -> None:
    home = ledger_home(tmp_path / "home", 1)
    done = subprocess.run(
        [sys.executable, "-m", "perf.fleet.ray", "--run_id", "x", *WORDS], cwd=home,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("error: --address auto: ")
