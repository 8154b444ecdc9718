"""The CPU's energy through the real wrapper, read from a powercap folder laid out as the kernel documents it."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from perf.results import run_folder
from perf.schema.record import LaunchKind
from tests.asking import ROOT

MEASURE = ("-m", "models", "--models", "relu", "-e", "cpu", "-o", "result", "-i", "zoo",
           "--launches", "2")  # fmt: skip
ELSEWHERE = """
import sys
from pathlib import Path
from perf.cli import benchmark_wrapper
from perf.machine import rapl_sampler
rapl_sampler.POWERCAP = Path(sys.argv[1])
sys.exit(benchmark_wrapper.main(sys.argv[2:]))
"""
WATTS = 60.0


def draw(zone: Path, stop: threading.Event) -> None:
    """One package draws 60 W until it is stopped; readers see a whole number at any time."""
    aside = zone / "energy_uj.new"
    while not stop.wait(0.005):
        aside.write_text(f"{round(time.monotonic() * WATTS * 1e6) % 10**12}\n")
        aside.replace(zone / "energy_uj")


def test_joules_of_the_timed_window_by_run(home: Path) -> None:
    zone = home / "powercap" / "intel-rapl:0"
    zone.mkdir(parents=True)
    for name, text in (("name", "package-0"), ("energy_uj", "0")):
        (zone / name).write_text(text + "\n")
    (zone / "max_energy_range_uj").write_text(f"{10**12 - 1}\n")
    stop = threading.Event()
    package = threading.Thread(target=draw, args=(zone, stop))
    package.start()
    try:
        done = subprocess.run(
            [sys.executable, "-c", ELSEWHERE, str(zone.parent), *MEASURE, "-t", "60000"], cwd=home,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
            check=False, timeout=120,
        )  # fmt: skip
    finally:
        stop.set()
        package.join()
    assert done.returncode == 0, done.stdout + done.stderr
    run = run_folder.find_run(home / "result")
    (record,) = run_folder.read_records(run)
    seconds, joules, runs = 0.0, 0.0, 0
    for launch in record.launches:
        if launch.kind is LaunchKind.CHECK:
            assert launch.cpu_energy_j is None
            continue
        assert launch.timed is not None
        assert launch.cpu_energy_j is not None
        seconds += launch.timed.ended_s - launch.timed.begun_s
        joules += launch.cpu_energy_j
        runs += len(launch.timed.samples_ns)
    assert joules == pytest.approx(WATTS * seconds, rel=0.1)
    row = json.loads((run.root / "cells.jsonl").read_text())
    assert row["cpu_energy_j_per_run"] == pytest.approx(joules / runs, rel=1e-3)


def test_where_no_counter_can_be_read_it_is_empty(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(home / "none"), *MEASURE, "-t", "5"], cwd=home,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    row = json.loads((run_folder.find_run(home / "result").root / "cells.jsonl").read_text())
    assert row["cpu_energy_j_per_run"] is None
    assert row["p50_ms"] > 0
