"""What happened to a cell: its one outcome, and the facts of each launch, durable as record.json."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from perf.schema import atomic_file, codec, strict_json
from perf.schema.cell import Cell
from perf.schema.codec import with_tag
from perf.schema.journal import (
    Compared,
    Created,
    DeviceTimed,
    FirstRun,
    HostMemory,
    Note,
    Placement,
    PrecisionEvidence,
    Stage,
    Timed,
)
from perf.schema.untrusted_file import read_whole
from perf.schema.version import stamp, without_version

RECORD_LIMIT = 64 << 20  # bytes


class KilledFor(StrEnum):
    """Why the wrapper killed a worker."""

    DEADLINE = "deadline"
    MEMORY_LIMIT = "memory_limit"
    INTERRUPT = "interrupt"


@dataclass(frozen=True)
class Ending:
    """How a worker's process ended, as its parent saw it."""

    status: int | None  # exit status, or None where a signal ended it
    signal: int | None
    killed_for: KilledFor | None = None
    limit: float | None = None  # seconds or MiB, for killed_for
    oom_kill_delta: int = 0  # the cgroup's oom_kill counter, over the worker's life
    peak_rss_mib: float | None = None  # seen from outside, of the process tree
    wall_s: float = 0.0


@with_tag("Passed")
@dataclass(frozen=True)
class Passed:
    """It ran to its end; outputs were right where they were checked."""


@with_tag("Mismatched")
@dataclass(frozen=True)
class Mismatched:
    """Outputs differ from the reference by more than the tolerance."""

    output: str
    detail: str
    cause: str = ""  # whose fault it is, in one sentence; it begins with one of perf.schema.cause


@with_tag("Raised")
@dataclass(frozen=True)
class Raised:
    """An exception, or an exit that no account explains."""

    stage: Stage
    kind: str
    message: str


@with_tag("Crashed")
@dataclass(frozen=True)
class Crashed:
    """A signal that was not ours ended the process."""

    stage: Stage
    signal: str


@with_tag("OutOfMemory")
@dataclass(frozen=True)
class OutOfMemory:
    """Memory of the host or the device ran out."""

    where: str
    stage: Stage


@with_tag("TimedOut")
@dataclass(frozen=True)
class TimedOut:
    """The deadline passed."""

    stage: Stage
    limit_s: float


@with_tag("FellBack")
@dataclass(frozen=True)
class FellBack:
    """Nodes were assigned, and too few of them to the provider asked for."""

    reason: str


@with_tag("PrecisionNotAttained")
@dataclass(frozen=True)
class PrecisionNotAttained:
    """Asked for a precision, and almost nothing ran in it."""

    asked: str
    share: float


@with_tag("ArtefactFailed")
@dataclass(frozen=True)
class ArtefactFailed:
    """A converted model, a reference or prepared inputs could not be made."""

    what: str


@with_tag("EnvironmentFailed")
@dataclass(frozen=True)
class EnvironmentFailed:
    """The target's environment could not run a worker."""

    reason: str


@with_tag("Skipped")
@dataclass(frozen=True)
class Skipped:
    """It could not be asked here: no device, or inputs that cannot be fed."""

    reason: str


@with_tag("NotRun")
@dataclass(frozen=True)
class NotRun:
    """It was planned and not run: interrupted, banned, or given up."""

    reason: str


Outcome: TypeAlias = (
    Passed | Mismatched | Raised | Crashed | OutOfMemory | TimedOut | FellBack
    | PrecisionNotAttained | ArtefactFailed | EnvironmentFailed | Skipped | NotRun
)  # fmt: skip


class LaunchKind(StrEnum):
    """What a worker process is started for."""

    PREPARE = "prepare"
    ARTEFACT = "artefact"
    REFERENCE = "reference"
    STUDY = "study"
    CHECK = "check"
    MEASURE = "measure"
    DEVICE = "device"  # timed by the device alone: watched runs, whose latency is none
    PROBE = "probe"


@dataclass(frozen=True)
class GpuMemory:
    """GPU memory seen through NVML while one launch ran, in MiB."""

    peak_mib: float
    baseline_mib: (
        float  # of the device before the launch, in its scope; 0 where the tree's own is known
    )
    scope: str  # process: the worker's tree; device: its pids were not visible, the whole device
    by_stage_mib: Mapping[str, float] = field(default_factory=dict)  # above the baseline
    samples: int = 0


@dataclass(frozen=True)
class GpuCounters:
    """Power, clocks and throttling while one launch was in its timed stage."""

    energy_counter_j: float | None
    energy_integrated_j: float | None
    average_w: float | None
    idle_w: float | None
    board_limit_w: float | None
    sm_mhz: float | None
    memory_mhz: float | None
    temperature_c: float | None
    throttled_share: float | None
    throttle_reasons: tuple[str, ...] = ()
    others: int = 0  # other processes seen on the device
    samples: int = 0
    window_s: float = 0.0
    power_source: str = (
        ""  # instant, or board: what nvmlDeviceGetPowerUsage says (on some a mean over 1 s)
    )


@dataclass(frozen=True)
class Launch:
    """One worker process of a cell: its outcome and all it told."""

    name: str  # check, measure_0, …; also its folder's name
    kind: LaunchKind
    outcome: Outcome
    ending: Ending
    began_s: float = 0.0  # CLOCK_MONOTONIC
    boot_id: str = ""  # CLOCK_MONOTONIC times compare only within one boot
    round: int = 0  # launches of different cells with the same round ran as neighbours
    order: int = 0  # position in the run's launch order, so that neighbours in time can be paired
    host: str = ""  # key of the host that it ran on, in the run's hosts/; "": not told
    isolation: str = ""  # host or spawn: how it was really started (a host may refuse to fork)
    cold: bool | None = None  # session creation met an empty cache, alone on the machine
    created: Created | None = None
    first_run: FirstRun | None = None
    timed: Timed | None = None
    host_memory: HostMemory | None = None
    gpu_memory: GpuMemory | None = None
    gpu_counters: GpuCounters | None = None
    cpu_energy_j: float | None = None  # RAPL, all packages, over the timed stage
    compared: tuple[Compared, ...] = ()
    unreferenced: int = 0
    placement: Placement | None = None
    attested: PrecisionEvidence | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    device_timed: DeviceTimed | None = None
    accompanied: bool = False  # another launch ran beside it for a while


@dataclass(frozen=True)
class NativeFrame:
    """One frame of a native stack, as gdb told it."""

    function: str  # ?? where no symbol tells
    library: str  # its path; of code that has debug information its source; "" where gdb told none


@dataclass(frozen=True)
class Record:
    """A planned cell, its one outcome, and its launches; the tables are views of records."""

    cell: Cell
    outcome: Outcome
    launches: tuple[Launch, ...] = ()
    run_id: str = ""
    wall_s: float = 0.0
    log_tail: tuple[str, ...] = ()  # the engine's own last lines, for people
    finished_at: str = ""  # UTC, ISO 8601, seconds
    native_stack: tuple[NativeFrame, ...] = ()  # of its crash, the innermost first (--backtrace)


def check_launch(record: Record) -> Launch | None:
    """The launch whose outputs and placement were examined, if there was one."""
    return next((x for x in record.launches if x.kind is LaunchKind.CHECK), None)


def measure_launches(record: Record) -> tuple[Launch, ...]:
    """The measure launches that have samples, in the order they ran."""
    return tuple(x for x in record.launches if x.kind is LaunchKind.MEASURE and x.timed)


def write_record(record: Record, path: Path) -> None:
    """Make a record durable: written aside, flushed to disk, then renamed into place."""
    atomic_file.write_json(path, stamp(codec.encode(record)), indent=None)


def read_record(path: Path) -> Record:
    """Read record.json; raises ValueError, NewerSchemaError or OSError."""
    return codec.decode(
        Record, without_version(strict_json.parse(read_whole(path, RECORD_LIMIT)), path)
    )
