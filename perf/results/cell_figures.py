"""What one record comes to, subject by subject, each figure from the launches that it is true of."""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeVar

from perf.results.host_records import host_name
from perf.results.latency import published_launches
from perf.schema.cause import cause_of
from perf.schema.cell import Cell, Precision
from perf.schema.fold import Expectation, is_wrong
from perf.schema.journal import Compared, Created, HostMemory, Placement
from perf.schema.record import (
    GpuCounters,
    GpuMemory,
    Launch,
    LaunchKind,
    Mismatched,
    NativeFrame,
    Outcome,
    Passed,
    Record,
    check_launch,
    measure_launches,
)
from perf.stats.summary import ratio, rounded

UNPROVEN = "unproven"
TOP_FRAMES = 8  # of a native stack, in a row; the record has more
Memory = TypeVar("Memory", HostMemory, GpuMemory)


def name_hosts(record: Record) -> str:
    """Names of the hosts that its launches ran on; "" where they do not tell."""
    names = dict.fromkeys(host_name(x.host) for x in record.launches if x.host)
    return "+".join(names)


def name_arithmetic(cell: Cell) -> str:
    """The arithmetic a cell may use: TF32 is not fp32."""
    tf32 = cell.tf32 and cell.target.precision is Precision.FP32
    return "tf32" if tf32 else cell.target.precision.value


def find_origins(cell: Cell) -> tuple[str, ...]:
    """Where the inputs of its sets came from, each way once."""
    return tuple(dict.fromkeys(s.origin for s in cell.sets if s.origin))


def format_shapes(cell: Cell) -> Mapping[str, str]:
    """Shapes of the first test set's inputs: 1x3x224x224; "scalar" for none."""
    inputs = cell.sets[0].inputs if cell.sets else ()
    return {t.name: "x".join(str(d) for d in t.shape) or "scalar" for t in inputs}


def merge_versions(record: Record) -> Mapping[str, str]:
    """Versions of the environment, and over them those that launches loaded."""
    out = dict(record.cell.environment.versions)
    for launch in record.launches:
        out |= launch.versions
    return out


def find_io_mode(record: Record) -> str:
    """As timed, which is what is true; as asked for where nothing was timed."""
    timed = {x.timed.io for x in measure_launches(record) if x.timed}
    return "+".join(sorted(timed)) or record.cell.io.value


def find_log(record: Record) -> str:
    """The log of the launch that decided the outcome, below a result folder; "" where none ran."""
    if not record.launches:
        return ""
    failed = [x for x in record.launches if not isinstance(x.outcome, Passed)]
    same = [x for x in failed if x.outcome == record.outcome]
    launch = (same or failed or [record.launches[-1]])[0]
    folder = PurePosixPath(record.run_id or ".") / "cells" / record.cell.folder.as_posix()
    return str(folder / launch.name / "output.log")


def describe_frame(frame: NativeFrame) -> str:
    """A function and the file name of its library: OrtApis::Run (libonnxruntime.so)."""
    library = PurePosixPath(frame.library).name
    return f"{frame.function} ({library})" if library else frame.function


def find_cold_creation(record: Record) -> Created | None:
    """The check launch's, if it was cold; without an engine cache the first measure launch's, as cold."""
    check, measured = check_launch(record), measure_launches(record)
    if check and check.cold:
        return check.created
    created = measured[0].created if measured else None
    return created if created and created.cached is None else None


def find_median(values: Iterable[float]) -> float | None:
    """The median; None of nothing."""
    known = list(values)
    return rounded(statistics.median(known)) if known else None


def were_engines_cached(launches: Iterable[Launch]) -> bool | None:
    """Whether every launch that needs an engine loaded one; None where none needs one."""
    created = [x.created.cached for x in launches if x.created]
    cached = [c for c in created if c is not None]
    return all(cached) if cached else None


@dataclass(frozen=True)
class PeakMemory:
    """Columns of memory, from the measure launches, else from the check launch."""

    host: HostMemory | None  # of the launch that added most, as the next
    gpu: GpuMemory | None
    tree_mib: float | None


def find_peak_memory(record: Record) -> PeakMemory:
    """What launches added to memory at their peak."""
    checks = tuple(x for x in record.launches if x.kind is LaunchKind.CHECK)
    launches = measure_launches(record) or checks
    return PeakMemory(
        host=_find_largest_growth(x.host_memory for x in launches),
        gpu=_find_largest_growth(x.gpu_memory for x in launches),
        tree_mib=find_largest(x.ending.peak_rss_mib for x in launches),
    )


def _find_largest_growth(memories: Iterable[Memory | None]) -> Memory | None:
    return max((m for m in memories if m), key=lambda m: m.peak_mib - m.baseline_mib, default=None)


@dataclass(frozen=True)
class TimedCounters:
    """Counters of the timed stages; energy is the sum over launches for the sum of their runs."""

    readings: tuple[GpuCounters, ...]
    runs_per_s: float | None
    cpu_j: float | None  # per run, as the next two
    counter_j: float | None
    integrated_j: float | None

    def weigh(self, read: Callable[[GpuCounters], float | None]) -> float | None:
        """Mean over launches, weighted by the length of their timed stages."""
        known = [(v, c.window_s) for c in self.readings if (v := read(c)) is not None]
        weight = sum(w for _, w in known)
        if not weight:
            return statistics.fmean(v for v, _ in known) if known else None
        return sum(v * w for v, w in known) / weight

    @property
    def average_w(self) -> float | None:
        """Mean board power."""
        return self.weigh(lambda c: c.average_w)

    @property
    def above_idle_w(self) -> float | None:
        """Mean board power less that of the idle board."""
        return _subtract(self.average_w, self.weigh(lambda c: c.idle_w))

    @property
    def disagreement_pct(self) -> float | None:
        """What integrated power samples have more than the board's counter."""
        gap_j = _subtract(self.integrated_j, self.counter_j)
        return ratio(None if gap_j is None else 100 * gap_j, self.counter_j)


def collect_counters(record: Record, runs_per_s: float | None) -> TimedCounters:
    """The counters of the launches whose samples are published."""
    launches = published_launches(record)
    gpu = [(x, x.gpu_counters) for x in launches if x.gpu_counters]
    return TimedCounters(
        readings=tuple(c for _, c in gpu),
        runs_per_s=runs_per_s,
        cpu_j=_divide_by_runs((x, x.cpu_energy_j) for x in launches),
        counter_j=_divide_by_runs((x, c.energy_counter_j) for x, c in gpu),
        integrated_j=_divide_by_runs((x, c.energy_integrated_j) for x, c in gpu),
    )


def _divide_by_runs(joules: Iterable[tuple[Launch, float | None]]) -> float | None:
    known = [(j, len(x.timed.samples_ns)) for x, j in joules if j is not None and x.timed]
    return sum(j for j, _ in known) / sum(n for _, n in known) if known else None


def _subtract(whole: float | None, part: float | None) -> float | None:
    return None if whole is None or part is None else whole - part


@dataclass(frozen=True)
class PlacedNodes:
    """Where nodes ran, with respect to the provider that they must be on ("": that cannot be said)."""

    placement: Placement
    provider: str
    total_ops: int
    ops_on_ep: int | None
    time_us: float | None  # of one profiled run
    time_on_ep_us: float | None
    ops_elsewhere: Mapping[str, int]  # by provider/operator type, most first


def find_placed_nodes(record: Record) -> PlacedNodes | None:
    """The account of where nodes ran: the check launch's, else any launch's."""
    launches = (check_launch(record), *record.launches)
    placement = next((x.placement for x in launches if x and x.placement), None)
    if placement is None:
        return None
    provider, times = record.cell.provider, placement.host_time_us
    others = {
        f"{p}/{op}": n
        for p, ops in placement.op_types.items()
        if p != provider
        for op, n in ops.items()
    }
    return PlacedNodes(
        placement=placement,
        provider=provider,
        total_ops=sum(placement.nodes.values()),
        ops_on_ep=placement.nodes.get(provider, 0) if provider else None,
        time_us=sum(times.values()) if times else None,
        time_on_ep_us=times.get(provider, 0.0) if times and provider else None,
        ops_elsewhere=dict(sorted(others.items(), key=lambda item: (-item[1], item[0]))),
    )


def name_placement_source(record: Record) -> str:
    """Who told where nodes ran; unproven where a session was made and nobody did."""
    if placed := find_placed_nodes(record):
        return placed.placement.source
    return UNPROVEN if record.cell.provider and any(x.created for x in record.launches) else ""


def collect_compared(record: Record) -> tuple[Compared, ...] | None:
    """Every output that was held against a reference; None where none was."""
    return tuple(c for x in record.launches for c in x.compared) or None


def name_cause(outcome: Outcome) -> str:
    """Whose fault a mismatch is, in a word or two; "" for other outcomes."""
    return cause_of(outcome.cause) if isinstance(outcome, Mismatched) else ""


def count_compared(compared: tuple[Compared, ...]) -> int:
    """Outputs over all sets, each once, of which at least one element was compared."""
    return len({(c.set, c.output) for c in compared if c.has_content})


def count_timed_compared(compared: tuple[Compared, ...]) -> int:
    """Outputs of first and last timed runs that were compared, over all launches."""
    return sum(bool(c.timed_run) and c.has_content for c in compared)


def count_references(compared: tuple[Compared, ...]) -> Mapping[str, int]:
    """What outputs were held against -> how many of them, over all sets."""
    held = {(c.set, c.output): c.reference for c in compared if c.has_content and c.reference}
    return dict(Counter(held.values()))


def find_worst(record: Record) -> Compared | None:
    """The output that is most wrong by its tolerance."""
    allowed = Expectation(percent_mismatch=record.cell.tolerance.percent_mismatch)
    return max(
        collect_compared(record) or (),
        key=lambda c: (is_wrong(c, allowed), mismatched_share(c), c.max_abs or 0.0),
        default=None,
    )


def mismatched_share(compared: Compared) -> float:
    """Share of an output's elements beyond tolerance, 0…1."""
    return compared.mismatched / compared.total if compared.total else 0.0


def find_largest(values: Iterable[float | None]) -> float | None:
    """The largest, NaN the largest of all: it is the worst that can be said."""
    known = [v for v in values if v is not None]
    return max(known, key=lambda v: (math.isnan(v), v), default=None)


def find_smallest(values: Iterable[float | None]) -> float | None:
    """The smallest, NaN the smallest of all."""
    known = [v for v in values if v is not None]
    return min(known, key=lambda v: (not math.isnan(v), v), default=None)
