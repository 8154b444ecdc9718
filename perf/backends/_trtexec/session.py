"""A cell's session with trtexec: each question, to build, infer, time or tell, is one run of the program."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from perf.backends import Tensors
from perf.backends._tensorrt import engine_cache, onnx_header
from perf.backends._tensorrt.values import fed, first_feed, model_for, onnx_name, profiles_for
from perf.backends._trtexec import output as told
from perf.backends._trtexec.program import (
    Build,
    Program,
    Run,
    build_line,
    is_true,
    regime,
    run_line,
)
from perf.machine.gpus import device_ordinal
from perf.schema.cell import Cell, Io
from perf.schema.journal import MOST_RUNS, Placement, PrecisionEvidence, Timed
from perf.schema.shape_profiles import Shape

WARM_UP_MS = 200  # trtexec warms up by time; this is its own default, kept in all versions
_FEWEST = 20  # timed requests of a launch, where their number is not asked for
_PROFILED_RUNS = 10


@dataclass(frozen=True)
class Ran:
    """What trtexec printed, and when each line was read (CLOCK_MONOTONIC)."""

    text: str
    at_s: tuple[float, ...] = ()

    def when(self, words: str) -> float | None:
        """When the first line that holds these words was read."""
        lines = self.text.split("\n")  # as it was read: other line ends count for nothing
        return next((t for t, line in zip(self.at_s, lines, strict=False) if words in line), None)


class ProgramSession:
    """Satisfies perf.backends.Session; `cached` is known after `create`."""

    def __init__(
        self,
        cell: Cell,
        folder: Path,
        program: Program,
        run: Callable[[Sequence[str], Path], Ran],
    ) -> None:
        self.cached: bool | None = None
        self.versions = {"trtexec": program.version_text}
        self._cell, self._folder, self._program, self._run = cell, folder, program, run
        self._model = model_for(cell, program.weakly_typed)
        self._header = onnx_header.read(Path(self._model))
        self._dynamic = tuple(v.name for v in self._header.inputs if v.dynamic)
        self._profiles = profiles_for(cell, self._header)
        maker = f"trtexec {program.version_text} {program.path}"
        cache = Path(cell.cache) if cell.cache else folder
        self._engine = engine_cache.engine_file(cell, cache, maker, self._model, self._profiles)
        self._device = device_ordinal(cell.device, os.environ.get("CUDA_VISIBLE_DEVICES"))
        self._fed: list[tuple[Tensors, Mapping[str, str]]] = []

    def create(self) -> None:
        """Build the engine, or load the one there is: its start, the load and one request are its session."""
        with engine_cache.locked(self._engine):
            self.cached = self._engine.exists()
            if self.cached:
                feed = first_feed(self._cell)
                self._run(self._line(feed, iterations=1, warm_up_ms=0), self._folder)
            else:
                self._build()

    def infer(self, feed: Tensors) -> Tensors:
        """One request with these inputs; outputs as trtexec prints them, to six significant digits."""
        file = self._folder / "outputs.json"
        file.unlink(missing_ok=True)
        line = self._line(feed, iterations=1, warm_up_ms=0, outputs=file.name)
        self._run(line, self._folder)
        types = {v.name: onnx_name(v.onnx_type) for v in self._header.outputs}
        got = told.outputs(_written(file, "outputs"), types)
        return {v.name: got[v.name] for v in self._header.outputs}

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> Timed:
        """Time every set in a run of its own, each for its part of the runs or the time asked for.

        A sample is what trtexec calls latency: copy in, compute and copy out of one request, on the device's
        clock; its host's part of a request is not in it. With io=device it is compute alone. The window for
        the GPU's counters is told where there is one set, for between sets engines are loaded.
        """
        iterations, duration_s = _shares(cell, len(feeds))
        samples: list[told.Iteration] = []
        warmups, window = 0, (0.0, 0.0)
        for feed in feeds:
            file = self._folder / "times.json"
            file.unlink(missing_ok=True)
            line = self._line(
                feed, iterations=iterations, duration_s=duration_s, warm_up_ms=WARM_UP_MS,
                times=file.name,
            )  # fmt: skip
            ran = self._run(line, self._folder)
            rows = told.times(_written(file, "times"))
            kept = rows[: iterations if cell.protocol.runs else MOST_RUNS // len(feeds)]
            samples += kept
            warmups += told.summary(ran.text).warmups or 0
            if len(feeds) == 1 and len(kept) == len(
                rows
            ):  # else energy and samples would not match
                window = _window(ran)
        return _timed(samples[: cell.protocol.runs], self._gpu_only, len(feeds), warmups, window)

    def placement(self) -> Placement | None:
        """There is one engine, and nothing beside it."""
        return None

    def precision_evidence(self) -> PrecisionEvidence | None:
        """What the engine's layers run in, and for how long, by the inspector and one profiled run."""
        if not self._cell.profile or not self._program.has("--exportLayerInfo"):
            return None
        from perf.measure import layer_precision

        info, layer_times = self._folder / "layers.json", self._folder / "layer_times.json"
        line = self._line(
            first_feed(self._cell), iterations=_PROFILED_RUNS, warm_up_ms=0,
            layers=info.name, layer_times=layer_times.name,
        )  # fmt: skip
        self._run(line, self._folder)
        try:
            return layer_precision.precision_of_engine(
                _written(info, "layer info"),
                layer_times.read_text(encoding="utf-8", errors="replace")
                if layer_times.exists()
                else "",
                self._cell.target.precision.value,
                regime(self._program, self._cell.target.precision),
                tf32=self._cell.tf32,
            )
        except (
            ValueError
        ) as e:  # the engine told nothing that can be read: its precision is not proved
            print(f"precision not attested: {e}", flush=True)
            return None

    @property
    def _gpu_only(self) -> bool:
        return self._cell.io is Io.DEVICE or is_true(self._cell.options.get("gpu_only", ""))

    def _build(self) -> None:
        timing = engine_cache.timing_cache(self._cell, self._engine, self._cell.options)
        with engine_cache.made_aside(self._engine) as aside:
            what = Build(
                self._model, str(aside), str(timing), self._cell.target.precision, self._cell.tf32,
                self._device, self._profiles, self._cell.options,
            )  # fmt: skip
            self._run(build_line(self._program, what), self._folder)
            if not aside.exists():
                raise told.BadOutputError("trtexec ended well and saved no engine")

    def _line(
        self,
        feed: Tensors,
        *,
        iterations: int,
        warm_up_ms: int,
        duration_s: int = 0,
        times: str = "",
        outputs: str = "",
        layers: str = "",
        layer_times: str = "",
    ) -> tuple[str, ...]:
        shapes: dict[str, Shape] = {n: tuple(feed[n].shape) for n in self._dynamic if n in feed}
        what = Run(
            engine=str(self._engine), device=self._device, shapes=shapes,
            inputs=self._files(feed), iterations=iterations, duration_s=duration_s,
            warm_up_ms=warm_up_ms, transfers=bool(outputs) or not self._gpu_only,
            cuda_graph=is_true(self._cell.options.get("trt_cuda_graph_enable", "")),
            times=times, outputs=outputs, layers=layers, layer_times=layer_times,
        )  # fmt: skip
        return run_line(self._program, what)

    def _files(self, feed: Tensors) -> Mapping[str, str]:
        """The feed as files of raw values, by names that trtexec's lists can hold; written once per feed."""
        for known, files in self._fed:
            if known is feed:
                return files
        made = {}
        arrays = fed(feed, native_int64=self._program.version >= (10,))
        for i, (name, array) in enumerate(arrays.items()):
            made[name] = f"input_{len(self._fed)}_{i}.bin"
            (self._folder / made[name]).write_bytes(array.tobytes())
        self._fed.append((feed, made))
        return made


def _shares(cell: Cell, sets: int) -> tuple[int, int]:
    """Requests and whole seconds per set."""
    if cell.protocol.runs is not None:
        return math.ceil(cell.protocol.runs / sets), 0
    return math.ceil(_FEWEST / sets), math.ceil(cell.protocol.min_time_s / sets)


def _timed(
    rows: Sequence[told.Iteration],
    gpu_only: bool,
    sets: int,
    warmups: int,
    window: tuple[float, float],
) -> Timed:
    def ns(ms: float) -> int:
        return round(ms * 1e6)

    parts = {} if gpu_only else {
        "h2d": tuple(ns(r.h2d_ms) for r in rows),
        "compute": tuple(ns(r.compute_ms) for r in rows),
        "d2h": tuple(ns(r.d2h_ms) for r in rows),
    }  # fmt: skip
    return Timed(
        samples_ns=tuple(ns(r.compute_ms if gpu_only else r.latency_ms) for r in rows),
        io=(Io.DEVICE if gpu_only else Io.HOST).value,
        sets=sets,
        warmup=warmups,
        floor_ns=0,  # events on the device's clock: no clock pair of the host is in a sample
        run_delay_ns=None,
        throttled_us=None,
        synchronised=True,
        begun_s=window[0],
        ended_s=window[1],
        gpu_only=gpu_only,
        parts_ns=parts,
    )


def _window(ran: Ran) -> tuple[float, float]:
    """When its timed loop ran, by the lines it prints around it; (0, 0) where they are missing."""
    begun, ended = ran.when("Starting inference"), ran.when("Warmup completed")
    if begun is None or ended is None or ended <= begun + WARM_UP_MS / 1000:
        return 0.0, 0.0
    return begun + WARM_UP_MS / 1000, ended


def _written(file: Path, what: str) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise told.BadOutputError(f"trtexec ended well and wrote no {what} file") from None
