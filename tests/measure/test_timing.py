"""The timed loop: which runs it makes, what it samples, and the outputs that it keeps."""

import gc
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perf.measure import timing
from perf.schema.cell import Protocol
from perf.schema.journal import Timed
from tests.inprocess.asking import cell, model_file


class Runs:
    """Records which set each run was given, and sleeps for its cost."""

    def __init__(self, *costs_s: float) -> None:
        self.costs_s = costs_s
        self.seen: list[int] = []
        self.collecting: list[bool] = []

    def __call__(self, i: int) -> Mapping[str, Any]:
        self.seen.append(i)
        self.collecting.append(gc.isenabled())
        if self.costs_s[i]:
            time.sleep(self.costs_s[i])
        return {}


def time_runs(run: Runs, protocol: Protocol) -> Timed:
    asked = cell(model_file(Path("/nowhere")), protocol=protocol)
    return timing.time_runs(run, dict, len(run.costs_s), asked, synchronised=True).timed


def test_a_fixed_number_of_runs_rotates_over_the_sets() -> None:
    run = Runs(0, 0, 0)
    timed = time_runs(run, Protocol(runs=7, warmup=0))
    assert run.seen == [0, 1, 2, 0, 1, 2, 0]
    assert (len(timed.samples_ns), timed.sets, timed.warmup, timed.io) == (7, 3, 0, "host")
    assert timed.synchronised


def test_warm_up_reaches_every_set_and_is_not_a_sample() -> None:
    run = Runs(0, 0, 0, 0)
    timed = time_runs(run, Protocol(runs=2, warmup=3))
    assert run.seen == [0, 1, 2, 3, 0, 1]
    assert (timed.warmup, len(timed.samples_ns)) == (4, 2)


@pytest.mark.alone
def test_samples_are_what_the_runs_took() -> None:
    timed = time_runs(Runs(0.002, 0.02), Protocol(runs=4, warmup=1))
    quick, slow = timed.samples_ns[::2], timed.samples_ns[1::2]
    assert 2e6 <= min(quick) < 2e7 <= min(slow)
    assert sum(timed.samples_ns) / 1e9 <= timed.ended_s - timed.begun_s


def test_left_out_it_is_twenty_runs_or_what_min_time_holds() -> None:
    quick = Protocol(runs=None, warmup=0, min_time_s=0.0)
    assert len(time_runs(Runs(0), quick).samples_ns) == 20
    timed = time_runs(Runs(0.001), Protocol(warmup=0, min_time_s=0.5))
    assert 20 < len(timed.samples_ns) <= 500
    many = Protocol(warmup=0, min_time_s=60.0)
    assert len(time_runs(Runs(0), many).samples_ns) == 1000


def test_no_run_begins_after_max_time() -> None:
    slow = Protocol(warmup=0, min_time_s=1.0, max_time_s=0.05)
    assert 1 <= len(time_runs(Runs(0.02), slow).samples_ns) <= 3


def test_a_warm_up_of_long_runs_ends_with_max_time_and_reaches_every_set() -> None:
    run = Runs(0.02, 0.02)
    timed = time_runs(run, Protocol(runs=1, warmup=500, max_time_s=0.01))
    assert (timed.warmup, run.seen) == (2, [0, 1, 0])


def test_the_collector_is_off_in_the_loop_and_on_again_after() -> None:
    run = Runs(0)
    time_runs(run, Protocol(runs=3, warmup=1))
    assert run.collecting == [True, False, False, False]
    assert gc.isenabled()


def test_what_a_run_raises_is_raised_and_the_collector_is_on_again() -> None:
    run = Runs(0, -1)  # no one can sleep for less than no time
    with pytest.raises(ValueError, match="non-negative"):
        time_runs(run, Protocol(runs=9, warmup=0))
    assert run.collecting == [False, False]
    assert gc.isenabled()


def test_the_first_and_the_last_run_s_outputs_are_kept_as_each_run_left_them() -> None:
    """The engine has one buffer, as bound outputs have, and goes on writing to it."""
    buffer = np.zeros(1)

    def run(i: int) -> None:
        buffer[0] += 1 + 10 * i

    asked = cell(model_file(Path("/nowhere")), protocol=Protocol(runs=4, warmup=0))
    runs = timing.time_runs(run, lambda _: {"y": buffer}, 2, asked, synchronised=True)
    buffer[0] = -1
    assert (runs.first["y"].tolist(), runs.last["y"].tolist()) == ([1.0], [24.0])
    assert runs.no_outputs == ""


def test_the_floor_is_a_clock_pair() -> None:
    assert 0 <= timing.empty_clock_ns() < 20_000


def test_run_delay_grows_where_the_kernel_tells_it() -> None:
    before = timing.run_delay_ns()
    after = timing.run_delay_ns()
    told = Path("/proc/thread-self/schedstat").exists()
    assert (before is not None) is told
    assert before is None or (after or 0) >= before


def cgroup(tmp_path: Path, line: str, file: str, text: str) -> int | None:
    (tmp_path / "proc").write_text(line)
    stat = tmp_path / "fs" / file
    stat.parent.mkdir(parents=True)
    stat.write_text(text)
    return timing.throttled_us(tmp_path / "proc", tmp_path / "fs")


@pytest.mark.parametrize(
    ("line", "file", "text", "expected"),
    [
        ("0::/a/b\n", "a/b/cpu.stat", "usage_usec 9\nthrottled_usec 42\n", 42),
        ("0::/hidden\n", "cpu.stat", "throttled_usec 7\n", 7),  # a container's own namespace
        ("3:cpu,cpuacct:/x\n0::/\n", "cpu,cpuacct/x/cpu.stat", "throttled_time 5000\n", 5),
        ("3:cpu:/x\n", "cpu/cpu.stat", "nr_periods 0\nthrottled_time 9000\n", 9),
        ("0::/\n", "cpu.stat", "usage_usec 9\n", None),
        ("2:memory:/x\n", "memory/cpu.stat", "throttled_usec 9\n", None),
    ],
)
def test_throttling_is_read_from_both_kinds_of_cgroup(
    tmp_path: Path, line: str, file: str, text: str, expected: int | None
) -> None:
    assert cgroup(tmp_path, line, file, text) == expected


def test_throttling_is_unknown_without_a_cgroup(tmp_path: Path) -> None:
    assert timing.throttled_us(tmp_path / "none", tmp_path) is None


@pytest.mark.parametrize(
    ("line", "files", "cpus"),
    [
        ("0::/a\n", {"a/cpu.max": "50000 100000\n"}, 0.5),
        ("0::/a\n", {"a/cpu.max": "max 100000\n"}, None),
        ("0::/hidden\n", {"cpu.max": "25000 100000\n"}, 0.25),
        ("3:cpu:/x\n", {"cpu/x/cpu.cfs_quota_us": "75000", "cpu/x/cpu.cfs_period_us": "100000"}, 0.75),
        ("3:cpu:/x\n", {"cpu/x/cpu.cfs_quota_us": "-1", "cpu/x/cpu.cfs_period_us": "100000"}, None),
        ("0::/a\n", {"a/cpu.max": "50000 0\n"}, None),
    ],
)  # fmt: skip
def test_the_cpus_a_launch_may_use_are_its_cores_or_less_by_quota(
    tmp_path: Path, line: str, files: Mapping[str, str], cpus: float | None
) -> None:
    (tmp_path / "proc").write_text(line)
    for name, text in files.items():
        path = tmp_path / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    cores = len(os.sched_getaffinity(0))
    assert timing.usable_cpus(tmp_path / "proc", tmp_path / "fs") == (cpus or cores)


def test_a_launch_tells_the_cpu_time_of_its_loop() -> None:
    timed = time_runs(Runs(0.01), Protocol(runs=3, warmup=0))
    assert timed.cpu_ns is not None
    assert 0 <= timed.cpu_ns < 3 * 10_000_000  # it slept
    assert timed.cpus
    assert timed.cpus <= len(os.sched_getaffinity(0))
