"""RAPL on a powercap folder laid out as the kernel documents it, with counters that wrap, vanish or refuse."""

from pathlib import Path

import pytest

from perf.machine.rapl_sampler import POWERCAP, RaplSampler
from perf.schema.journal import Event, Timed

EVENTS: tuple[Event, ...] = (
    Timed((1,), "host", 1, 3, 0, None, None, True, begun_s=101.0, ended_s=103.0),
)


class Machine:
    """Two packages that draw 40 W and 10 W, and a core zone inside the first."""

    def __init__(self, folder: Path, wraps_at_uj: int = 2**40) -> None:
        self.folder, self.now_s, self.wraps_at_uj = folder, 100.0, wraps_at_uj
        for zone, name in (("0", "package-0"), ("0:0", "core"), ("1", "package-1")):
            path = folder / f"intel-rapl:{zone}"
            path.mkdir()
            (path / "name").write_text(name + "\n")
            (path / "max_energy_range_uj").write_text(f"{wraps_at_uj}\n")
        self.tick(0.0)

    def tick(self, seconds: float) -> None:
        self.now_s += seconds
        for zone, watts in (("0", 40), ("0:0", 30), ("1", 10)):
            used_uj = round((self.now_s - 99.0) * watts * 1e6) % (self.wraps_at_uj + 1)
            (self.folder / f"intel-rapl:{zone}" / "energy_uj").write_text(f"{used_uj}\n")

    def run(self, sampler: RaplSampler, until_s: float = 104.0) -> None:
        while self.now_s < until_s:
            self.tick(0.025)
            sampler.sample()


def test_packages_add_up_and_their_parts_are_not_counted_twice(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    sampler = RaplSampler(tmp_path, lambda: machine.now_s)
    machine.run(sampler)
    assert sampler.finish(EVENTS) == pytest.approx(2 * 50, rel=1e-3)


def test_a_counter_that_wraps(tmp_path: Path) -> None:
    machine = Machine(tmp_path, wraps_at_uj=90_000_000)
    sampler = RaplSampler(tmp_path, lambda: machine.now_s)
    machine.run(sampler)
    assert sampler.finish(EVENTS) == pytest.approx(2 * 50, rel=1e-3)


def test_a_counter_that_vanishes_leaves_the_energy_unknown(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    sampler = RaplSampler(tmp_path, lambda: machine.now_s)
    machine.run(sampler, 102.0)
    (tmp_path / "intel-rapl:1" / "energy_uj").unlink()
    sampler.sample()
    machine.now_s += 1
    sampler.sample()
    assert sampler.finish(EVENTS) is None


def test_sampled_over_a_part_of_the_window_only(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    sampler = RaplSampler(tmp_path, lambda: machine.now_s)
    machine.run(sampler, 102.0)
    assert sampler.finish(EVENTS) is None


def test_not_more_often_than_every_20_ms(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    sampler = RaplSampler(tmp_path, lambda: machine.now_s)
    for _ in range(10):
        machine.tick(0.005)
        sampler.sample()
    assert sampler.finish(EVENTS) is None  # three samples, none near the window


def test_where_there_is_none_there_is_nothing(tmp_path: Path) -> None:
    sampler = RaplSampler(tmp_path)
    sampler.sample()
    assert sampler.finish(EVENTS) is None
    here = RaplSampler(POWERCAP)  # whatever this machine has, and whoever runs the test
    here.sample()
    assert here.finish(()) is None
