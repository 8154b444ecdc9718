"""The contract fails every backend that lies, each for its own lie, and passes the honest twins."""

import gc
import itertools
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perf.backends import Backend, Session, Tensors, Unsupported, cpu
from perf.backends._ort.session import OrtSession, SessionSpec
from perf.measure import tensor_io
from perf.measure.timing import TimedRuns, time_runs
from perf.schema.cell import Cell, Io
from perf.schema.journal import PrecisionEvidence, Timed
from tests.backends import contract as c
from tests.backends.trial import Subject
from tests.backends.trial_cells import cells_for
from tests.test_docs import CONTRIBUTING, block

ROOT = Path(__file__).parents[2]
FAILED = re.compile(
    r"^(?:SUB)?FAILED.*?::(\w+)(?:\[([\w ]+)\])? - (?:Failed: )?(.*)$", re.MULTILINE
)
PROVIDER = cpu.BACKEND.provider
INFER, TIME, PLACEMENT = OrtSession.infer, OrtSession.time, OrtSession.placement


def tree_with(folder: Path, files: dict[str, str]) -> Path:
    """This tree by links, with more files in perf/backends."""
    (folder / "perf" / "backends").mkdir(parents=True)
    for name in ("pyproject.toml", "tests", ".envs"):
        (folder / name).symlink_to(ROOT / name)
    for below in ("perf", "perf/backends"):
        for entry in (ROOT / below).iterdir():
            if entry.name not in ("backends", "__pycache__"):
                (folder / below / entry.name).symlink_to(entry)
    for name, text in files.items():
        (folder / "perf" / "backends" / name).write_text(text, encoding="utf-8")
    return folder


STATIC = """
from dataclasses import replace
from perf.backends import TargetSpec, cpu
from perf.schema.cell import Precision
BACKEND = replace(cpu.BACKEND, targets=(TargetSpec("{}", Precision.FP32, {}),), reference=False, {})
"""


def test_each_liar_fails_by_its_lie_and_its_honest_twin_and_the_documented_example_pass(
    tmp_path: Path,
) -> None:
    files = {p.name: p.read_text("utf-8") for p in Path(__file__).parent.glob("liars/*.py")}
    files |= {
        "evaluator.py": block(CONTRIBUTING, "python"),
        "clashes.py": STATIC.format("Clashes", ("OV",), ""),
        "silent.py": STATIC.format(
            "Silent", (), "missing=lambda found: found.versions['nothing']"
        ),
        "boasts.py": STATIC.format("Boasts", (), "missing=lambda found: ''"),
        "flagged.py": STATIC.format("Flagged", (), "options_flag='no_such_flag'"),
    }
    root = tree_with(tmp_path / "tree", files)
    others = (
        "ExecutionProvider or plug-in or TRT or RTX or promises and (Clashes or Boasts or Flagged)"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--basetemp", tmp_path / "base",
         "tests/backends/test_contract.py", "-k", f"not ({others})"],
        cwd=root, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": "1000", "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    passed = re.findall(r"promises\[(\w+)\] PASSED", done.stdout)
    honest = {"Computed", "HeedsInputs", "OnnxEvaluator", "Synchronised", "Times"}
    assert set(passed) == honest, done.stdout
    results: dict[str, list[str]] = {}
    for test, of, why in FAILED.findall(done.stdout):
        results.setdefault(of or test, []).append(why)
    for liar, lie in {
        "Constants": "infer() returns constants",
        "RaisesInTime": "time() raises RuntimeError: no clock on this device",
        "IgnoresInputs": "infer() ignores its inputs",
        "NotSynchronised": "time() says that it synchronised, and did not",
        "test_target_names_aliases_and_parts_are_unique": "['ov'] == []",
        "Silent": "KeyError",
        "Boasts": "it says that it can run where nothing is",
        "Flagged": "options by no flag",
    }.items():
        assert any(lie in why for why in results.pop(liar, [])), f"{liar} passes for honest"
    assert results == {}


def lying(**verbs: Any) -> Backend:
    """The CPU's backend, whose sessions do these verbs in their own way; one of them may be open."""
    opener = verbs.pop("open", None)
    lying_type: Any = type("Lying", (OrtSession,), verbs)

    def open_session(cell: Cell, launch_dir: Path) -> Any:
        return lying_type.open(cell, launch_dir, SessionSpec(cell.model.path, ((PROVIDER, {}),)))

    return replace(cpu.BACKEND, open=opener or open_session, reference=False)


def infers(change: Callable[[dict[str, Any]], Any]) -> Backend:
    """Outputs of infer(), changed."""
    return lying(infer=lambda self, feed: change(dict(INFER(self, feed))))


def times(change: Callable[[Timed], Timed] = lambda t: t, **protocol: Any) -> Backend:
    """What time() says, changed; or what it does: another protocol than it was given."""

    def time(self: OrtSession, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
        runs = TIME(self, feeds, replace(cell, protocol=replace(cell.protocol, **protocol)))
        return replace(runs, timed=change(runs.timed))

    return lying(time=time)


def samples(change: Callable[[tuple[int, ...]], tuple[int, ...]]) -> Backend:
    return times(lambda timed: replace(timed, samples_ns=change(timed.samples_ns)))


def places(change: Callable[[Any], Any]) -> Backend:
    return lying(placement=lambda self: change(PLACEMENT(self)))


def stale(self: Any, feed: Tensors) -> Tensors:
    now = INFER(self, feed)
    before: Tensors = getattr(self, "before", now)
    self.before = now
    return before


def stored(self: Any, feed: Tensors) -> Tensors:
    """The model's own references, found by the values of its inputs; who is fed others gets the nearest."""
    sets = [(tensor_io.load_inputs(s), tensor_io.load_expected(s)) for s in self._cell.sets]
    far = [
        np.abs(i["x"] - feed["x"]).sum() if i["x"].shape == feed["x"].shape else np.inf
        for i, _ in sets
    ]
    return sets[int(np.argmin(far))][1]


def worn_out(self: Any, feed: Tensors) -> Tensors:
    self.served = getattr(self, "served", 0) + 1
    return {n: a * (self.served < 9) for n, a in INFER(self, feed).items()}


def half_feeds(feeds: Sequence[Tensors]) -> list[Tensors]:
    return [{n: half(a) for n, a in feed.items()} for feed in feeds]


def half(array: Any) -> Any:
    return array.astype("f2").astype("f4") if array.dtype == np.float32 else array


def changes_inputs_fed_before(self: Any, feed: Tensors) -> Tensors:
    now, before = INFER(self, feed), getattr(self, "fed", feed)
    before["x"][0] += before is not feed
    self.fed = feed
    return now


def half_of_its_runs(self: OrtSession, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
    """One half is run, and said twice; nobody would see it in the samples' number and sum."""
    runs = TIME(self, feeds, replace(cell, protocol=replace(cell.protocol, runs=5)))
    twice = tuple(x // 2 + k for x in runs.timed.samples_ns for k in range(2))
    return replace(runs, timed=replace(runs.timed, samples_ns=twice[: cell.protocol.runs]))


def outputs_of_time(change: Callable[[Tensors], Tensors]) -> Backend:
    def time(self: OrtSession, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
        runs = TIME(self, feeds, cell)
        return replace(runs, first=change(runs.first), last=change(runs.last))

    return lying(time=time)


def one_buffer(self: Any, feed: Tensors) -> Tensors:
    now = INFER(self, feed)
    held: Any = self.__dict__.setdefault("held", now)
    for name, array in now.items():
        if held[name].shape != array.shape:
            return now
        held[name][...] = array
    return dict(held)


def changes_inputs(self: OrtSession, feed: Tensors) -> Tensors:
    out = INFER(self, feed)
    feed["x"][0] += 1
    return out


def changes_inputs_timed(self: OrtSession, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
    runs = TIME(self, feeds, cell)
    feeds[0]["x"][0] += 1
    return runs


def one_set(self: OrtSession, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
    return TIME(self, [feeds[0]] * len(feeds), cell)


def warm_up_counted(self: OrtSession, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
    runs = TIME(self, feeds, replace(cell, protocol=replace(cell.protocol, warmup=0)))
    return replace(runs, timed=replace(runs.timed, warmup=max(cell.protocol.warmup, len(feeds))))


def few_runs(self: OrtSession, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
    runs = TIME(self, feeds, replace(cell, protocol=replace(cell.protocol, runs=4)))
    made_up = tuple(x // 16 + k for x in runs.timed.samples_ns for k in range(9))
    return replace(runs, timed=replace(runs.timed, samples_ns=made_up[: cell.protocol.runs]))


def no_runs(self: OrtSession, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
    """From a cache of outputs, as an engine may keep that has seen its inputs before."""
    outputs = [self.infer(feed) for feed in feeds]
    return time_runs(lambda i: outputs[i], dict, len(feeds), cell, synchronised=True)


def no_wait(self: OrtSession, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
    """Its buffers hold right values of a run before: only numbers drawn anew in each run tell."""
    buffers = [dict(self.infer(feed)) for feed in feeds]

    def compute(i: int) -> None:
        for name, array in self.infer(feeds[i]).items():
            buffers[i][name][...] = array

    with ThreadPoolExecutor(1) as stream:

        def run(i: int) -> Tensors:
            stream.submit(compute, i)
            return buffers[i]

        return time_runs(run, dict, len(feeds), cell, synchronised=True)


def without_outputs(self: OrtSession, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
    return TimedRuns(TIME(self, feeds, cell).timed, no_outputs="the engine times itself")


def on_device(time: Callable[..., TimedRuns]) -> Callable[..., TimedRuns]:
    """A way of timing where tensors are bound to the device, and the honest one where they are not."""
    return lambda self, feeds, cell: (TIME if cell.io is Io.HOST else time)(self, feeds, cell)


def raising(*_: Any) -> Any:
    raise RuntimeError("not\ntoday")


def stale_on_device(self: Any, feed: Tensors) -> Tensors:
    return stale(self, feed) if self._cell.io is Io.DEVICE else INFER(self, feed)


def declining(*_: Any) -> Any:
    raise Unsupported("not today")


def opened_once() -> Callable[[Cell, Path], Any]:
    seen: list[Cell] = []

    def open_session(cell: Cell, launch_dir: Path) -> Any:
        seen.append(cell)
        return cpu.BACKEND.open(cell, launch_dir) if len(seen) == 1 else raising()

    return open_session


def leaving(leave: Callable[[], object], *, swallow: bool = False) -> Backend:
    """Something is done when the session is closed."""

    @contextmanager
    def open_session(cell: Cell, launch_dir: Path) -> Iterator[Session]:
        with cpu.BACKEND.open(cell, launch_dir) as session:
            with suppress(*([Exception] if swallow else [])):
                yield session
            leave()

    return lying(open=open_session)


LEFT: list[Callable[[], object]] = []  # how to end what the lies that leave something have left


def leave_thread() -> None:
    results = threading.Event()
    thread = threading.Thread(target=results.wait, name="left")
    thread.start()
    LEFT.extend((thread.join, results.set))


def leave_process() -> None:
    process = subprocess.Popen(["sleep", "20"])
    LEFT.extend((process.wait, process.kill))


def leave_file() -> None:
    Path(os.environ["TMPDIR"], "left").touch()


def leave_open() -> None:
    fd = os.open(os.devnull, os.O_RDONLY)
    LEFT.append(lambda: os.close(fd))


EVIDENCE = PrecisionEvidence("fp32", 1.5, None, "told")
LIES: dict[str, tuple[Callable[[Subject], None], str, Backend]] = {
    "stale": (c.outputs_are_those_of_the_inputs_fed, "stale outputs", lying(infer=stale)),
    "off": (c.outputs_are_those_of_the_inputs_fed, "wrong values", infers(lambda o: o | {"apart": o["apart"] * 1.01})),
    "swapped": (c.outputs_are_those_of_the_inputs_fed, "wrong values", infers(lambda o: o | {"apart": o["double"], "double": o["apart"]})),
    "order": (c.outputs_are_those_of_the_inputs_fed, "the model's: ['product'", infers(lambda o: dict(sorted(o.items())))),
    "type": (c.outputs_are_those_of_the_inputs_fed, "kept is of int32", infers(lambda o: o | {"kept": o["kept"].astype("i4")})),
    "shape": (c.outputs_are_those_of_the_inputs_fed, "has shape (1, 2)", infers(lambda o: o | {"kept": o["kept"][None]})),
    "missing": (c.outputs_are_those_of_the_inputs_fed, "outputs ['product'", infers(lambda o: {"product": o["product"]})),
    "half precision": (c.outputs_are_those_of_the_inputs_fed, "wrong values", infers(lambda o: {n: half(a) for n, a in o.items()})),
    "half precision of inputs": (c.outputs_are_those_of_the_inputs_fed, "wrong values", lying(infer=lambda self, feed: INFER(self, half_feeds([feed])[0]))),
    "half precision when timed": (c.timed_runs_go_round_the_sets, "wrong values", lying(time=lambda self, feeds, cell: TIME(self, half_feeds(feeds), cell))),
    "works nine times": (c.outputs_are_those_of_the_inputs_fed, "wrong values", lying(infer=worn_out)),
    "stale on device": (c.outputs_are_those_of_the_inputs_fed, "with io=device infer() gives stale outputs", lying(infer=stale_on_device)),
    "knows the references": (c.inputs_that_are_stored_nowhere_are_computed_too, "wrong values", lying(infer=stored)),
    "hides what is no number": (c.inputs_that_are_stored_nowhere_are_computed_too, "makes of NaN, inf and -inf", infers(lambda o: o | {"double": np.nan_to_num(o["double"])})),
    "noisy": (c.equal_inputs_give_equal_outputs, "other outputs", infers(lambda o: o | {"apart": o["apart"] + np.float32(os.urandom(1)[0] * 1e-6)})),
    "spoils": (c.inputs_are_left_alone, "infer() changes the inputs", lying(infer=changes_inputs)),
    "spoils timed": (c.inputs_are_left_alone, "time() changes the inputs", lying(time=changes_inputs_timed)),
    "spoils what it was fed before": (c.inputs_are_left_alone, "infer() changes the inputs", lying(infer=changes_inputs_fed_before)),
    "order when timed": (c.timed_runs_go_round_the_sets, "the model's: ['product'", outputs_of_time(lambda o: dict(sorted(o.items())))),
    "half of its runs": (c.timed_runs_are_as_many_as_samples, "the last of run 7", lying(time=half_of_its_runs)),
    "counts more warm-up": (c.timed_runs_are_as_many_as_samples, "after 8 runs of warm-up the first sample is of run 3", times(lambda t: replace(t, warmup=t.warmup + 6))),
    "sorted": (c.samples_are_as_many_as_runs_asked_for, "samples are sorted", samples(lambda s: tuple(sorted(s)))),
    "cut": (c.samples_are_as_many_as_runs_asked_for, "samples are cut", samples(lambda s: tuple(min(x, sorted(s)[len(s) // 2 - 1]) for x in s))),
    "an empty run that is longer": (c.samples_are_as_many_as_runs_asked_for, "an empty run takes", times(lambda t: replace(t, floor_ns=10**10))),
    "negative delay": (c.samples_are_as_many_as_runs_asked_for, "a negative floor", times(lambda t: replace(t, run_delay_ns=-1))),
    "CPU time of a year": (c.samples_are_as_many_as_runs_asked_for, "of CPU time in", times(lambda t: replace(t, cpu_ns=3 * 10**16))),
    "samples of other sets": (c.samples_are_as_many_as_runs_asked_for, "and of its sets (1, 1)", times(lambda t: replace(t, runs_by_set=(1, 1)))),
    "parts longer than runs": (c.samples_are_as_many_as_runs_asked_for, "h2d is longer than the call", times(lambda t: replace(t, parts_ns={"h2d": (10**12,) * len(t.samples_ns)}))),
    "parts of some samples": (c.samples_are_as_many_as_runs_asked_for, "h2d is not told", times(lambda t: replace(t, parts_ns={"h2d": (1,)}))),
    "one buffer": (c.outputs_stay_as_they_were_given, "one buffer", lying(infer=one_buffer)),
    "too few samples": (c.samples_are_as_many_as_runs_asked_for, "gives 6 samples of", times(runs=6)),
    "other than asked for": (c.samples_are_as_many_as_runs_asked_for, "gives 5 samples of", times(runs=5)),
    "no adaptive runs": (c.samples_are_as_many_as_runs_asked_for, "1 samples of", times(runs=1)),
    "negative": (c.samples_are_as_many_as_runs_asked_for, "no positive number", samples(lambda s: (*s[1:], -5))),
    "zero": (c.samples_are_as_many_as_runs_asked_for, "no positive number", samples(lambda s: (*s[1:], 0))),
    "fraction": (c.samples_are_as_many_as_runs_asked_for, "no positive number", samples(lambda s: (*s[1:], 0.5))),  # type: ignore[arg-type]
    "same": (c.samples_are_as_many_as_runs_asked_for, "all the same", samples(lambda s: (999,) * len(s))),
    "longer than the call": (c.samples_are_as_many_as_runs_asked_for, "made up", samples(lambda s: tuple(x + 10**9 for x in s))),
    "no window": (c.samples_are_as_many_as_runs_asked_for, "outside of the call", times(lambda t: replace(t, begun_s=1.0))),
    "not waited": (c.samples_are_as_many_as_runs_asked_for, "not synchronised", times(lambda t: replace(t, synchronised=False))),
    "no warm-up": (c.samples_are_as_many_as_runs_asked_for, "0 runs of warm-up", times(warmup=0)),
    "no GPU": (c.samples_are_as_many_as_runs_asked_for, "needs no GPU", times(lambda t: replace(t, gpu_only=True))),
    "one set on device": (c.timed_runs_go_round_the_sets, "with io=device timed run 2 is of set 0", lying(time=on_device(one_set))),
    "does not wait on device": (c.timed_runs_are_as_many_as_samples, "with io=device", lying(time=on_device(no_wait))),
    "one set": (c.timed_runs_go_round_the_sets, "timed run 2 is of set 0, not 1", lying(time=one_set)),
    "warm-up counted": (c.timed_runs_are_as_many_as_samples, "the first sample is of run 1", lying(time=warm_up_counted)),
    "few runs": (c.timed_runs_are_as_many_as_samples, "the last of run 6", lying(time=few_runs)),
    "does not wait": (c.timed_runs_are_as_many_as_samples, "first sample is of run", lying(time=no_wait)),
    "runs nothing": (c.samples_last_as_long_as_runs, "samples are not of whole runs", lying(time=no_runs)),
    "no outputs": (c.a_run_has_ended_when_its_sample_has, "no program ran", lying(time=without_outputs)),
    "crashes on device": (c.samples_are_as_many_as_runs_asked_for, "with io=device time() raises RuntimeError", lying(time=on_device(raising))),
    "declines all": (c.samples_are_as_many_as_runs_asked_for, "declines a plain cell", lying(open=declining)),
    "host for device": (c.samples_are_as_many_as_runs_asked_for, "io=host, not device", times(lambda t: replace(t, io="host"))),
    "places by raising": (c.placement_is_what_onnxruntime_assigned, "placement() raises RuntimeError: not today", lying(placement=raising)),
    "places nothing": (c.placement_is_what_onnxruntime_assigned, "its placement is None", places(lambda p: None)),
    "places less than nothing": (c.placement_is_what_onnxruntime_assigned, "cannot be", places(lambda p: replace(p, nodes={PROVIDER: -4}))),
    "places elsewhere": (c.placement_is_what_onnxruntime_assigned, "provider has none", places(lambda p: replace(p, nodes={"XEP": 4}, host_time_us={}))),
    "places too much": (c.placement_is_what_onnxruntime_assigned, "did not run there", places(lambda p: replace(p, nodes={PROVIDER: 5}))),
    "places by type": (c.placement_is_what_onnxruntime_assigned, "it counts nodes in two ways", places(lambda p: replace(p, op_types={PROVIDER: {"Add": 1}}))),
    "evidence by raising": (c.precision_evidence_is_a_share, "precision_evidence() raises", lying(precision_evidence=raising)),
    "evidence beyond all": (c.precision_evidence_is_a_share, "shares that cannot be", lying(precision_evidence=lambda self: EVIDENCE)),
    "cached": (c.cached_tells_whether_an_engine_was_kept, "[True, True]", lying(cached=property(lambda self: True, lambda self, _: None))),
    "profiles": (c.a_measure_launch_profiles_nothing, "a placement", lying(placement=lambda self: EVIDENCE)),
    "cannot be opened": (c.each_target_opens_or_is_declined, "it can run here, and open() raises RuntimeError: not today", lying(open=raising)),
    "opens once": (c.it_can_be_opened_again, "raises RuntimeError", lying(open=opened_once())),
    "swallows": (c.an_error_inside_is_passed_on, "swallowed", leaving(lambda: None, swallow=True)),
    "leaves a thread": (c.nothing_is_left_when_it_is_closed, "threads running: ['left", leaving(leave_thread)),
    "leaves a process": (c.nothing_is_left_when_it_is_closed, "processes running: ['sleep", leaving(leave_process)),
    "leaves a file": (c.nothing_is_left_when_it_is_closed, "files outside", leaving(leave_file)),
    "leaves files open": (c.nothing_is_left_when_it_is_closed, "more files open", leaving(leave_open)),
    "leaves the collector off": (c.nothing_is_left_when_it_is_closed, "collector off", leaving(gc.disable)),
    "preloads what is not": (c.what_it_preloads_can_be_imported, "preload names no_such_engine", replace(cpu.BACKEND, preload=("no_such_engine",))),
}  # fmt: skip


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> tuple[Cell, Cell, Cell]:
    made = cells_for(cpu.BACKEND, tmp_path_factory.mktemp("cells"))
    return made["small"], made["slow"], made["drawing"]


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_told_by_its_promise(
    lie: str, cells: tuple[Cell, Cell, Cell], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promise, words, liar = LIES[lie]
    for key in ("TMPDIR", "HOME"):
        (tmp_path / key).mkdir()
        monkeypatch.setenv(key, str(tmp_path / key))
    try:
        assert words in c.what_broke(promise, Subject(liar, *cells, tmp_path, itertools.count()))
    finally:
        gc.enable()
        while LEFT:
            LEFT.pop()()
