"""GPU counters against a fake NVML (a library we do not own) that wraps, resets, and loses its device."""

import pytest

from perf.machine import nvml_sampler
from perf.machine.gpu_counters import reason_names, unwrap_counter
from perf.machine.gpus import find_gpus
from perf.schema.journal import Began, Event, Stage, Timed
from perf.schema.record import GpuCounters, GpuMemory
from tests.fakes.nvml_fake import FakeNvml

US, OTHER = 4242, 777
# The launch: 100.0 start, 100.2 load, 100.6 create, 101.0 run, 101.5 to 104.5 timed, 105.0 over
EVENTS: tuple[Event, ...] = (
    Began(Stage.LOAD, 100.2),
    Began(Stage.CREATE, 100.6),
    Began(Stage.RUN, 101.0),
    Began(Stage.TIME, 101.5),
    Timed((1,), "host", 1, 3, 0, None, None, True, begun_s=101.5, ended_s=104.5),
    Began(Stage.CLOSE, 104.6),
)


def busy_w(now: float) -> float:
    return 300.0 if now >= 101.0 else 60.0


def launch(
    fake: FakeNvml, until_s: float = 105.0, every_s: float = 0.02
) -> tuple[GpuMemory | None, GpuCounters | None, list[str]]:
    (gpu,) = find_gpus(fake, "0")
    sampler = nvml_sampler.NvmlSampler(gpu, fake, fake.clock)
    sampler.baseline()
    while fake.now_s < until_s:
        fake.now_s += every_s
        sampler.sample(frozenset({US, US + 1}))
    seen, counted = sampler.finish(EVENTS)
    return seen, counted, sampler.notes


def test_without_a_driver_there_is_nothing_and_nothing_is_raised() -> None:
    """Against the real binding where this machine has no NVIDIA driver; against error 12 everywhere."""
    fake = FakeNvml(errors={"nvmlInit": 12})
    assert find_gpus(fake, "0") == ()
    (gpu,) = find_gpus(FakeNvml(), "0")
    sampler = nvml_sampler.NvmlSampler(gpu, fake)
    sampler.baseline()
    sampler.sample(frozenset({US}))
    assert sampler.finish(EVENTS) == (None, None)
    assert sampler.notes == ["no NVML: no GPU counters"]


def test_the_real_binding_answers_or_says_nothing() -> None:
    found = find_gpus()
    assert all(g.uuid.startswith("GPU-") for g in found)


def test_devices_by_uuid_in_the_order_the_variable_gives() -> None:
    fake = FakeNvml(boards=2)
    assert [g.uuid for g in find_gpus(fake, "1,0")] == ["GPU-1000", "GPU-0000"]
    (gpu,) = find_gpus(fake, "0")
    assert (gpu.driver, gpu.cuda_driver, gpu.board_limit_w) == ("580.65.06", "13.1", 700.0)
    assert gpu.memory_mib == 80 * 1024
    assert gpu.pci == "00000000:1B:00.0"


def test_the_environment_variable_is_read_where_nothing_else_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert [g.index for g in find_gpus(FakeNvml(boards=2))] == [1]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert [g.index for g in find_gpus(FakeNvml(boards=2))] == [0, 1]


def test_one_broken_board_does_not_hide_the_other() -> None:
    fake = FakeNvml(boards=2, errors={"nvmlDeviceGetHandleByIndex0": 15})
    assert [g.index for g in find_gpus(fake, "1")] == [1]


def test_memory_is_that_of_the_process_tree_by_stage() -> None:
    def held(now: float) -> dict[int, float]:
        return {OTHER: 9000.0} | ({US: 400.0 if now < 101.0 else 1500.0} if now > 100.6 else {})

    seen, counted, notes = launch(FakeNvml(processes=held))
    assert seen is not None
    assert (seen.scope, seen.peak_mib, seen.baseline_mib) == ("process", 1500.0, 0.0)
    assert seen.by_stage_mib["create"] == 400.0
    assert seen.by_stage_mib["time"] == 1500.0
    assert "load" not in seen.by_stage_mib  # it held nothing yet: unknown is absent, not 0
    assert counted is not None
    assert counted.others == 1
    assert notes == []


def test_in_a_container_nvml_shows_host_pids_and_the_scope_says_device() -> None:
    fake = FakeNvml(
        processes=lambda now: {OTHER: 800.0} | ({91234: 1500.0} if now > 100.6 else {}),
        used_mib=lambda now: 800.0 if now < 100.6 else 2300.0,
    )
    seen, counted, notes = launch(fake)
    assert seen is not None
    assert (seen.scope, seen.peak_mib, seen.baseline_mib) == ("device", 2300.0, 800.0)
    assert seen.by_stage_mib["time"] == 1500.0
    assert "pids are not visible" in notes[0]
    assert counted is not None
    assert counted.others == 1  # 91234 may be the launch itself: it is not counted


def test_a_host_pid_that_equals_ours_by_chance_was_there_before() -> None:
    fake = FakeNvml(processes=lambda _: {US: 9000.0}, used_mib=lambda _: 9000.0)
    seen, _, _ = launch(fake)
    assert seen is not None
    assert (seen.scope, seen.peak_mib - seen.baseline_mib) == ("device", 0.0)


def test_memory_of_own_process_unreadable_is_not_zero() -> None:
    fake = FakeNvml(processes=lambda _: {US + 1: None}, errors={"nvmlDeviceGetMemoryInfo": 3})
    (gpu,) = find_gpus(FakeNvml(), "0")
    sampler = nvml_sampler.NvmlSampler(gpu, fake, fake.clock)
    sampler.baseline()
    for _ in range(10):
        fake.now_s += 0.02
        sampler.sample(frozenset({US + 1}))
    assert sampler.finish(EVENTS)[0] is None


def test_others_that_release_memory_make_it_unknown() -> None:
    seen, _, notes = launch(FakeNvml(used_mib=lambda now: 9000.0 if now <= 100.0 else 50.0))
    assert seen is None
    assert "others released memory" in notes[0]


def test_energy_both_ways_idle_clocks_and_temperature() -> None:
    seen, counted, _ = launch(FakeNvml(power_w=busy_w, energy_start_mj=5))
    assert seen is not None
    assert counted is not None
    assert counted.energy_integrated_j == pytest.approx(3 * 300, rel=0.01)
    assert counted.average_w == pytest.approx(300, rel=0.01)
    assert counted.energy_counter_j == pytest.approx(3 * 300, rel=0.02)
    assert (counted.idle_w, counted.board_limit_w) == (60.0, 700.0)
    assert (counted.sm_mhz, counted.memory_mhz, counted.temperature_c) == (1980, 2619, 61)
    assert (counted.throttled_share, counted.throttle_reasons) == (0.0, ())
    assert counted.power_source == "instant"
    assert counted.window_s == 3.0
    assert counted.samples == pytest.approx(150, abs=2)


@pytest.mark.parametrize(("bits", "start"), [(32, 2**32 - 400_000), (64, 2**64 - 400_000)])
def test_a_wrapping_energy_counter_is_unwrapped(bits: int, start: int) -> None:
    _, counted, _ = launch(FakeNvml(energy_bits=bits, energy_start_mj=start))
    assert counted is not None
    assert counted.energy_counter_j == pytest.approx(300, rel=0.02)


def test_a_reset_energy_counter_is_unknown_and_says_so() -> None:
    _, counted, notes = launch(FakeNvml(energy_reset_at_s=103.0))
    assert counted is not None
    assert counted.energy_counter_j is None
    assert counted.energy_integrated_j == pytest.approx(300, rel=0.01)
    assert any("reset" in n for n in notes)


def test_a_counter_too_coarse_for_the_window_is_not_published() -> None:
    _, counted, notes = launch(FakeNvml(energy_step_s=1.0))
    assert counted is not None
    assert counted.energy_counter_j is None
    assert any("too coarse" in n for n in notes)


def test_a_lost_device_ends_every_series_and_says_so() -> None:
    fake = FakeNvml(lost_at_s=102.0)
    seen, counted, notes = launch(fake)
    assert counted is not None
    assert counted.samples == pytest.approx(25, abs=2)
    assert counted.energy_integrated_j is None  # sampled over a sixth of the window
    assert counted.energy_counter_j is None
    assert seen is not None
    assert notes[0] == "GPU counters end early: the device was lost (it fell off the bus)"
    assert fake.calls.count("nvmlDeviceGetMemoryInfo") < 110  # a lost device is left in peace


@pytest.mark.parametrize("code", [16, 1, 9, 18, 999])
def test_every_fatal_code_ends_the_series_in_one_line(code: int) -> None:
    _, _, notes = launch(FakeNvml(lost_at_s=102.0, lost_code=code))
    assert notes[0].startswith("GPU counters end early: ")
    assert "\n" not in notes[0]


def test_lost_before_the_launch() -> None:
    (gpu,) = find_gpus(FakeNvml(), "0")
    sampler = nvml_sampler.NvmlSampler(gpu, FakeNvml(errors={"nvmlDeviceGetHandleByUUID": 15}))
    sampler.baseline()
    sampler.sample(frozenset({US}))
    assert sampler.finish(EVENTS) == (None, None)


def test_what_a_board_does_not_offer_is_asked_once_and_left_empty() -> None:
    fake = FakeNvml(
        errors={
            "field186": 3,
            "nvmlDeviceGetTotalEnergyConsumption": 3,
            "nvmlDeviceGetCurrentClocksEventReasons": 13,
            "nvmlDeviceGetTemperature": 4,
        },
        reasons=lambda _: 0x4,
    )
    _, counted, _ = launch(fake)
    assert counted is not None
    assert counted.power_source == "board"
    assert counted.energy_counter_j is None
    assert counted.temperature_c is None
    assert counted.throttled_share == 1.0  # an older driver is asked by the older name
    assert fake.calls.count("nvmlDeviceGetTotalEnergyConsumption") == 1
    assert fake.calls.count("nvmlDeviceGetFieldValues") == 1


def test_a_passing_error_costs_one_sample_only() -> None:
    fake = FakeNvml()
    (gpu,) = find_gpus(fake, "0")
    sampler = nvml_sampler.NvmlSampler(gpu, fake, fake.clock)
    for i in range(200):
        fake.errors = {"nvmlDeviceGetFieldValues": 10} if i % 2 else {}
        fake.errors["nvmlDeviceGetPowerUsage"] = 10
        fake.now_s += 0.025
        sampler.sample(frozenset({US}))
    _, counted = sampler.finish(EVENTS)
    assert counted is not None
    assert counted.energy_integrated_j == pytest.approx(300, rel=0.02)


def test_throttling_is_the_share_of_samples_and_its_reasons_by_name() -> None:
    _, counted, _ = launch(FakeNvml(reasons=lambda now: 0x44 if 102.0 <= now < 103.5 else 0x1))
    assert counted is not None
    assert counted.throttled_share == pytest.approx(0.5, abs=0.02)
    assert counted.throttle_reasons == ("sw_power_cap", "hw_thermal_slowdown")


def test_idle_and_application_clocks_are_not_throttling() -> None:
    _, counted, _ = launch(FakeNvml(reasons=lambda _: 0x3))
    assert counted is not None
    assert counted.throttled_share == 0.0


def test_a_slow_driver_is_asked_less_often() -> None:
    fake = FakeNvml(cost_s=0.01)  # ten times too slow
    launch(fake)
    assert fake.calls.count("nvmlDeviceGetTemperature") < 10


def test_no_timed_stage_no_counters_but_memory() -> None:
    fake = FakeNvml(processes=lambda _: {OTHER: 1.0})
    (gpu,) = find_gpus(fake, "0")
    sampler = nvml_sampler.NvmlSampler(gpu, fake, fake.clock)
    sampler.baseline()
    fake.now_s += 1
    sampler.sample(frozenset({US}))
    seen, counted = sampler.finish(EVENTS[:2])
    assert counted is None
    assert seen is not None


def test_a_window_that_no_sample_met() -> None:
    _, counted, notes = launch(FakeNvml(), until_s=101.0)
    assert counted is None
    assert "no GPU sample fell into the timed window" in notes[-1]


def test_unknown_reason_bits_keep_their_number() -> None:
    assert reason_names(0x8 | 0x10000) == ("hw_slowdown", "0x10000")


def test_a_fall_that_no_wrap_explains_is_a_reset() -> None:
    assert unwrap_counter([(0.0, 10_000_000), (0.02, 5)]) is None
    assert unwrap_counter([(0.0, 2**32 - 500), (0.02, 500)]) == [(0.0, 0.0), (0.02, 1.0)]
