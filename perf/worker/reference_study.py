"""The reference run again and again, to tell chance and rounding from faults."""

import contextlib
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from perf import backends
from perf.backends import Backend, Tensors
from perf.conversion.double_precision import DoubleModel
from perf.conversion.external_data import external_files, read_structure
from perf.conversion.node_evaluator import CannotEvaluate
from perf.conversion.random_ops import known_to_draw, read_random_ops
from perf.conversion.signature import signature_of
from perf.measure import tensor_io
from perf.request.model_list import is_ort_format
from perf.schema.cell import Cell, ReferenceQuality, TestSet
from perf.schema.jobs import StudyJob
from perf.schema.journal import Compared, ReferenceStudied
from perf.worker import drawn_outputs, validate

SAME = 1e-5  # of an output's scale: closer, two runs differ by the order of their sums
DRAWING_S = 3.0  # for draws of a set beyond the first few
MOST_WEIGHT_BYTES = 1 << 30
HALVES = {10, 16}  # float16, bfloat16: of TensorProto.DataType


class _OutOfTime(BaseException):
    """The alarm rang; no `except Exception` of ours or of an engine's may take it."""


@dataclass
class _Runs:
    """What one set's outputs were, run by run."""

    first: Tensors
    same_session: Tensors
    new_session: Tensors | None = None
    other_process: Tensors | None = None
    drawn: dict[str, list[np.ndarray]] = field(default_factory=dict)  # one session's, flat
    varied: set[str] = field(default_factory=set)  # outputs that were not all one in these
    nudged: Tensors | None = None
    optimised: Tensors | None = None
    flushed: Tensors | None = None
    fp64: Tensors | None = None

    @property
    def repeats(self) -> list[Tensors]:
        """Every run on the same inputs after the first."""
        known = (self.same_session, self.new_session, self.other_process)
        return [outputs for outputs in known if outputs is not None]


def study(job: StudyJob, folder: Path) -> ReferenceStudied:
    """Run the reference of a cell's sets anew, while the time lasts; raises what its first runs raise."""
    cell = replace(job.cell, profile=False)
    backend = backends.backend_of_cell(cell)
    feeds = [tensor_io.load_inputs(s) for s in cell.sets]
    until_s = time.monotonic() + job.budget_s
    runs = _run_first(backend, cell, folder, feeds, until_s if job.arbitrate else 0.0)
    for level in ("disable", "all") if job.arbitrate else ("disable",):
        if time.monotonic() < until_s:
            _run_variant(backend, replace(cell, graph_optimization=level), folder, feeds, runs)
    for found, before in zip(runs, job.earlier, strict=False):
        found.other_process = tensor_io.load_expected(before)
    for found, flushed in zip(runs, job.flushed, strict=False):
        found.flushed = tensor_io.load_expected(flushed)
    ops = read_random_ops(Path(cell.model.path))
    _draw_more(backend, cell, folder, feeds, runs, until_s, ops)
    fp64 = _compute_fp64(cell, feeds, runs, job.budget_s) if job.arbitrate else ""
    destination = Path(job.destination)
    sets, made = [], []
    for given, found in zip(cell.sets, runs, strict=True):
        home = destination / given.name
        exact = tensor_io.save_tensors(found.fp64, home / "fp64") if found.fp64 else ()
        drawn = drawn_outputs.save_draws(found.drawn, home / "drawn") if found.drawn else ()
        sets.append(replace(given, quality=_judge(found, ops), exact=exact, drawn=drawn))
        made.append(replace(given, outputs=tensor_io.save_tensors(found.first, home)))
    stored = tuple(_against_stored(cell, sets, runs))
    unnamed = dict.fromkeys(name for given in cell.sets for name in given.by_position)
    return ReferenceStudied(tuple(sets), tuple(made), stored, fp64, tuple(unnamed))


def _run_first(
    backend: Backend, cell: Cell, folder: Path, feeds: Sequence[Tensors], nudge_until_s: float
) -> list[_Runs]:
    """Every set twice in one session, and while time is left once with its inputs one ulp away."""
    rng = np.random.default_rng(0)
    runs = []
    with backend.open(cell, folder) as session:
        for feed in feeds:
            found = _Runs(session.infer(feed), session.infer(feed))
            if time.monotonic() < nudge_until_s:
                found.nudged = session.infer({n: _nudge(a, rng) for n, a in feed.items()})
            runs.append(found)
    return runs


def _run_variant(
    backend: Backend, cell: Cell, folder: Path, feeds: Sequence[Tensors], runs: Sequence[_Runs]
) -> None:
    """A session of its own: as the first one was, or optimised."""
    with contextlib.suppress(Exception), backend.open(cell, folder) as session:
        for feed, found in zip(feeds, runs, strict=True):
            outputs = session.infer(feed)
            if cell.graph_optimization == "all":
                found.optimised = outputs
            else:
                found.new_session = outputs


def _draw_more(
    backend: Backend,
    cell: Cell,
    folder: Path,
    feeds: Sequence[Tensors],
    runs: Sequence[_Runs],
    until_s: float,
    ops: Sequence[str],
) -> None:
    """Many runs of what chance decides: what others are held against.

    Where ops draw, runs that were alike may have been so by chance, and all outputs are looked at again.
    They are of one session for each set: another of the same process may begin with the same draws.
    """
    if not ops and all(_repeats(found, name) for found in runs for name in found.first):
        return
    for feed, found in zip(feeds, runs, strict=True):
        names = [n for n in found.first if ops or not _repeats(found, n)]
        sizes = [found.first[n].size for n in names]
        wanted = drawn_outputs.wanted_draws(
            min(sizes, default=1), drawn_outputs.WANTED_DRAWS, drawn_outputs.WANTED_VALUES
        )
        if all(_repeats(found, n) for n in names) and not known_to_draw(ops):
            wanted = drawn_outputs.LEAST_DRAWS  # they may draw, as far as anybody knows
        soon_s, done = time.monotonic() + DRAWING_S, 0
        with backend.open(cell, folder) as session:
            while names and done < wanted and time.monotonic() < until_s:
                if done >= drawn_outputs.LEAST_DRAWS and time.monotonic() > soon_s:
                    break
                _take_draw(found, names, session.infer(feed))
                done += 1
        found.drawn = {n: d for n, d in found.drawn.items() if not _repeats(found, n)}


def _take_draw(found: _Runs, names: Sequence[str], outputs: Tensors) -> None:
    for name in (n for n in names if n in outputs):
        if not _is_same(found.first[name], outputs[name]):
            found.varied.add(name)
        found.drawn.setdefault(name, []).append(drawn_outputs.flatten(outputs[name]))


def _compute_fp64(
    cell: Cell, feeds: Sequence[Tensors], runs: Sequence[_Runs], budget_s: float
) -> str:
    """Fill in fp64 outputs, set by set while the time lasts; what computed them, or why there are none."""
    if not all(_repeats(found, name) for found in runs for name in found.first):
        return "not tried: the outputs are not reproducible"
    deadline_s, done = time.monotonic() + budget_s, 0
    model: DoubleModel | None = None
    try:
        with _alarm(budget_s):
            model = _load_double(Path(cell.model.path))
            for feed, found in zip(feeds, runs, strict=True):
                found.fp64 = model.run(feed, deadline_s)
                done += 1
            found.drawn = {n: d for n, d in found.drawn.items() if not _repeats(found, n)}
    except CannotEvaluate as e:
        why = str(e)
    except _OutOfTime:
        why = f"it takes more than {budget_s:g} s"
    except (
        Exception
    ) as e:  # a model that onnx's tools trip over has no arbiter; no verdict hangs on it
        why = f"{type(e).__name__}: {' '.join(str(e).split())[:120]}"
    else:
        return model.source
    some = f"{model.source}, for {done} of {len(feeds)} sets; " if model and done else "none: "
    return some + why


def _load_double(path: Path) -> DoubleModel:
    import onnx  # as everywhere in a worker

    if is_ort_format(path):
        raise CannotEvaluate("an .ort file holds no ONNX to compute in fp64")
    data = external_files(path, read_structure(path))
    if sum(p.stat().st_size for p in (path, *data)) > MOST_WEIGHT_BYTES:
        raise CannotEvaluate("in double its weights would take too much memory")
    model = onnx.load(str(path))
    signature = signature_of(model)
    if any(v.kind != "tensor" for v in (*signature.inputs, *signature.outputs)):
        raise CannotEvaluate("inputs or outputs are no tensors")
    types = {t.data_type for t in model.graph.initializer} | {
        v.onnx_type for v in signature.inputs
    }
    coded = tensor_io.CODED_BITS.keys() - HALVES
    if any(v.onnx_type in coded for v in signature.inputs):  # fed as codes, not as their values
        raise CannotEvaluate("inputs are of a type that numpy lacks")
    if types & HALVES:
        raise CannotEvaluate("the model itself is in half precision")
    return DoubleModel(model)


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise _OutOfTime when the time is over, also within a single slow node."""

    def ring(_number: int, _frame: Any) -> None:
        raise _OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _nudge(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every float one ulp up or down; other types as they are."""
    if array.dtype.kind != "f" or isinstance(array, tensor_io.Coded):
        return array
    to = np.where(rng.random(array.shape) < 0.5, -np.inf, np.inf).astype(array.dtype)
    nudged: np.ndarray = np.where(array == 0, array, np.nextafter(array, to)).astype(array.dtype)
    return nudged


def _judge(found: _Runs, ops: Sequence[str]) -> tuple[ReferenceQuality, ...]:
    return tuple(_judge_output(name, found, ops) for name in found.first)


def _judge_output(name: str, found: _Runs, ops: Sequence[str]) -> ReferenceQuality:
    if not _repeats(found, name):
        drawn = [tensor_io.decode(r[name]) for r in (found.first, *found.repeats) if name in r]
        low, high = _range([*drawn, *found.drawn.get(name, ())])
        sizes = {d.size for d in found.drawn.get(name, ())}
        varies = len({d.shape for d in drawn}) > 1 or len(sizes) > 1
        varies |= any(name not in r for r in found.repeats)
        why = _why(name, found, ops)
        return ReferenceQuality(name, False, why, varies, low, high)
    noises = [_apart(found.first, other, name) for other in (found.fp64, found.nudged)]
    known = [n for n in noises if n is not None]
    return ReferenceQuality(
        name,
        noise=max(known, default=None),
        optimiser=_apart(found.first, found.optimised, name),
        flushed=_apart(found.first, found.flushed, name),
        flush_breaks=_flush_breaks(found, name),
    )


def _why(name: str, found: _Runs, ops: Sequence[str]) -> str:
    """What draws, and where a seed makes the first run of a session repeat, that too."""
    drawn = ", ".join(ops) or "no op that is known to draw"
    return (
        f"{drawn}, seeded: the first run of a session alone repeats"
        if _is_seeded(name, found)
        else drawn
    )


def _is_seeded(name: str, found: _Runs) -> bool:
    """Whether the first run of every session is the same, and the next is not."""
    first = found.first.get(name)
    repeats = [
        other is not None and _is_same(first, other.get(name))
        for other in (found.same_session, found.new_session, found.other_process)
    ]
    return repeats == [False, True, True]


def _repeats(found: _Runs, name: str) -> bool:
    alike = all(_is_same(found.first.get(name), other.get(name)) for other in found.repeats)
    return alike and name not in found.varied


def _is_same(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    if a is None or b is None or a.shape != b.shape:
        return a is b
    a, b = tensor_io.decode(a), tensor_io.decode(b)
    if a.dtype.kind not in "fc":
        return bool(np.array_equal(a, b))
    finite = np.isfinite(a)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return False
    scale = np.abs(a[finite]).max(initial=0.0)
    return bool((np.abs(a[finite] - b[finite]) <= SAME * scale).all())


def _range(drawn: Sequence[np.ndarray]) -> tuple[float | None, float | None]:
    if any(d.dtype.kind not in "fiub" for d in drawn):
        return None, None
    finite = [d[np.isfinite(d)].astype(np.float64) for d in drawn]
    lows, highs = [d.min() for d in finite if d.size], [d.max() for d in finite if d.size]
    return (float(min(lows)), float(max(highs))) if lows else (None, None)


def _apart(first: Tensors, other: Tensors | None, name: str) -> float | None:
    """The greatest difference of a float output; None where there is nothing to subtract."""
    if other is None or name not in other:
        return None
    a, b = tensor_io.decode(first[name]), tensor_io.decode(other[name])
    if a.dtype.kind != "f" or a.shape != b.shape or not a.size:
        return None
    both = np.isfinite(a) & np.isfinite(b)
    if not both.any():
        return None
    return float(np.abs(a[both].astype(np.float64) - b[both].astype(np.float64)).max())


def _flush_breaks(found: _Runs, name: str) -> bool:
    """Whether flushing makes what is not finite, or takes it away."""
    mine, other = found.first[name], (found.flushed or {}).get(name)
    if other is None or mine.dtype.kind != "f" or other.shape != mine.shape:
        return False
    return bool((np.isfinite(mine) != np.isfinite(other)).any())


def _against_stored(
    cell: Cell, sets: Sequence[TestSet], runs: Sequence[_Runs]
) -> Iterator[Compared]:
    """This process's outputs by the tolerances that the cell's are held to."""
    judged = replace(cell, sets=tuple(sets))
    for given, found in zip(sets, runs, strict=True):
        expected = tensor_io.load_expected(given)
        yield from validate.compare_set(given.name, found.first, expected, judged)
