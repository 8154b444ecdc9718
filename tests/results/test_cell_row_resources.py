"""Energy per run and power, on figures small enough to check on paper."""

from dataclasses import replace

import pytest

from perf.results import cell_row
from perf.schema.record import GpuCounters, GpuMemory, Launch, Record
from tests.results import hand_made as made

NONE = GpuCounters(None, None, None, None, None, None, None, None, None)


def launch(index: int, counters: GpuCounters | None, memory: GpuMemory | None = None) -> Launch:
    """A measure launch of 10 runs of 2 ms."""
    return made.measure(index, [2.0] * 10, gpu_counters=counters, gpu_memory=memory)


def record(*launches: Launch) -> Record:
    """A passed cell."""
    return Record(made.cell(), made.PASSED, launches)


def test_energy_is_all_joules_over_all_runs() -> None:
    a = replace(NONE, energy_counter_j=3.0, energy_integrated_j=4.0)
    b = replace(NONE, energy_counter_j=5.0, energy_integrated_j=6.0)
    found = cell_row.counter_columns(record(launch(0, a), launch(1, b)))
    assert found["energy_counter_j_per_run"] == 0.4
    assert found["energy_integrated_j_per_run"] == 0.5
    assert found["energy_disagreement_pct"] == 25.0


def test_energy_of_one_launch_is_over_its_own_runs() -> None:
    a = replace(NONE, energy_counter_j=3.0)
    found = cell_row.counter_columns(record(launch(0, a), launch(1, NONE)))
    assert found["energy_counter_j_per_run"] == 0.3
    assert found["energy_integrated_j_per_run"] is None
    assert found["energy_disagreement_pct"] is None


def test_power_is_weighted_by_time_and_idle_is_subtracted() -> None:
    a = replace(NONE, average_w=100.0, idle_w=20.0, window_s=3.0, board_limit_w=250.0)
    b = replace(NONE, average_w=200.0, idle_w=20.0, window_s=1.0, board_limit_w=250.0)
    found = cell_row.counter_columns(record(launch(0, a), launch(1, b)))
    assert found["average_w"] == 125.0
    assert found["average_above_idle_w"] == 105.0
    assert found["runs_per_s_per_w"] == 500 / 125
    assert found["runs_per_s_per_board_w"] == 2.0


def test_unknown_counters_are_none_and_never_0() -> None:
    for found in (
        cell_row.counter_columns(record(launch(0, None))),
        cell_row.counter_columns(record()),
    ):
        assert {v for v in found.values() if v not in ((), "")} == {None}
    told = cell_row.counter_columns(record(launch(0, NONE)))
    assert told["gpu_others"] == 0
    assert {v for k, v in told.items() if k != "gpu_others" and v not in ((), "")} == {None}


@pytest.mark.parametrize("scope", ["process", "device"])
def test_gpu_memory_is_of_the_launch_that_added_most(scope: str) -> None:
    low = GpuMemory(900.0, 800.0, scope, {"time": 900.0})
    high = GpuMemory(700.0, 100.0, scope, {"time": 700.0})
    found = cell_row.memory_columns(record(launch(0, None, low), launch(1, None, high)))
    assert (found["gpu_peak_mib"], found["gpu_baseline_mib"]) == (600.0, 100.0)
    assert found["gpu_scope"] == scope
    assert found["gpu_by_stage_mib"] == {"time": 700.0}
