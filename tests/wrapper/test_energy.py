"""The CPU's energy through the real wrapper, read from a powercap folder laid out as the kernel documents it."""

import json
import os
import subprocess
import sys
import threading
import time
from bisect import bisect
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from perf.results import run_folder, run_names
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
LOOKS_S = 0.1  # the wrapper looks every 20 ms; a busy machine lets it wait


@dataclass
class Package:
    """Draws 60 W, and remembers when its counter said what: a busy machine keeps it from its work, too."""

    zone: Path
    stopped: threading.Event = field(default_factory=threading.Event)
    times_s: list[float] = field(default_factory=list)

    def draw(self) -> None:
        """Count until stopped; readers see a whole number at any time."""
        aside = self.zone / "energy_uj.new"
        while not self.stopped.wait(0.005):
            now = time.monotonic()
            aside.write_text(f"{round(now * WATTS * 1e6) % 10**12}\n")
            aside.replace(self.zone / "energy_uj")
            self.times_s.append(now)

    def joules(self, begun_s: float, ended_s: float) -> float:
        """What the counter counted from one time to another, with what it said last before each."""
        first, last = (self.times_s[bisect(self.times_s, at) - 1] for at in (begun_s, ended_s))
        return (last - first) * WATTS


@pytest.mark.alone
def test_joules_of_the_timed_window_by_run(home: Path) -> None:
    zone = home / "powercap" / "intel-rapl:0"
    zone.mkdir(parents=True)
    for name, text in (("name", "package-0"), ("energy_uj", "0")):
        (zone / name).write_text(text + "\n")
    (zone / "max_energy_range_uj").write_text(f"{10**12 - 1}\n")
    package = Package(zone)
    drawing = threading.Thread(target=package.draw)
    drawing.start()
    try:
        done = subprocess.run(
            [sys.executable, "-c", ELSEWHERE, str(zone.parent), *MEASURE, "-t", "100000"], cwd=home,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
            check=False, timeout=120,
        )  # fmt: skip
    finally:
        package.stopped.set()
        drawing.join()
    assert done.returncode == 0, done.stdout + done.stderr
    run = run_names.find_run(home / "result")
    (record,) = run_folder.read_records(run)
    joules, runs = 0.0, 0
    for launch in record.launches:
        if launch.kind is LaunchKind.CHECK:
            assert launch.cpu_energy_j is None
            continue
        assert launch.timed is not None
        assert launch.cpu_energy_j is not None
        begun_s, ended_s = launch.timed.begun_s, launch.timed.ended_s
        least = package.joules(begun_s + LOOKS_S, ended_s - LOOKS_S)
        most = package.joules(begun_s - LOOKS_S, ended_s + LOOKS_S)
        assert least <= launch.cpu_energy_j <= most
        joules += launch.cpu_energy_j
        runs += len(launch.timed.samples_ns)
    row = json.loads((run.root / "cells.jsonl").read_text())
    assert row["cpu_energy_j_per_run"] == pytest.approx(joules / runs, rel=1e-3)


def test_where_no_counter_can_be_read_it_is_empty(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(home / "none"), *MEASURE, "-t", "5"], cwd=home,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    row = json.loads((run_names.find_run(home / "result").root / "cells.jsonl").read_text())
    assert row["cpu_energy_j_per_run"] is None
    assert row["p50_ms"] > 0
