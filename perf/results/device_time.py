"""What a record's device launches come to: the device's own time of a run, and how long it waits in one."""

from dataclasses import dataclass
from statistics import median

from perf.schema.cell import Cell
from perf.schema.journal import RECORDS, DeviceTimed
from perf.schema.record import LaunchKind, Record
from perf.stats.summary import Spread, spread

HOST_BOUND_PCT = 30.0  # above it a latency is mostly what launching costs, and says so
_NS_PER_MS = 1e6


@dataclass(frozen=True)
class DeviceTime:
    """The device's time of a run, in ms, of launches of their own."""

    medians_ms: tuple[
        float, ...
    ]  # in which kernels were at work; of each launch, in the order they ran
    spread: Spread  # of these
    busy_ms: (
        float | None
    )  # kernels, copies and fills: median of the launches' medians; None: not told
    kernels: int | None  # of a run; None: not told
    source: str

    def host_bound_pct(self, p50_ms: float) -> float | None:
        """The share of a run of this length in which the device had nothing to do; None: not told."""
        if self.busy_ms is None:
            return None
        return max(0.0, 100 * (1 - self.busy_ms / p50_ms))


def summarise_device(record: Record) -> DeviceTime | None:
    """What the device launches told; None where none did."""
    told = [x.device_timed for x in record.launches if x.kind is LaunchKind.DEVICE]
    timed = [t for t in told if t is not None]
    medians = tuple(launch_median_ms(t) for t in timed)
    between = spread(medians)
    if between is None:
        return None
    told_apart = all(t.source == RECORDS for t in timed)  # what worked from what waited
    return DeviceTime(
        medians_ms=medians,
        spread=between,
        busy_ms=median(median(t.busy_ns) / _NS_PER_MS for t in timed) if told_apart else None,
        kernels=int(median(t.kernels for t in timed)) if told_apart else None,
        source="+".join(sorted({t.source for t in timed})),
    )


def launch_median_ms(timed: DeviceTimed) -> float:
    """The kernels' time of a launch's middle run."""
    return median(timed.kernels_ns) / _NS_PER_MS


def suggest_remedies(cell: Cell) -> tuple[str, ...]:
    """What would let the device wait less in a cell's runs."""
    graph = () if cell.cuda_graph else ("--cuda_graph on",)
    bound = () if cell.io.value == "device" else ("device-bound io (-b)",)
    return (*graph, "a larger batch", *bound)
