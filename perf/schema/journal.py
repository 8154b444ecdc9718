"""The facts a worker tells, one JSON event a line, written unbuffered and readable however torn."""

import json
import os
import typing
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias

from perf.schema import codec, strict_json, version
from perf.schema.cell import TestSet
from perf.schema.codec import with_tag
from perf.schema.untrusted_file import read_regular


class Stage(StrEnum):
    """What a worker was doing; the last one begun is where it died."""

    START = "start"  # before the worker's own code ran
    REGISTER = "register"  # a plug-in's library loaded and registered
    PREPARE = "prepare"  # test data to arrays
    CONVERT = "convert"  # half-precision artefacts
    LOAD = "load"  # import the engine, read inputs
    CREATE = "create"  # make the session, build an engine
    RUN = "run"  # the first inference, and those whose outputs are checked
    VALIDATE = "validate"
    PLACE = "place"  # ask where nodes were put; the profiled run
    WARM_UP = "warm_up"
    TIME = "time"
    CLOSE = "close"


@dataclass(frozen=True)
class Placement:
    """Where the engine put the graph's nodes, counted after basic optimisation, subgraphs included."""

    source: str  # graph_assignment, or profile
    nodes: Mapping[str, int]  # provider -> nodes
    op_types: Mapping[str, Mapping[str, int]]  # provider -> operator type -> nodes
    partitions: Mapping[str, int]  # provider -> subgraphs it was given
    host_time_us: Mapping[str, float] = field(default_factory=dict)
    # provider -> host-side kernel time of one profiled run (launch time for asynchronous devices)
    partition_nodes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    # provider -> nodes of each of its subgraphs; left out where every one is a single node
    partition_us: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    # provider -> subgraph that it compiled -> host time of the profiled run


@with_tag("Began")
@dataclass(frozen=True)
class Began:
    """A stage began at a CLOCK_MONOTONIC time, which is common to both sides of the boundary."""

    stage: Stage
    at_s: float


@with_tag("Hello")
@dataclass(frozen=True)
class WorkerStarted:
    """The worker exists and its account begins."""

    pid: int
    python: str
    at_s: float
    schema: int = 1  # of the events that follow


@with_tag("Versions")
@dataclass(frozen=True)
class Versions:
    """Versions of what the worker loaded, as loaded."""

    versions: Mapping[str, str]


@with_tag("Declined")
@dataclass(frozen=True)
class CellUnsupported:
    """The backend or the model's inputs cannot serve this cell, for a reason."""

    reason: str


@with_tag("RaisedError")
@dataclass(frozen=True)
class ExceptionRaised:
    """An exception ended a stage; `out_of_memory` is host or device where the backend knows it as such."""

    stage: Stage
    kind: str
    message: str
    out_of_memory: str = ""


@with_tag("Created")
@dataclass(frozen=True)
class Created:
    """A session was made."""

    seconds: float
    cached: bool | None = None  # an engine came from a cache; None: there is none


@with_tag("FirstRun")
@dataclass(frozen=True)
class FirstRun:
    """The first inference of a session."""

    seconds: float


@with_tag("Probed")
@dataclass(frozen=True)
class Probed:
    """What an environment holds; told before a plug-in is registered, and again after."""

    versions: Mapping[str, str]  # distributions and engines
    providers: tuple[str, ...] = ()  # of the engine as it was built
    errors: Mapping[str, str] = field(default_factory=dict)  # module -> why it cannot be imported
    plugin_devices: tuple[str, ...] = ()  # the EP of each device that the plug-in offers
    libraries: Mapping[str, str] = field(default_factory=dict)  # of engines: sha256 by file name


@with_tag("Prepared")
@dataclass(frozen=True)
class Prepared:
    """Test sets as arrays on disk, and the digest of the inputs fed."""

    sets: tuple[TestSet, ...]
    random_ops: tuple[str, ...] = ()  # ops that draw at random, or are nobody knows whose


@with_tag("Compared")
@dataclass(frozen=True)
class Compared:
    """One output of one set held against its reference; counts, not a verdict."""

    set: str
    output: str
    problem: str  # shape, dtype, NaN or Inf positions: why it cannot be right; "" where comparable
    mismatched: int
    total: int
    max_abs: float | None = None
    max_rel: float | None = None
    relative_norm: float | None = None
    cosine: float | None = None
    worst_index: tuple[int, ...] = ()
    reference: str = ""  # what it was held against: stored, or the engine that made it
    timed_run: str = ""  # first or last: the timed run whose output it is; "": the checked run's
    reproducible: bool = True  # False: draws were compared, not elements
    reference_noise: float | None = None  # shares of the output's scale, as the next two
    from_fp64: float | None = None
    reference_from_fp64: float | None = None
    beyond_noise: int | None = None  # elements that neither tolerance nor noise explains
    within_noise: int = 0  # elements that pass by the noise of the reference alone
    fits: str = ""  # the other output of the set whose reference a mismatched one equals
    subnormal: int = 0  # mismatched elements too small for a normal number on both sides
    onnx_type: int = 0  # of the output as it was given; 0: not told
    uniform: str = ""  # what every element is, where two or more are all one: nan, 0.5
    repeats: str = ""  # the earlier set that was fed something else and gave this very output

    @property
    def has_content(self) -> bool:
        """Whether anything was compared: an output of no elements is right and proves nothing."""
        return bool(self.total or self.problem)


@with_tag("ReferenceStudied")
@dataclass(frozen=True)
class ReferenceStudied:
    """The reference run again: what each output of each set is worth, and how stored ones compare."""

    sets: tuple[TestSet, ...]  # with quality, and fp64 where it could be had
    made: tuple[TestSet, ...]  # with the outputs of this process's first run
    stored: tuple[Compared, ...] = ()  # this process's outputs held against the sets' own
    fp64: str = ""  # what computed it, or why nothing did; "" where it was not asked for
    by_position: tuple[str, ...] = ()  # outputs whose stored files do not carry their names


@with_tag("Unreferenced")
@dataclass(frozen=True)
class Unreferenced:
    """An output (in earlier versions: all of a set) was given, and there was nothing to hold it against."""

    set: str
    output: str = ""


@with_tag("Placed")
@dataclass(frozen=True)
class Placed:
    """The engine's account of where nodes ran."""

    placement: Placement


@with_tag("Attested")
@dataclass(frozen=True)
class PrecisionEvidence:
    """The share of layers (and of time, where told) that really ran in the precision asked for."""

    precision: str
    layer_share: float
    time_share: float | None
    source: str
    regime: str = ""  # weakly typed builder flag, or strongly typed artefact


@with_tag("Timed")
@dataclass(frozen=True)
class Timed:
    """All samples of one measure launch, in nanoseconds, in order."""

    samples_ns: tuple[int, ...]
    io: str
    sets: int
    warmup: int
    floor_ns: int  # median of an empty clock pair
    run_delay_ns: int | None  # time runnable but not running, over the timed loop (schedstat)
    throttled_us: int | None  # container quota, over the timed loop
    synchronised: bool
    begun_s: float = 0.0
    ended_s: float = 0.0
    gpu_only: bool = False  # device compute without transfers
    parts_ns: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    # h2d, compute, d2h: of each sample, where the engine times them apart
    runs_by_set: tuple[int, ...] = ()
    # samples of each set, where one was timed after another; empty: the sets took turns
    cpu_ns: int | None = None  # CPU time of the process, all its threads, over the timed loop
    cpus: float | None = (
        None  # that it may use at once: cores, or the container's quota where that is less
    )


RECORDS = "cupti"  # who told of a device: its own records of its activities
EVENTS_AROUND = (
    "events"  # or events around a run: its times are spans, with the device's waits in them
)


@with_tag("DeviceTimed")
@dataclass(frozen=True)
class DeviceTimed:
    """The device's own time of each run of a launch that was watched for it, in nanoseconds, in order."""

    kernels_ns: tuple[int, ...]  # in which a kernel was at work
    busy_ns: tuple[int, ...]  # in which anything was: kernels, copies, fills
    kernels: int  # of a run, their median; 0: not told
    source: str
    sets: int = 1  # the runs took turns with


@with_tag("HostMemory")
@dataclass(frozen=True)
class HostMemory:
    """RSS when loading began and VmHWM at the end, of the worker alone, in MiB."""

    baseline_mib: float
    peak_mib: float


@with_tag("Wrote")
@dataclass(frozen=True)
class OutputsSaved:
    """Outputs saved for others to be held against, or another artefact of the launch."""

    outputs: tuple[TestSet, ...]


@with_tag("Artefact")
@dataclass(frozen=True)
class Artefact:
    """A converted model was made."""

    path: str
    report: Mapping[str, str]


@with_tag("Noted")
@dataclass(frozen=True)
class Note:
    """Something worth a line beside the cell, that changes no verdict."""

    key: str
    text: str


@with_tag("Finished")
@dataclass(frozen=True)
class Finished:
    """The account is complete; whether the worker survived its last word is for the wrapper to say."""

    at_s: float


Event: TypeAlias = (
    Began | WorkerStarted | Versions | CellUnsupported | ExceptionRaised | Created | FirstRun
    | Probed | Prepared | Compared | ReferenceStudied | Unreferenced | Placed | PrecisionEvidence | Timed
    | DeviceTimed | HostMemory | OutputsSaved | Artefact | Note | Finished
)  # fmt: skip
EVENTS: tuple[type, ...] = typing.get_args(Event)


class Journal:
    """Appends events to a file, each by one unbuffered write of one line."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def emit(self, event: Event) -> None:
        """Append one event; raises OSError where the disk refuses it."""
        line = json.dumps(codec.encode(event, tag=True), separators=(",", ":"), allow_nan=False)
        data = line.encode() + b"\n"
        while data:  # a short write (a signal, a full disk) is continued or raises
            data = data[os.write(self._fd, data) :]

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


MOST_EVENTS = 20_000
MOST_RUNS = 200_000  # timed runs of one launch
MOST_TEXT = 16 << 10  # characters of one text
MOST_PARTS = 100_000  # of each kind in one line: lists, objects, strings
STORED_LIMIT = 64 << 20


def parse_journal(text: bytes) -> tuple[Event, ...]:
    """Read events up to the first line that is torn or foreign; what follows it is not believed.

    A number that is not finite, or beyond int64, is foreign too. At most MOST_EVENTS are read.
    """
    events: list[Event] = []
    for line in text.split(b"\n")[:-1]:  # what follows the last newline is torn by definition
        if len(events) >= MOST_EVENTS:
            break
        try:
            if _has_too_much(line):
                break
            told = strict_json.parse(line, finite=True)
            if len(line) > MOST_TEXT:
                told = _cut_texts(told)
            event: Event = codec.decode_union(EVENTS, told)
        except ValueError:  # DecodeError, JSON and UTF-8 errors are ValueErrors
            break
        events.append(event)
    return tuple(events)


def _cut_texts(value: Any) -> Any:
    """What a line held, with no text longer than MOST_TEXT."""
    match value:
        case str() if len(value) > MOST_TEXT:
            return f"{value[:MOST_TEXT]}… ({len(value)} characters)"
        case dict():
            return {k[:MOST_TEXT]: _cut_texts(v) for k, v in value.items()}
        case list() if not all(isinstance(v, int) for v in value):
            return [_cut_texts(v) for v in value]
        case _:
            return value


def _has_too_much(line: bytes) -> bool:
    """Whether reading a line would take far more memory than the line; no account has as much."""
    counts = (line.count(sign) for sign in (b"[", b"{", b'"', b":"))
    return len(line) > MOST_PARTS and (
        max(counts) > MOST_PARTS or line.count(b",") > 4 * MOST_RUNS
    )


def until(events: Sequence[Event], end_s: float | None) -> tuple[Event, ...]:
    """The events before a time: what a worker tells after it was told to die is not its story."""
    if end_s is None:
        return tuple(events)
    late = (i for i, e in enumerate(events) if isinstance(e, Began | Finished) and e.at_s > end_s)
    return tuple(events[: next(late, len(events))])


def read_journal(path: Path) -> tuple[Event, ...]:
    """Read a stored journal; a missing one is an empty account. Raises NewerSchemaError."""
    text = _bytes(path)
    with suppress(ValueError):  # a torn first line is parse_journal's to judge
        version.without_version(strict_json.parse(text.partition(b"\n")[0]), path)
    return parse_journal(text)


def _bytes(path: Path) -> bytes:
    try:
        return read_regular(path, STORED_LIMIT)
    except FileNotFoundError:
        return b""
