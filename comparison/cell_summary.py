"""What a comparison needs to know of a run and its cells, whichever file they were read from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import overload


class UnreadableError(Exception):
    """A run cannot be compared; the message is one line: what, where, what to do next."""


class Metric(StrEnum):
    """What a verdict is about."""

    STATUS = "status"
    P50 = "latency_p50"
    MEAN = "latency_mean"
    TAIL_RATIO = "latency_slow_end"  # p90 over p10 of a launch: what some of the runs cost more
    P99 = "latency_p99"
    DEVICE = "device_time"  # its kernels' own, by the device's clock
    SESSION = "session_creation"
    HOST_MEMORY = "host_memory"
    GPU_MEMORY = "gpu_memory"
    ACCURACY = "accuracy"
    PLACEMENT = "placement"


PASSED = frozenset({"Passed", "Pass"})
NOT_TRIED = frozenset({"Skipped", "NotRun", ""})


@dataclass(frozen=True, slots=True)
class LaunchSummary:
    """One measure launch: where it stood in time, and its numbers by metric."""

    round: int
    order: int
    began_s: float
    boot_id: str
    samples_ns: tuple[int, ...]
    values: Mapping[Metric, float]


@dataclass(frozen=True, slots=True)
class QuartileLaunches(Sequence[LaunchSummary]):
    """Launches of which a table knows the lower quartile alone, made when asked for: tables are long."""

    p25s_ms: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.p25s_ms)

    @overload
    def __getitem__(self, at: int) -> LaunchSummary: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[LaunchSummary]: ...
    def __getitem__(self, at: int | slice) -> LaunchSummary | Sequence[LaunchSummary]:
        if isinstance(at, slice):
            return tuple(self)[at]
        return LaunchSummary(at, at, 0.0, "", (), {Metric.P50: self.p25s_ms[at]})


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How far the worst output was from its reference."""

    mismatched_share: float  # largest share of an output's elements beyond tolerance, 0…1
    relative_norm: float | None
    unusable: str = ""  # NaN, shape, dtype: why an output could not be compared


@dataclass(frozen=True, slots=True)
class PlacementSummary:
    """Nodes on the EP asked for, of all assigned ones, and the subgraphs it was given."""

    provider: str
    on_provider: int
    total: int
    partitions: int | None


@dataclass(frozen=True, slots=True)
class CellSummary:
    """A cell of one run."""

    id: str
    model: str
    target: str  # as tables spell it; carries @environment only where it is not the default one
    outcome: str = ""  # its tag, or Pass, Fail where no more is known; "": unknown
    detail: str = ""
    digest: str = ""
    variant: str = ""
    environment: str = ""
    interpreter: str = ""  # that its launches ran under; "": unknown
    conditions: Mapping[str, str] = field(default_factory=dict)  # what must agree; absent: unknown
    launches: Sequence[LaunchSummary] = ()
    values: Mapping[Metric, float] = field(default_factory=dict)  # over all launches
    accuracy: Accuracy | None = None
    placement: PlacementSummary | None = None
    disturbances: tuple[str, ...] = ()  # what was seen on the machine while it was measured
    shapes: str = (
        ""  # x=8x512: of a cell whose test sets differ in it, those that its numbers are of
    )
    is_first: bool = (
        True  # of several shapes, the first: what is told of the whole cell is told with it
    )
    disturbed: float = 0.0  # share of its measure launches that others, or throttling, held up
    impossible: str = ""  # why its latency cannot be true, and is withheld

    @property
    def name(self) -> str:
        """Its id, and its shapes where its id has several."""
        return f"{self.id} {self.shapes}".rstrip()

    @property
    def passed(self) -> bool:
        """It ran and was right where it was checked."""
        return self.outcome in PASSED

    @property
    def failed(self) -> bool:
        """It was tried, and did not pass."""
        return self.outcome not in PASSED | NOT_TRIED


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One of the two things compared: a run, its tables, or one side of an A/B run."""

    label: str
    cells: tuple[CellSummary, ...]
    metrics: frozenset[Metric]  # what this source can say at all
    cannot: tuple[str, ...] = ()  # what it cannot support, in words
    canaries: tuple[CellSummary, ...] = ()  # the fixed small model launched beside the cells
    damaged: tuple[
        str, ...
    ] = ()  # of its records, a line each: where it is and why it cannot be read
    only_failures: bool = False  # a list of failures: what it leaves out did not fail
