"""What a backend promises by its Session, each promise put to a live one by someone who believes no word of it.

As a program, `contract.py REQUEST_JSON OUT`, it needs numpy and the engine alone, as a worker does. OUT takes two
JSON lines a promise, one before it is tried: what ends or hangs the process is then known by its name.
"""

import contextlib
import ctypes
import gc
import importlib
import itertools
import json
import math
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from perf import backends
from perf.backends import Session, Tensors, Unsupported
from perf.machine import process_tree
from perf.measure import placement, timing
from perf.measure.timing import TimedRuns
from perf.schema import cell as cells
from perf.schema.cell import Cell, Io, Protocol, Target
from perf.schema.journal import Placement, PrecisionEvidence
from perf.worker.fork_server import unfit_to_fork
from tests.backends.trial import (
    PromiseBroken,
    Subject,
    alike,
    copied,
    expected_of,
    explained,
    inputs_of,
    require,
    require_figures_that_can_be,
    require_outputs,
)

PR_SET_CHILD_SUBREAPER = 36
ORDER = (
    0,
    1,
    2,
    0,
    2,
    1,
    1,
) * 6  # of the sets: each follows each, more often than a warm-up takes


def outputs_are_those_of_the_inputs_fed(s: Subject) -> None:
    """In any order of inputs: constants, inputs ignored and outputs of before are told apart."""
    cell = s.fresh(s.small)
    feeds, expected = inputs_of(cell), expected_of(cell)
    with s.open(cell) as session:
        order = ORDER[: 3 if s.is_program else None]
        got = [(k, copied(session.infer(feeds[k]))) for k in order]
    if all(alike(g, expected[k]) for k, g in got):
        return
    unlike = [(g, h) for (k, g), (m, h) in itertools.combinations(got, 2) if {k, m} == {0, 1}]
    if all(alike(g, h, rtol=1e-9) for g, h in unlike):
        filled = all(np.unique(a).size == 1 for g, h in unlike for a in g.values())
        wrong = "returns constants" if filled else "ignores its inputs"
        raise PromiseBroken(f"infer() {wrong}: it gives the same outputs for unlike inputs")
    for (before, _), (k, g) in itertools.pairwise(got):
        if k != before and alike(g, expected[before]):
            raise PromiseBroken("infer() gives stale outputs: those of the inputs fed before")
    for k, g in got:
        require_outputs(g, expected[k], f"infer() of set {k}")


def inputs_that_are_stored_nowhere_are_computed_too(s: Subject) -> None:
    """The outputs of small are linear in x; what is infinite or no number stays so, where it is."""
    cell = s.fresh(s.small)
    (a, b, _), (of_a, of_b, _) = inputs_of(cell), expected_of(cell)
    ids = np.array([7, -9])
    feed = {n: np.asarray((a[n] + b[n]) / 2, a[n].dtype) for n in a} | {"ids": ids}
    mean = {n: np.asarray((of_a[n] + of_b[n]) / 2, of_a[n].dtype) for n in of_a} | {"kept": ids}
    odd = feed | {"x": feed["x"].copy()}
    odd["x"][0, :3] = np.nan, np.inf, -np.inf
    with s.open(cell) as session:
        require_outputs(session.infer(feed), mean, "infer() of inputs that are stored nowhere")
        double = np.asarray(session.infer(odd)["double"])
    same = np.array_equal(double[0, :3], odd["x"][0, :3], equal_nan=True)
    require(same, f"infer() makes of NaN, inf and -inf, doubled, {double[0, :3]}")


def equal_inputs_give_equal_outputs(s: Subject) -> None:
    cell = s.fresh(s.small)
    feed = inputs_of(cell)[0]
    with s.open(cell) as session:
        first, again = copied(session.infer(feed)), copied(session.infer(feed))
    require(
        list(first) == list(again) and all(np.array_equal(first[n], again[n]) for n in first),
        "infer() gives other outputs for equal inputs",
    )


def inputs_are_left_alone(s: Subject) -> None:
    cell = s.fresh(s.small, protocol=Protocol(runs=3, warmup=1))
    feeds, before = inputs_of(cell), inputs_of(cell)
    with s.open(cell) as session:
        for feed in feeds[: 1 if s.is_program else None]:
            session.infer(feed)
        require(all(map(alike, feeds, before)), "infer() changes the inputs that it is fed")
        timed_runs(s, session, feeds, cell)
    require(all(map(alike, feeds, before)), "time() changes the inputs that it is fed")


def outputs_stay_as_they_were_given(s: Subject) -> None:
    cell = s.fresh(s.small, protocol=Protocol(runs=3, warmup=1))
    feeds = inputs_of(cell)
    with s.open(cell) as session:
        held = [session.infer(feeds[0])]
        seen = [copied(held[0])]
        session.infer(feeds[1])
        require(
            alike(held[0], seen[0]), "outputs change when it infers again: they lie in one buffer"
        )
        runs = timed_runs(s, session, feeds, cell)
        held += [runs.first, runs.last]
        seen += [copied(runs.first), copied(runs.last)]
        session.infer(feeds[1])
        require(
            all(map(alike, held, seen)),
            "outputs change when it runs again: they lie in one buffer",
        )
    del session
    gc.collect()
    require(
        all(map(alike, held, seen)), "outputs change when it is closed: they lie in its memory"
    )


def timed_runs(s: Subject, session: Session, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
    """Call time() and hold against the call what needs no reference: counts, clocks, what it says of both."""
    feeds = feeds[: 1 if s.is_program else None]
    began_s, began_ns = time.monotonic(), time.perf_counter_ns()
    programs_s = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    with explained("time()"):
        runs = session.time(feeds, cell)
    took_ns = time.perf_counter_ns() - began_ns
    require(isinstance(runs, TimedRuns), f"time() returns a {type(runs).__name__}, not TimedRuns")
    timed, n, sets, samples = runs.timed, cell.protocol.runs, len(feeds), runs.timed.samples_ns
    most, fewest = (timing.MOST, timing.FEWEST) if n is None else (n, n)
    require(fewest <= len(samples) <= most, f"time() gives {len(samples)} samples of {n} runs")
    require(all(type(x) is int and x > 0 for x in samples), "a sample is no positive number of ns")
    require(
        len(samples) < 7 or len(set(samples)) > 1, "samples are all the same: they are made up"
    )
    require(
        sum(samples) <= took_ns * 1.01,
        f"samples are made up: {sum(samples)} ns in all, and time() took {took_ns} ns with its warm-up",
    )
    gpu_only = timed.gpu_only and s.backend.needs_gpu
    require(timed.io == cell.io.value, f"its samples are of io={timed.io}, not {cell.io.value}")
    require(gpu_only == timed.gpu_only, "it says gpu_only, and needs no GPU")
    require(timed.sets == sets, f"it says that it timed {timed.sets} sets of {sets}")
    warmed = 0 if s.is_program or not cell.protocol.warmup else max(cell.protocol.warmup, sets)
    require(timed.warmup >= warmed, f"it says {timed.warmup} runs of warm-up, and owes {warmed}")
    require(timed.synchronised is True, "its samples are not synchronised")
    window = (timed.begun_s, timed.ended_s)
    inside = began_s <= window[0] <= window[1] <= time.monotonic()
    require(inside or window == (0, 0), f"it says that it timed in {window}, outside of the call")
    require_figures_that_can_be(timed, took_ns, sets)
    if runs.no_outputs or not runs.first or not runs.last:
        ran = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime > programs_s
        require(
            ran and s.is_program and runs.no_outputs,
            "no outputs of timed runs, and no program ran",
        )
    return runs


def samples_are_as_many_as_runs_asked_for(s: Subject) -> None:
    cell = s.fresh(s.small)
    feeds, expected = inputs_of(cell), expected_of(cell)
    with s.open(cell) as session:
        require_outputs(session.infer(feeds[0]), expected[0], "infer()")
        for n in (7,) if s.is_program else (1, 7, None):
            protocol = Protocol(runs=n, warmup=2, min_time_s=0.002, max_time_s=5.0)
            timed_runs(s, session, feeds, replace(cell, protocol=protocol))


def timed_runs_go_round_the_sets(s: Subject) -> None:
    """The first run's outputs are set 0's; the last one's those of the set that its number comes to."""
    cell = s.fresh(s.small)
    expected = expected_of(cell)
    with s.open(cell) as session:
        for n in () if s.is_program else (1, 2, 3, 5):
            protocol = Protocol(runs=n, warmup=1)
            runs = timed_runs(s, session, inputs_of(cell), replace(cell, protocol=protocol))
            require_outputs(runs.first, expected[0], "the first timed run")
            last = (n - 1) % len(expected)
            of = next((k for k, e in enumerate(expected) if alike(runs.last, e)), last)
            wrong = f"timed run {n} is of set {of}, not {last}: they do not go round the sets"
            require(of == last, wrong)
            require_outputs(runs.last, expected[last], "the last timed run")


def timed_runs_are_as_many_as_samples(s: Subject) -> None:
    """Where the engine draws the same numbers in each session, they number its runs."""
    cell = s.fresh(s.drawing, protocol=Protocol(runs=9, warmup=2))
    (feed,) = inputs_of(cell)

    def draw(outputs: Tensors) -> float:
        return float(outputs["drawn"].flat[0])

    drawn: list[list[float]] = []
    for _ in () if s.is_program else range(2):
        with s.open(cell) as session:
            drawn.append([draw(session.infer(feed)) for _ in range(12)])
    if not drawn or drawn[0] != drawn[1] or len(set(drawn[0])) < 12:
        return  # others in each session, or the same in each run: they number nothing
    with s.open(cell) as session:
        runs = timed_runs(s, session, [feed], cell)
    numbers = {number: k for k, number in enumerate(drawn[0], 1)}
    first, last = (numbers.get(draw(outputs), 0) for outputs in (runs.first, runs.last))
    warmed = runs.timed.warmup
    require(first > warmed, f"after {warmed} runs of warm-up the first sample is of run {first}")
    require(last - first == 8, f"of 9 samples the first is of run {first}, the last of run {last}")


def samples_last_as_long_as_runs(s: Subject) -> None:
    """No sample is far shorter than a run of new inputs, and time() does little beside what it samples.

    Some tries, and one thread, for a machine that is busy.
    """
    cell = s.fresh(s.slow, protocol=Protocol(runs=24, warmup=1, intra_op_threads=1))
    (feed,), wrong, fastest = inputs_of(cell), "", sys.maxsize
    with s.open(cell) as session:
        for attempt in range(0 if s.is_program else 6):
            for k in range(1, 7):  # inputs that it never saw
                taken = taken_ns(session.infer, {"x": feed["x"] + attempt + k / 8})
                fastest = min(fastest, taken)
            began = time.perf_counter_ns()
            timed = timed_runs(s, session, [feed], cell).timed
            samples, took = timed.samples_ns, time.perf_counter_ns() - began
            if timed.gpu_only:
                return  # by the device's clock, of a part of a run
            if min(samples) >= fastest / 8 and sum(samples) >= took / 2:
                return
            wrong = f"{min(samples)}…{max(samples)} ns, and a run takes {fastest}; {sum(samples)} of {took}"
    require(not wrong, f"samples are not of whole runs: {wrong}")


def taken_ns(call: Callable[[Tensors], object], feed: Tensors) -> int:
    began = time.perf_counter_ns()
    call(feed)
    return time.perf_counter_ns() - began


def a_run_has_ended_when_its_sample_has(s: Subject) -> None:
    """Synchronised: the outputs that time() hands over are whole, at once and for good."""
    cell = s.fresh(s.slow)
    (feed,), (expected,) = inputs_of(cell), expected_of(cell)
    with s.open(cell) as session:
        for n in () if s.is_program else (1, 2, 5):
            protocol = Protocol(runs=n, warmup=0)
            runs = timed_runs(s, session, [feed], replace(cell, protocol=protocol))
            at_once = [copied(runs.first), copied(runs.last)]
            time.sleep(0.01)
            still = all(map(alike, at_once, (runs.first, runs.last)))
            whole = all(alike(outputs, expected, rtol=1e-2) for outputs in at_once)
            wrong = "time() says that it synchronised, and did not: outputs of a timed run are not there yet"
            require(whole and still, wrong)


def placement_is_what_onnxruntime_assigned(s: Subject) -> None:
    cell = s.fresh(s.small)
    with s.open(cell) as session:
        session.infer(inputs_of(cell)[0])
        with explained("placement()"):
            placed = session.placement()
    if not isinstance(placed, Placement):
        require(
            placed is None and not cell.provider,
            f"it names a provider, and its placement is {placed}",
        )
        return
    require(cell.provider, "it names no provider of ONNX Runtime, and tells a placement")
    counts = [*placed.nodes.values(), *placed.partitions.values()]
    counts += [n for ops in placed.op_types.values() for n in ops.values()]
    require(all(type(n) is int and n >= 0 for n in counts), f"counts that cannot be: {counts}")
    require(sum(placed.nodes.values()) > 0, "it placed no node of the model")
    takes = not s.backend.default or placed.nodes.get(
        cell.provider
    )  # a known fallback is no default
    require(takes, f"its own provider has none of the nodes: {dict(placed.nodes)}")
    times_us = placed.host_time_us.values()
    require(
        all(math.isfinite(t) and t >= 0 for t in times_us), "times on a provider that cannot be"
    )
    require(set(placed.host_time_us) <= set(placed.nodes), "time on a provider that has no node")
    if (assigned := assigned_nodes(cell)) is not None:
        wrong = f"nodes {dict(placed.nodes)}, and ONNX Runtime assigned {dict(assigned)}"
        require(placed.nodes == assigned, f"it claims what did not run there: {wrong}")
    by_type = {ep: sum(ops.values()) for ep, ops in placed.op_types.items()}
    wrong = f"nodes {dict(placed.nodes)}, and by their types {by_type}"
    require(by_type == placed.nodes, f"it counts nodes in two ways: {wrong}")


def assigned_nodes(cell: Cell) -> Mapping[str, int] | None:
    """ONNX Runtime's own word in a session of ours; None for a plug-in, whose library it takes to ask."""
    import onnxruntime as ort

    if "library" in cell.plugin:
        return None
    if cell.provider not in ort.get_available_providers():
        return {}
    options = ort.SessionOptions()
    options.add_session_config_entry(placement.RECORD, "1")
    chain = {cell.provider: dict(cell.options), "CPUExecutionProvider": {}}
    session = ort.InferenceSession(cell.model.path, options, list(chain.items()))
    placed = placement.placement_from_session(session)
    return None if placed is None else placed.nodes


def precision_evidence_is_a_share(s: Subject) -> None:
    cell = s.fresh(s.small)
    with s.open(cell) as session:
        session.infer(inputs_of(cell)[0])
        session.placement()
        with explained("precision_evidence()"):
            evidence = session.precision_evidence()
    if evidence is not None:
        require(
            isinstance(evidence, PrecisionEvidence), f"evidence is a {type(evidence).__name__}"
        )
        require(evidence.precision == cell.target.precision, f"evidence of {evidence.precision}")
        shares = (evidence.layer_share, evidence.time_share or 0.0)
        require(all(0 <= x <= 1 for x in shares), f"shares that cannot be: {shares}")


def cached_tells_whether_an_engine_was_kept(s: Subject) -> None:
    cell = s.fresh(s.small)
    cached = []
    for _ in range(2):
        with s.open(cell) as session:
            cached.append(session.cached)
    wanted = [False, True] if s.backend.builds else [None, None]
    require(
        cached == wanted,
        f"cached is {cached} for an empty cache and then a full one, not {wanted}",
    )


def a_measure_launch_profiles_nothing(s: Subject) -> None:
    cell = s.fresh(s.small, profile=False)
    with s.open(cell) as session:
        launch = Path.cwd()
        session.infer(inputs_of(cell)[0])
        require(session.placement() is None, "a placement where none is to be profiled")
        require(session.precision_evidence() is None, "evidence where nothing is to be profiled")
    left = sorted(p.name for p in launch.iterdir())
    require(s.backend.builds or not left, f"files of a launch that is measured: {left}")


def each_target_opens_or_is_declined(s: Subject) -> None:
    for spec in s.backend.targets:
        target = Target(spec.name, spec.precision, "contract", spec.label)
        with contextlib.suppress(Unsupported), s.open(s.fresh(s.small, target=target)):
            pass


def it_can_be_opened_again(s: Subject) -> None:
    cell = s.fresh(s.small)
    for number in range(2):
        with explained(f"session {number + 1} of a process"), s.open(cell) as session:
            outputs = session.infer(inputs_of(cell)[number])
        require_outputs(outputs, expected_of(cell)[number], f"infer() in session {number + 1}")


def an_error_inside_is_passed_on(s: Subject) -> None:
    class Inside(Exception):
        pass

    with contextlib.suppress(Inside):
        with s.open(s.fresh(s.small)):
            raise Inside
        raise PromiseBroken("an error raised while it is open is swallowed")


def nothing_is_left_when_it_is_closed(s: Subject) -> None:
    """No thread of Python, process or file; native threads and descriptors do not grow with each session."""
    cell = s.fresh(s.small, protocol=Protocol(runs=2, warmup=1))
    outside = [Path(cell.model.folder), *(Path(os.environ[k]) for k in ("TMPDIR", "HOME"))]
    files = {p for folder in outside for p in folder.rglob("*")}
    threads, counts, here = threading.enumerate(), [], Path.cwd()
    for _ in range(1 if s.is_program else 3):
        with s.open(cell) as session:
            session.infer(inputs_of(cell)[0])
            timed_runs(s, session, inputs_of(cell), cell)
            session.placement()
        del session
        gc.collect()
        counts.append([len(list(Path(f"/proc/self/{kind}").iterdir())) for kind in ("task", "fd")])
    running = [t.name for t in threading.enumerate() if t not in threads]
    require(not running, f"it leaves threads running: {running}")
    require(not children(), f"it leaves processes running: {children()}")
    for kind, seen in zip(("threads", "files"), zip(*counts, strict=True), strict=True):
        grows = len(seen) > 1 and all(a < b for a, b in itertools.pairwise(seen))
        require(not grows, f"it leaves more {kind} open with every session: {seen}")
    made = {str(p) for folder in outside for p in folder.rglob("*") if p not in files}
    require(not made, f"it leaves files outside its launch's folder: {sorted(made)}")
    require(gc.isenabled(), "it leaves the garbage collector off")
    require(Path.cwd() == here, "it leaves the process in another folder")


def children() -> list[str]:
    """What runs below this process, which is handed those whose parents end; a second for them to end."""
    for _ in range(20):
        if not (pids := process_tree.children(os.getpid())):
            break
        time.sleep(0.05)
    return [Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids]


def what_it_preloads_can_be_imported(s: Subject) -> None:
    for name in s.backend.preload:
        with explained(f"preload names {name}, and importing it"):
            importlib.import_module(name)
    require(not children(), f"preload starts processes: {children()}")


IN_BOTH_IO: tuple[Callable[[Subject], None], ...] = (
    outputs_are_those_of_the_inputs_fed, equal_inputs_give_equal_outputs, inputs_are_left_alone,
    outputs_stay_as_they_were_given, samples_are_as_many_as_runs_asked_for, timed_runs_go_round_the_sets, timed_runs_are_as_many_as_samples,
    samples_last_as_long_as_runs, a_run_has_ended_when_its_sample_has,
)  # fmt: skip
PROMISES = (
    what_it_preloads_can_be_imported, each_target_opens_or_is_declined, *IN_BOTH_IO,
    inputs_that_are_stored_nowhere_are_computed_too,
    placement_is_what_onnxruntime_assigned, precision_evidence_is_a_share,
    cached_tells_whether_an_engine_was_kept, a_measure_launch_profiles_nothing,
    it_can_be_opened_again, an_error_inside_is_passed_on, nothing_is_left_when_it_is_closed,
)  # fmt: skip


def what_broke(promise: Callable[[Subject], None], subject: Subject) -> str:
    """Put one promise to a backend; "" where it was kept, or declined as it may be."""
    for io in Io if promise in IN_BOTH_IO else (Io.HOST,):
        try:
            with explained("it"):
                promise(replace(subject, io=io))
        except PromiseBroken as e:
            return f"with io={io.value} {e}" if io is Io.DEVICE else str(e)
        except Unsupported as e:
            if io is Io.HOST and not subject.backend.needs_gpu:
                return f"it declines a plain cell: {e}"
    return ""


def main(argv: Sequence[str]) -> NoReturn:
    """Put every promise to the backend of the request's cells."""
    request = json.loads(argv[0])
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    if request["fake_tensorrt"]:
        from tests.fakes.tensorrt_fake import FakeCudart, FakeTensorRT

        fake: Any = FakeTensorRT(FakeCudart(real_clock=True))
        sys.modules |= {"tensorrt": fake, "cuda.bindings.runtime": fake.cuda}
    small, slow, drawing = (cells.read_cell(Path(p)) for p in request["cells"])
    backend = backends.backend_of_cell(small)
    folder = Path(request["folder"])
    with Path(argv[1]).open("a", encoding="utf-8", buffering=1) as out:
        for promise in PROMISES:
            print(json.dumps([promise.__name__, None]), file=out)
            where = folder / promise.__name__
            subject = Subject(backend, small, slow, drawing, where, itertools.count())
            broken = what_broke(promise, subject)
            if promise is what_it_preloads_can_be_imported and not broken:
                broken = unfit_to_fork()
            print(json.dumps([promise.__name__, broken]), file=out)
    os._exit(0)  # as a worker: what an engine does when Python ends is not asked about


if __name__ == "__main__":
    main(sys.argv[1:])
