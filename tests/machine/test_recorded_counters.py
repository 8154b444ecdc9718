"""What NVML told of an H200 while resnet50 was measured there (benchmarks/gpu/record.py), folded over that launch."""

import json
from pathlib import Path
from typing import Any

import pytest

from perf.machine.gpu_counters import Sample, summarise_counters, summarise_memory
from perf.schema.journal import read_journal

RECORDED = Path(__file__).parents[1] / "recorded" / "h200"
TOLD: dict[str, Any] = json.loads((RECORDED / "nvml.json").read_text(encoding="utf-8"))
EVENTS = read_journal(RECORDED / "nvml_journal.jsonl")


def sample(told: dict[str, Any]) -> Sample:
    processes = tuple((pid, mib) for pid, mib in told["process_mib"])
    return Sample(**{**told, "process_mib": processes, "own": frozenset(told["own"])})


SAMPLES, BASELINE = [sample(s) for s in TOLD["samples"]], sample(TOLD["baseline"])


def test_the_board_was_at_its_highest_clock_and_held_back_by_nothing() -> None:
    found, notes = summarise_counters(SAMPLES, BASELINE, EVENTS, 700.0, TOLD["power_source"])
    assert found
    assert notes == ()
    assert (found.sm_mhz, found.memory_mhz, found.temperature_c) == (1980, 3201, 37.0)
    assert (found.throttled_share, found.throttle_reasons, found.others) == (0.0, (), 0)
    assert found.power_source == "instant"


def test_energy_by_the_counter_and_by_integrated_power_are_one() -> None:
    found, _ = summarise_counters(SAMPLES, BASELINE, EVENTS, 700.0, TOLD["power_source"])
    assert found
    assert found.energy_counter_j
    assert found.energy_integrated_j == pytest.approx(found.energy_counter_j, rel=0.02)
    assert found.idle_w is not None
    assert found.average_w is not None
    assert found.idle_w == pytest.approx(77, abs=1)
    assert found.average_w == pytest.approx(209, abs=4)


def test_an_idle_boards_clock_reason_is_no_throttling() -> None:
    idle = [s for s in SAMPLES if s.sm_mhz == 345]
    assert {s.reasons for s in idle} == {1}, "gpu_idle, as nvml.h has it"
    assert {s.reasons for s in SAMPLES if s.sm_mhz == 1980} <= {0, 1}


def test_memory_is_the_processes_own() -> None:
    found, notes = summarise_memory(SAMPLES, BASELINE, EVENTS)
    assert found
    assert (found.scope, found.baseline_mib, notes) == ("process", 0.0, ())
    assert (found.by_stage_mib["create"], found.by_stage_mib["time"]) == (518.0, 796.0)
