"""How busy a machine is, from files laid out as the kernel has them."""

from pathlib import Path

import pytest

from perf.machine.busyness import busyness_since, look_at_machine, read_cpu_times


def write_stat(root: Path, *ticks: int, load: str = "") -> None:
    """user nice system idle iowait irq softirq steal."""
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/stat").write_text(f"cpu  {' '.join(map(str, ticks))} 0 0\ncpu0 1 2 3\n")
    if load:
        (root / "proc/loadavg").write_text(f"{load} 1.00 1.00 3/200 4242\n")


@pytest.mark.parametrize(
    ("after", "used", "stolen", "busy"),
    [
        ((1000, 0, 0, 1900, 0, 0, 0, 0), 0.0, 0.0, False),
        ((1010, 0, 5, 1885, 0, 0, 0, 0), 0.15, 0.0, False),
        ((1050, 0, 5, 1845, 0, 0, 0, 0), 0.55, 0.0, True),
        ((1000, 0, 0, 1895, 0, 0, 0, 5), 0.0, 0.05, True),
        ((1000, 0, 0, 1850, 50, 0, 0, 0), 0.0, 0.0, False),  # it waits for a disk
    ],
)  # fmt: skip
def test_a_machine_is_busy_by_what_others_use_and_what_is_stolen(
    tmp_path: Path, after: tuple[int, ...], used: float, stolen: float, *, busy: bool
) -> None:
    write_stat(tmp_path, 1000, 0, 0, 1800, 0, 0, 0, 0)
    before = read_cpu_times(tmp_path)
    write_stat(tmp_path, *after, load="7.25")
    found = busyness_since(before, tmp_path)
    assert found
    assert found.used == pytest.approx(used)
    assert found.stolen == pytest.approx(stolen)
    assert found.is_busy is busy
    assert str(found).endswith(f"{100 * stolen:.0f} % stolen, load 7.2")


def test_a_kernel_that_tells_nothing_is_no_busy_machine(tmp_path: Path) -> None:
    assert look_at_machine(tmp_path, look_s=0.0) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text("cpu 1 two\n")
    assert read_cpu_times(tmp_path) is None


def test_this_machine_tells() -> None:
    found = look_at_machine()
    assert found
    assert 0 <= found.used <= 1
    assert 0 <= found.stolen <= 1
