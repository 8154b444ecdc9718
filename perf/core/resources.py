"""What a cell took of the machine: memory above its baseline, and the GPU's energy, clocks and heat."""

import statistics as stdlib
from collections.abc import Iterable
from typing import Any

from perf.core.journal import HostMemory
from perf.core.latency import latency, launches
from perf.core.record import GpuCounters, GpuMemory, Launch, LaunchKind, Record, measured
from perf.core.statistics import ratio, rounded

Facts = dict[str, Any]  # columns of CellRow by name


def memory(record: Record) -> Facts:
    """Columns of memory, from the measure launches, else from the check launch."""
    at = measured(record) or tuple(x for x in record.launches if x.kind is LaunchKind.CHECK)
    host = max((x.host_memory for x in at if x.host_memory), key=_above, default=None)
    gpu = max((x.gpu_memory for x in at if x.gpu_memory), key=_above, default=None)
    trees = [x.ending.peak_rss_mib for x in at if x.ending.peak_rss_mib is not None]
    return {
        "host_peak_mib": rounded(_above(host), 3) if host else None,
        "host_baseline_mib": rounded(host.baseline_mib, 3) if host else None,
        "host_tree_peak_mib": rounded(max(trees, default=None), 3),
        "gpu_peak_mib": rounded(_above(gpu), 3) if gpu else None,
        "gpu_baseline_mib": rounded(gpu.baseline_mib, 3) if gpu else None,
        "gpu_scope": gpu.scope if gpu else "",
        "gpu_by_stage_mib": gpu.by_stage_mib if gpu else {},
    }


def counters(record: Record) -> Facts:
    """Counters of the timed stages; energy is the sum over launches for the sum of their runs."""
    told = [(x.gpu_counters, x) for x in launches(record) if x.gpu_counters]
    found, last = [c for c, _ in told], latency(record)
    power = _weighted(found, [c.average_w for c in found])
    idle = _weighted(found, [c.idle_w for c in found])
    by_counter = _per_run((c.energy_counter_j, x) for c, x in told)
    integrated = _per_run((c.energy_integrated_j, x) for c, x in told)
    rate = ratio(1000.0, last.summary.mean if last else None)
    gap = None if by_counter is None or integrated is None else integrated - by_counter
    return {
        "gpu": record.cell.gpu_name,
        "gpu_uuid": record.cell.gpu,
        "cpu_energy_j_per_run": rounded(
            _per_run((x.cpu_energy_j, x) for x in launches(record)), 9
        ),
        "energy_counter_j_per_run": rounded(by_counter, 9),
        "energy_integrated_j_per_run": rounded(integrated, 9),
        "energy_disagreement_pct": ratio(gap * 100 if gap is not None else None, by_counter),
        "average_w": rounded(power, 3),
        "average_above_idle_w": rounded(
            None if power is None or idle is None else power - idle, 3
        ),
        "runs_per_s_per_w": ratio(rate, power),
        "runs_per_s_per_board_w": ratio(
            rate, max((c.board_limit_w for c in found if c.board_limit_w), default=None)
        ),
        "power_source": "+".join(sorted({c.power_source for c in found} - {""})),
        "sm_mhz": rounded(_weighted(found, [c.sm_mhz for c in found]), 1),
        "memory_mhz": rounded(_weighted(found, [c.memory_mhz for c in found]), 1),
        "temperature_c": max(
            (c.temperature_c for c in found if c.temperature_c is not None), default=None
        ),
        "throttled_share": rounded(_weighted(found, [c.throttled_share for c in found])),
        "throttle_reasons": tuple(dict.fromkeys(r for c in found for r in c.throttle_reasons)),
        "gpu_others": max((c.others for c in found), default=None),
    }


def _above(memory: HostMemory | GpuMemory | None) -> float:
    return memory.peak_mib - memory.baseline_mib if memory else 0.0


def _weighted(found: list[GpuCounters], values: list[float | None]) -> float | None:
    """Mean over launches, weighted by the length of their timed stages."""
    known = [(v, c.window_s) for v, c in zip(values, found, strict=True) if v is not None]
    weight = sum(w for _, w in known)
    if not known:
        return None
    return sum(v * w for v, w in known) / weight if weight else stdlib.fmean(v for v, _ in known)


def _per_run(energies: Iterable[tuple[float | None, Launch]]) -> float | None:
    known = [(j, len(x.timed.samples_ns)) for j, x in energies if j is not None and x.timed]
    runs = sum(n for _, n in known)
    return sum(j for j, _ in known) / runs if runs else None
