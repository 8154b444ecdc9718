"""What a worker does with one launch, stage by stage, each begun in the journal before it is tried."""

import codecs
import json
import os
import platform
import re
import resource
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from perf import backends
from perf.backends import (
    Backend,
    DeviceMemoryExhausted,
    ProgramFacts,
    Session,
    Tensors,
    Unsupported,
)
from perf.machine.gpus import device_ordinal
from perf.measure.timing import TimedRuns
from perf.schema import cell as cells
from perf.schema import codec, version
from perf.schema.cell import Cell, TestSet
from perf.schema.jobs import ArtefactJob, PrepareJob, StudyJob
from perf.schema.journal import (
    EVENTS,
    Artefact,
    Began,
    CellUnsupported,
    Compared,
    Created,
    DeviceTimed,
    Event,
    ExceptionRaised,
    Finished,
    FirstRun,
    HostMemory,
    Journal,
    Note,
    OutputsSaved,
    Placed,
    Prepared,
    Stage,
    Unreferenced,
    Versions,
    WorkerStarted,
)
from perf.schema.record import LaunchKind
from perf.schema.untrusted_file import read_regular

DEVICE_NOTE = "device time"  # key of a note on why it is not known
WITHOUT_GRAPH = "without the graph"


class Account:
    """The journal of one launch, and the stage it is in."""

    def __init__(self, journal: Path) -> None:
        self._journal = Journal(journal)
        self.stage = Stage.START
        self.emit = self._journal.emit

    def begin(self, stage: Stage) -> None:
        """A stage begins, before anything of it is tried."""
        self.stage = stage
        self.emit(Began(stage, time.monotonic()))


def warm_fork_server() -> None:
    """What a host does once, so that no child need: import backends, learn what is read and told."""
    backends.discover_backends()
    codecs.lookup("ascii")  # /proc is read in it
    platform.python_version()  # parsed once, then remembered
    codec.learn_fields(Cell, PrepareJob, *EVENTS)


def run_launch(kind: str, job: Path, folder: Path) -> int:
    """Do one launch and tell of it; returns the exit status. Nothing here says that it passed."""
    account = Account(folder / "journal.jsonl")
    account.emit(
        WorkerStarted(os.getpid(), platform.python_version(), time.monotonic(), version.VERSION)
    )
    return _guarded(account, lambda: _launch(LaunchKind(kind), job, folder, account))


def _guarded(account: Account, work: Callable[[], None]) -> int:
    """Turn every way of failing that Python can see into a fact."""
    try:
        work()
    except Unsupported as e:
        account.emit(CellUnsupported(str(e)))
        account.emit(Finished(time.monotonic()))
        return 0
    except MemoryError as e:
        account.emit(ExceptionRaised(account.stage, "MemoryError", str(e), "host"))
    except DeviceMemoryExhausted as e:
        account.emit(ExceptionRaised(account.stage, type(e).__name__, _one_line(e), "device"))
    except OSError as e:
        account.emit(ExceptionRaised(account.stage, type(e).__name__, str(e)))
        raise
    except Exception as e:
        account.emit(ExceptionRaised(account.stage, type(e).__name__, _one_line(e)))
        _traceback()
    else:
        account.emit(Finished(time.monotonic()))
        return 0
    return 1


def _launch(kind: LaunchKind, job: Path, folder: Path, account: Account) -> None:
    match kind:
        case LaunchKind.PREPARE:
            _prepare(codec.decode(PrepareJob, _json(job)), account)
        case LaunchKind.ARTEFACT:
            _convert(codec.decode(ArtefactJob, _json(job)), account)
        case LaunchKind.STUDY:
            _study(codec.decode(StudyJob, _json(job)), folder, account)
        case LaunchKind.REFERENCE:
            _reference(cells.read_cell(job), folder, account)
        case LaunchKind.CHECK:
            _check(cells.read_cell(job), folder, account)
        case LaunchKind.MEASURE:
            cell = replace(cells.read_cell(job), profile=False)
            measure(_load(cell, account), cell, folder, account)
        case LaunchKind.DEVICE:
            _watch_device(replace(cells.read_cell(job), profile=False), account, folder)
        case LaunchKind.PROBE:
            raise AssertionError("perf.worker.probe does these: it needs no numpy")


def _prepare(job: PrepareJob, account: Account) -> None:
    from perf.worker import prepare

    account.begin(Stage.PREPARE)
    described = backends.describe_form(job.form) if job.form else None
    random_ops = () if described else prepare.find_random_ops(job)
    account.emit(Prepared(prepare.prepare_sets(job, described), random_ops))


def _convert(job: ArtefactJob, account: Account) -> None:
    from perf.conversion import artifact, convert, half_precision, infer_shapes

    account.begin(Stage.CONVERT)
    if job.precision == "shapes":
        shaped = infer_shapes.get_or_infer(Path(job.model.path), Path(job.destination))
        account.emit(Artefact(str(shaped), {"precision": "shapes"}))
        return
    blocked = job.model.half
    request = artifact.ConversionRequest(
        precision=cast("artifact.Precision", job.precision),
        op_block_list=tuple(blocked.get("op_block_list", ())),
        node_block_list=tuple(blocked.get("node_block_list", ())),
        calibration=Path(job.calibration) if job.calibration else None,
        custom_ops=bool(job.model.custom_ops),
    )
    kept = convert.get_or_make(Path(job.model.path), Path(job.destination), request)
    told = {k: str(v) for k, v in kept.report.items() if not isinstance(v, dict)}
    arithmetics = kept.report["check"].get("arithmetics", ())
    if arithmetics:
        told["overflows"] = half_precision.describe_overflows(arithmetics)
    account.emit(Artefact(str(kept.path), told | {"kept": "before" if kept.before else "now"}))


def _study(job: StudyJob, folder: Path, account: Account) -> None:
    from perf.worker import reference_study

    account.begin(Stage.RUN)
    account.emit(reference_study.study(job, folder))


def _reference(cell: Cell, folder: Path, account: Account) -> None:
    from perf.measure import tensor_io

    backend = _load(cell, account)
    feeds = _load_feeds(cell)
    account.begin(Stage.CREATE)
    made: list[TestSet] = []
    with backend.open(replace(cell, profile=False), folder) as session:
        account.begin(Stage.RUN)
        for given, feed in zip(cell.sets, feeds, strict=True):
            outputs = tensor_io.save_tensors(session.infer(feed), folder / given.name)
            made.append(replace(given, outputs=outputs))
        account.begin(Stage.CLOSE)
    account.emit(OutputsSaved(tuple(made)))


def _check(cell: Cell, folder: Path, account: Account) -> None:
    """A cold session; outputs of the very inputs that will be timed; placement; never timed."""
    from perf.worker import output_facts

    backend = _load(cell, account)
    feeds = _load_feeds(cell)
    seen = output_facts.SeenOutputs()
    baseline = _status_mib("VmRSS")
    account.begin(Stage.CREATE)
    began = time.monotonic()
    with backend.open(cell, folder) as session:
        _tell_created(account, began, session)
        for i, (given, feed) in enumerate(zip(cell.sets, feeds, strict=True)):
            account.begin(Stage.RUN)
            began = time.monotonic()
            got = session.infer(feed)
            if i == 0:
                _tell_first_run(account, began, session)
            if not cell.checked:
                continue
            account.begin(Stage.VALIDATE)
            _tell_compared(
                account, cell, given, got, repeats=seen.find_repeats(given.name, feed, got)
            )
        if cell.cuda_graph:
            account.begin(Stage.VALIDATE)
            _tell_replays(account, cell, session, feeds[0])
        _tell_memory(account, baseline, session)
        account.begin(Stage.PLACE)
        _tell_where(account, session.placement(), session.precision_evidence())
        account.begin(Stage.CLOSE)


def measure(backend: Backend, cell: Cell, folder: Path, account: Account) -> None:
    """A warm cache, no placement, no profile: warm-up, then timed runs, the first and last compared."""
    feeds = _load_feeds(cell)
    baseline = _status_mib("VmRSS")
    account.begin(Stage.CREATE)
    began = time.monotonic()
    with backend.open(cell, folder) as session:
        _tell_created(account, began, session)
        account.begin(Stage.RUN)
        began = time.monotonic()
        session.infer(feeds[0])
        _tell_first_run(account, began, session)
        account.begin(Stage.TIME)
        runs = session.time(feeds, cell)
        account.emit(runs.timed)
        _tell_memory(account, baseline, session)
        if cell.checked:
            account.begin(Stage.VALIDATE)
            _tell_timed_outputs(account, cell, runs)
        account.begin(Stage.CLOSE)


def _watch_device(cell: Cell, account: Account, folder: Path) -> None:
    """The runs of a measure launch in a trace of the device, which slows them: none is timed.

    Where no trace can be had, between events, if the engine can be told which stream to run on.
    """
    from perf.measure import cupti, device_time

    try:
        with cupti.open_trace() as trace:  # before the engine: it is seen from its beginning
            _watch_runs(cell, account, folder, device_time.time_device, trace)
    except cupti.TracingRefused as refused:
        why, option = str(refused), backends.backend_of_cell(cell).stream_option
        try:
            if option:
                _watch_events(cell, account, folder, option)
                why += "; timed by events around runs"
        except cupti.TracingRefused as e:
            why += f"; {e}"
        account.emit(Note(DEVICE_NOTE, why))


def _watch_events(cell: Cell, account: Account, folder: Path, option: str) -> None:
    """The runs on a stream of ours, between events on it; raises TracingRefused."""
    from perf.measure import cuda_events, device_time

    device = device_ordinal(cell.device, os.environ.get("CUDA_VISIBLE_DEVICES"))
    timer = cuda_events.EventTimer(device)
    there = replace(cell, options={**cell.options, option: str(timer.stream)})
    _watch_runs(there, account, folder, device_time.time_events, timer)


def _watch_runs(
    cell: Cell, account: Account, folder: Path, timed: Callable[..., DeviceTimed], by: object
) -> None:
    """Open a session and have its runs looked at by what watches the device."""
    backend = _load(cell, account)
    feeds = _load_feeds(cell)
    account.begin(Stage.CREATE)
    with backend.open(cell, folder) as session:
        account.begin(Stage.RUN)
        run = cast("backends.Watched", session).runner(feeds, cell)
        account.emit(timed(run, len(feeds), cell.protocol, by))
        account.begin(Stage.CLOSE)


def _tell_replays(account: Account, cell: Cell, session: Session, feed: Tensors) -> None:
    """What replays of a captured graph give, where it is not what the same session gives without it."""
    from perf.worker import validate

    compare = cast("backends.Captured", session).compare_replays
    allowed, count = cell.tolerance.percent_mismatch, 0
    for name, got, without in compare(feed):
        count += 1
        for one in validate.compare_set(name, got, without, cell):
            if one.problem or one.mismatched * 100 > allowed * one.total:
                account.emit(replace(one, reference=WITHOUT_GRAPH))
    account.emit(
        Note("cuda graph", f"replays of {count} inputs were held against runs {WITHOUT_GRAPH}")
    )


def _tell_timed_outputs(account: Account, cell: Cell, runs: TimedRuns) -> None:
    """Outputs of the first and the last timed run: state, reused buffers and bindings show there.

    Where a run gave the same bytes for the same set as the first did, what is told of them is the same.
    """
    if runs.no_outputs:
        account.emit(Note("outputs of timed runs are not checked", runs.no_outputs))
        return
    last = cell.sets[max(0, len(runs.timed.samples_ns) - 1) % len(cell.sets)]
    compared = _compare(cell, cell.sets[0], runs.first)
    _tell(account, (replace(x, timed_run="first") for x in compared))
    if last is not cell.sets[0] or not _same_bytes(runs.first, runs.last):
        compared = _compare(cell, last, runs.last)
    _tell(account, (replace(x, timed_run="last") for x in compared))


def _same_bytes(one: Tensors, other: Tensors) -> bool:
    return one.keys() == other.keys() and all(
        a.dtype == b.dtype != object and a.shape == b.shape and a.tobytes() == b.tobytes()
        for a, b in ((one[name], other[name]) for name in one)
    )


def _tell(account: Account, events: Iterable[Event]) -> None:
    for event in events:
        account.emit(event)


def _tell_compared(
    account: Account,
    cell: Cell,
    given: TestSet,
    got: Tensors,
    repeats: Mapping[str, str] | None = None,
) -> None:
    """Every output of one set that has a reference, held against it; the others by their names."""
    for name in _names_without_reference(given, got):
        if given.unreferenced is None or name in given.unreferenced:
            account.emit(Unreferenced(given.name, name))
    compared = _compare(cell, given, got)
    if repeats is not None:
        from perf.worker import output_facts

        compared = tuple(
            output_facts.add_facts(x, got[x.output], repeats.get(x.output, ""))
            if x.output in got
            else x
            for x in compared
        )
    _tell(account, compared)


def _compare(cell: Cell, given: TestSet, got: Tensors) -> tuple[Compared, ...]:
    from perf.measure import tensor_io
    from perf.worker import validate

    expected = tensor_io.load_expected(given)
    made_by = {t.name: t.made_by or "stored" for t in given.outputs}
    unforeseen = (
        Compared(given.name, name, "not absent or empty as it should be", 1, 1)
        for name in _names_without_reference(given, got)
        if given.unreferenced is not None and name not in given.unreferenced
    )
    compared = (*validate.compare_set(given.name, got, expected, cell), *unforeseen)
    return tuple(replace(x, reference=made_by.get(x.output, "")) for x in compared)


def _names_without_reference(given: TestSet, got: Tensors) -> tuple[str, ...]:
    from perf.measure import tensor_io

    outputs = dict.fromkeys(cells.base_name(name) for name in got)
    return tensor_io.names_without((t.name for t in given.outputs), outputs)


def _load_feeds(cell: Cell) -> list[Tensors]:
    from perf.measure import tensor_io  # numpy: a wrapper's tests import this module without it

    return [tensor_io.load_inputs(s) for s in cell.sets]


def _load(cell: Cell, account: Account) -> Backend:
    account.begin(Stage.LOAD)
    if cell.protocol.affinity:
        os.sched_setaffinity(0, cell.protocol.affinity)
    backend = backends.backend_of_cell(cell)
    tell_versions(account)
    if cell.plugin:
        account.begin(Stage.REGISTER)
        backend.register(cell)
    return backend


def _tell_created(account: Account, began_s: float, session: Session) -> None:
    took_s, facts = time.monotonic() - began_s, _facts(session)
    account.emit(Created(facts.created_s if facts else took_s, session.cached))
    if told := getattr(session, "versions", None):  # of an engine that is no module, or loads late
        account.emit(Versions(told))


def _tell_first_run(account: Account, began_s: float, session: Session) -> None:
    took_s, facts = time.monotonic() - began_s, _facts(session)
    known_s = facts.first_run_s if facts else None
    account.emit(FirstRun(took_s if known_s is None else known_s))


def _facts(session: Session) -> ProgramFacts | None:
    """What a session in a program of its own knows better than this process."""
    facts: ProgramFacts | None = getattr(session, "facts", None)
    return facts


def _tell_where(account: Account, placement: Any, attested: Any) -> None:
    if placement is not None:
        account.emit(Placed(placement))
    if attested is not None:
        event: Event = attested
        account.emit(event)


def tell_versions(account: Account) -> None:
    """Versions of the engines that are really loaded, as they name themselves."""
    names = ("numpy", "onnxruntime", "torch", "tensorrt")
    found = {n: getattr(sys.modules.get(n), "__version__", "") for n in names}
    account.emit(Versions({n: str(v) for n, v in found.items() if v}))


def _tell_memory(account: Account, baseline_mib: float, session: Session) -> None:
    facts = _facts(session)
    known = facts.host_memory if facts else None
    account.emit(known or HostMemory(baseline_mib, _status_mib("VmHWM")))


def _status_mib(key: str) -> float:
    text = read_regular("/proc/self/status", 1 << 16).decode("utf-8", "replace")
    if found := re.search(rf"^{key}:\s+(\d+)", text, re.MULTILINE):
        return int(found[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:2000] or type(error).__name__


def _traceback() -> None:
    import traceback

    traceback.print_exc()


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
