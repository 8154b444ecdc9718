"""Samples of a GPU's counters, folded over a worker's stages and its timed window; pure, no NVML."""

import bisect
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from perf.schema.journal import Began, Event, Stage, Timed
from perf.schema.record import GpuCounters, GpuMemory

# nvml.h's clock-event reasons; those that hold a busy device's clocks down are throttling
REASONS = {
    0x001: "gpu_idle", 0x002: "application_clocks", 0x004: "sw_power_cap", 0x008: "hw_slowdown",
    0x010: "sync_boost", 0x020: "sw_thermal_slowdown", 0x040: "hw_thermal_slowdown",
    0x080: "hw_power_brake", 0x100: "display_clocks", 0x200: "board_limit", 0x400: "reliability",
}  # fmt: skip
THROTTLING = 0x004 | 0x008 | 0x010 | 0x020 | 0x040 | 0x080 | 0x200 | 0x400
_COVERED = 0.9  # a window sampled over less of its length than this has no energy
_STEPS = 5  # a counter that moved fewer times than this within a window is too coarse for it
_MOST_W = 5000.0  # no board draws more: a counter that says so was reset, not wrapped


@dataclass(frozen=True)
class Sample:
    """What NVML said at one CLOCK_MONOTONIC time; None is what it would not say."""

    at_s: float
    used_mib: float | None = None  # of the whole device
    process_mib: tuple[tuple[int, float | None], ...] = ()  # every process on the device
    own: frozenset[int] = frozenset()  # the launch's own processes at that time
    energy_mj: int | None = None
    power_w: float | None = None
    sm_mhz: float | None = None
    memory_mhz: float | None = None
    celsius: float | None = None
    reasons: int | None = None

    @property
    def pids(self) -> frozenset[int]:
        """Processes on the device, as NVML numbers them."""
        return frozenset(pid for pid, _ in self.process_mib)


def reason_names(bits: int) -> tuple[str, ...]:
    """The names of clock-event reasons; a bit that nvml.h did not name yet is given in hexadecimal."""
    unknown = bits & ~sum(REASONS)
    named = tuple(name for bit, name in REASONS.items() if bits & bit)
    return (*named, f"0x{unknown:x}") if unknown else named


def summarise_memory(
    samples: Sequence[Sample], baseline: Sample | None, events: Sequence[Event]
) -> tuple[GpuMemory | None, tuple[str, ...]]:
    """Peak memory by process tree; where its pids are not visible, the whole device less its baseline."""
    before = baseline.pids if baseline else frozenset()
    own = [(s.at_s, _own_mib(s, before)) for s in samples]
    points = [(at, mib) for at, mib in own if mib is not None]
    if points:
        return _memory(points, 0.0, "process", events), ()
    if baseline is None or baseline.used_mib is None:
        return None, ()
    low = baseline.used_mib
    points = [(s.at_s, s.used_mib) for s in samples if s.used_mib is not None]
    if not points:
        return None, ()
    if max(mib for _, mib in points) < low:
        return None, ("GPU memory unknown: others released memory while the launch ran",)
    why = "GPU memory is the device's, baseline subtracted: the launch's pids are not visible"
    return _memory(points, low, "device", events), (why,)


def summarise_counters(
    samples: Sequence[Sample],
    baseline: Sample | None,
    events: Sequence[Event],
    board_limit_w: float | None,
    power_source: str = "",
) -> tuple[GpuCounters | None, tuple[str, ...]]:
    """Energy, power, clocks and throttling over the timed window; None without a window or a sample in it.

    Average power is integrated power over the window; idle power is the least seen before a session was made.
    Clocks are medians, the temperature is the highest.
    """
    window = next(
        ((e.begun_s, e.ended_s) for e in events if isinstance(e, Timed) and e.ended_s > e.begun_s),
        None,
    )
    if window is None:
        return None, ()
    inside = [s for s in samples if window[0] <= s.at_s <= window[1]]
    if not inside:
        return None, ("no GPU sample fell into the timed window",) if samples else ()
    length_s = window[1] - window[0]
    energy_j, notes = _counter_energy(samples, inside, window)
    watts = [(s.at_s, s.power_w) for s in samples if s.power_w is not None]
    integrated_j = over_window(_integrated(watts), window)
    reasons = [s.reasons for s in inside if s.reasons is not None]
    throttled = [r & THROTTLING for r in reasons]
    return GpuCounters(
        energy_counter_j=energy_j,
        energy_integrated_j=integrated_j,
        average_w=None if integrated_j is None else integrated_j / length_s,
        idle_w=_idle_w(samples, baseline, events),
        board_limit_w=board_limit_w,
        sm_mhz=_median([s.sm_mhz for s in inside]),
        memory_mhz=_median([s.memory_mhz for s in inside]),
        temperature_c=max((s.celsius for s in inside if s.celsius is not None), default=None),
        throttled_share=sum(map(bool, throttled)) / len(throttled) if throttled else None,
        throttle_reasons=reason_names(_either(throttled)),
        others=max(_others(s, baseline) for s in inside),
        samples=len(inside),
        window_s=length_s,
        power_source=power_source if integrated_j is not None else "",
    ), notes


def unwrap_counter(points: Sequence[tuple[float, int]]) -> list[tuple[float, float]] | None:
    """A cumulative mJ counter as joules since its first point, wraps at 2³² and 2⁶⁴ undone.

    None where it fell back without having wrapped (a reset): a wrap that implies an impossible power is none.
    """
    out: list[tuple[float, float]] = []
    total = 0
    for i, (at, value) in enumerate(points):
        if i:
            before_s, before = points[i - 1]
            step = value - before
            most = _MOST_W * 1000 * (at - before_s) + 1000
            if step < 0:
                wraps = [step + 2**bits for bits in (32, 64) if before < 2**bits]
                step = next((w for w in wraps if 0 <= w <= most), -1)
            if step < 0:
                return None
            total += step
        out.append((at, total / 1000))
    return out


def over_window(
    cumulative: Sequence[tuple[float, float]], window: tuple[float, float]
) -> float | None:
    """How much a cumulative quantity grew over a window, ends interpolated between samples.

    Scaled up where samples span a little less than the window; None where they span under 90 % of it.
    """
    if len(cumulative) < 2:
        return None
    low, high = max(window[0], cumulative[0][0]), min(window[1], cumulative[-1][0])
    length = window[1] - window[0]
    if length <= 0 or (high - low) / length < _COVERED:
        return None
    return (_at(cumulative, high) - _at(cumulative, low)) * length / (high - low)


def _memory(
    points: Sequence[tuple[float, float]], baseline: float, scope: str, events: Sequence[Event]
) -> GpuMemory:
    starts = [(e.at_s, e.stage) for e in events if isinstance(e, Began)]
    by_stage: dict[str, float] = {}
    for at, mib in points:
        stage = next((s for t, s in reversed(starts) if t <= at), Stage.START)
        by_stage[stage.value] = max(mib - baseline, by_stage.get(stage.value, -math.inf))
    return GpuMemory(
        peak_mib=max(mib for _, mib in points),
        baseline_mib=baseline,
        scope=scope,
        by_stage_mib=by_stage,
        samples=len(points),
    )


def _own_mib(sample: Sample, before: frozenset[int]) -> float | None:
    """Memory of the launch's own processes. A pid that was there before the launch cannot be one of them:
    it is a host's number that a container's happens to equal."""
    own = [
        mib for pid, mib in sample.process_mib if pid in sample.own - before and mib is not None
    ]
    return sum(own) if own else None


def _others(sample: Sample, baseline: Sample | None) -> int:
    """Processes on the device that are not the launch's, as far as that can be known."""
    before = baseline.pids if baseline else frozenset()
    if sample.own - before & sample.pids:
        return len(sample.pids - (sample.own - before))
    return len(
        sample.pids & before
    )  # pids of another namespace: only the earlier ones are surely others


def _counter_energy(
    samples: Sequence[Sample], inside: Sequence[Sample], window: tuple[float, float]
) -> tuple[float | None, tuple[str, ...]]:
    points = [(s.at_s, s.energy_mj) for s in samples if s.energy_mj is not None]
    if not points:
        return None, ()
    cumulative = unwrap_counter(points)
    if cumulative is None:
        return None, ("energy counter unknown: it was reset while the launch ran",)
    steps = len({s.energy_mj for s in inside if s.energy_mj is not None}) - 1
    if steps < _STEPS:
        length_s = window[1] - window[0]
        return None, (
            f"energy counter moved {max(steps, 0)} times in {length_s:.2f} s: too coarse for this window",
        )
    return over_window(cumulative, window), ()


def _integrated(watts: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Joules since the first power sample, by the trapezoidal rule."""
    out: list[tuple[float, float]] = []
    for i, (at, w) in enumerate(watts):
        before_s, before_w = watts[i - 1] if i else (at, w)
        out.append((at, (out[-1][1] if out else 0.0) + (at - before_s) * (w + before_w) / 2))
    return out


def _at(points: Sequence[tuple[float, float]], at: float) -> float:
    i = min(max(bisect.bisect_left(points, at, key=lambda p: p[0]), 1), len(points) - 1)
    (t0, y0), (t1, y1) = points[i - 1], points[i]
    return y0 if t1 == t0 else y0 + (y1 - y0) * (at - t0) / (t1 - t0)


def _idle_w(
    samples: Sequence[Sample], baseline: Sample | None, events: Sequence[Event]
) -> float | None:
    created_s = next(
        (e.at_s for e in events if isinstance(e, Began) and e.stage is Stage.CREATE), -math.inf
    )
    quiet = [s for s in (baseline, *(s for s in samples if s.at_s < created_s)) if s is not None]
    return min((s.power_w for s in quiet if s.power_w is not None), default=None)


def _median(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return statistics.median(known) if known else None


def _either(bits: Sequence[int]) -> int:
    out = 0
    for b in bits:
        out |= b
    return out
