"""A cell's session with trtexec: to build, infer, time or inspect is one run of the program each."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from perf.backends import Tensors
from perf.backends._tensorrt import dtypes, engine_cache, onnx_header
from perf.backends._trtexec import output
from perf.backends._trtexec.program import (
    EngineBuild,
    EngineRun,
    Program,
    build_command,
    is_true,
    run_command,
    typing_regime,
)
from perf.machine.gpus import device_ordinal
from perf.measure import layer_precision
from perf.measure.timing import TimedRuns
from perf.schema import atomic_file
from perf.schema.cell import Cell, Io
from perf.schema.journal import MOST_RUNS, Placement, PrecisionEvidence, Timed

WARM_UP_MS = 200  # trtexec warms up by time; this is its own default, kept in all versions
_FEWEST = 20  # timed requests of a launch, where their number is not given
_PROFILED_RUNS = 10


@dataclass(frozen=True)
class ProgramLog:
    """What trtexec printed, and when each line was read (CLOCK_MONOTONIC)."""

    text: str
    at_s: tuple[float, ...] = ()

    def time_of(self, words: str) -> float | None:
        """When the first line that holds these words was read."""
        lines = self.text.split("\n")  # as it was read: other line ends count for nothing
        return next((t for t, line in zip(self.at_s, lines, strict=False) if words in line), None)


class ProgramSession:
    """Satisfies perf.backends.Session; `cached` is known after `create`."""

    def __init__(
        self,
        cell: Cell,
        launch_dir: Path,
        program: Program,
        execute: Callable[[Sequence[str], Path], ProgramLog],
    ) -> None:
        self.cached: bool | None = None
        self.versions = {"trtexec": program.version_text}
        self._cell, self._launch_dir, self._program = cell, launch_dir, program
        self._execute = execute
        self._model = engine_cache.model_for(cell, program.weakly_typed)
        self._header = onnx_header.read(Path(self._model))
        self._profiles = engine_cache.profiles_for(cell, self._header)
        self._engine = engine_cache.engine_file(
            cell, launch_dir, f"trtexec {program.version_text} {program.path}", self._model,
            self._profiles,
        )  # fmt: skip
        self._device = device_ordinal(cell.device, os.environ.get("CUDA_VISIBLE_DEVICES"))
        self._gpu_only = cell.io is Io.DEVICE or is_true(cell.options.get("gpu_only", ""))
        self._written: list[tuple[Tensors, Mapping[str, str]]] = []

    def create(self) -> None:
        """Build the engine, or load the one there is: its start, the load and one request are its session."""
        with engine_cache.hold_engine_lock(self._engine):
            self.cached = self._engine.exists()
            if self.cached:
                self._serve(self._request(engine_cache.first_feed(self._cell)))
            else:
                self._build()

    def infer(self, feed: Tensors) -> Tensors:
        """One request with these inputs; outputs as trtexec prints them, to six significant digits."""
        file = self._fresh("outputs.json")
        self._serve(replace(self._request(feed), transfers=True, outputs=file.name))
        types = {v.name: dtypes.name_of_onnx_type(v.onnx_type) for v in self._header.outputs}
        outputs = output.parse_outputs(_read(file, "outputs"), types)
        return {v.name: outputs[v.name] for v in self._header.outputs}

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
        """Time every set in a run of its own, each for its part of the runs or of the time.

        A sample is what trtexec calls latency: copy in, compute and copy out of one request, on the device's
        clock; its host's part of a request is not in it. With io=device it is compute alone. The window for
        the GPU's counters is told where there is one set, for between sets engines are loaded.
        """
        iterations, duration_s = _share_of_set(cell, len(feeds))
        samples: list[output.Iteration] = []
        runs_by_set: list[int] = []
        warmups, window = 0, (0.0, 0.0)
        for feed in feeds:
            file = self._fresh("times.json")
            request = replace(
                self._request(feed), iterations=iterations, duration_s=duration_s,
                warm_up_ms=WARM_UP_MS, times=file.name,
            )  # fmt: skip
            log = self._serve(request)
            rows = output.parse_times(_read(file, "times"))
            kept = rows[: iterations if cell.protocol.runs else MOST_RUNS // len(feeds)]
            samples += kept
            runs_by_set.append(len(kept))
            warmups += output.warmup_requests(log.text)
            if len(feeds) == 1 and len(kept) == len(rows):  # else energy and samples do not match
                window = _timed_window(log)
        timed = self._timed(samples, runs_by_set, warmups, window)
        return TimedRuns(
            timed, no_outputs="trtexec times itself and writes no outputs of timed runs"
        )

    def placement(self) -> Placement | None:
        """There is one engine, and nothing beside it."""
        return None

    def precision_evidence(self) -> PrecisionEvidence | None:
        """What the engine's layers run in, and for how long, by the inspector and one profiled run."""
        if not self._cell.profile or "--exportLayerInfo" not in self._program.flags:
            return None
        info, times = self._fresh("layers.json"), self._fresh("layer_times.json")
        request = replace(
            self._request(engine_cache.first_feed(self._cell)), iterations=_PROFILED_RUNS,
            layers=info.name, layer_times=times.name,
        )  # fmt: skip
        self._serve(request)
        texts = [f.read_text("utf-8", "replace") if f.exists() else "" for f in (info, times)]
        regime = typing_regime(self._program, self._cell.target.precision)
        return layer_precision.evidence_of_engine(texts[0], texts[1], self._cell, regime)

    def _build(self) -> None:
        with atomic_file.draft_of(self._engine, durable=False) as draft:
            build = EngineBuild(
                self._model, str(draft), str(engine_cache.timing_cache(self._cell, self._engine)),
                self._cell.target.precision, self._cell.tf32, self._device, self._profiles,
                self._cell.options,
            )  # fmt: skip
            self._execute(build_command(self._program, build), self._launch_dir)
            if not draft.exists():
                raise output.BadOutputError("trtexec ended well and saved no engine")

    def _request(self, feed: Tensors) -> EngineRun:
        """One request with these inputs, which is untimed and reports nothing."""
        return EngineRun(
            engine=str(self._engine),
            device=self._device,
            shapes={
                v.name: tuple(feed[v.name].shape)
                for v in self._header.inputs
                if v.dynamic and v.name in feed
            },
            inputs=self._write_inputs(feed),
            transfers=not self._gpu_only,
            cuda_graph=is_true(self._cell.options.get("trt_cuda_graph_enable", "")),
        )

    def _serve(self, request: EngineRun) -> ProgramLog:
        return self._execute(run_command(self._program, request), self._launch_dir)

    def _fresh(self, name: str) -> Path:
        """A file for trtexec to write, where none of an earlier run is left."""
        file = self._launch_dir / name
        file.unlink(missing_ok=True)
        return file

    def _write_inputs(self, feed: Tensors) -> Mapping[str, str]:
        """The feed as files of raw values, by names that trtexec's lists can hold; written once per feed."""
        for written, files in self._written:
            if written is feed:
                return files
        files = {}
        arrays = dtypes.to_engine_inputs(feed, native_int64=self._program.version >= (10,))
        for i, (name, array) in enumerate(arrays.items()):
            files[name] = f"input_{len(self._written)}_{i}.bin"
            (self._launch_dir / files[name]).write_bytes(array.tobytes())
        self._written.append((feed, files))
        return files

    def _timed(
        self,
        rows: Sequence[output.Iteration],
        runs_by_set: Sequence[int],
        warmups: int,
        window: tuple[float, float],
    ) -> Timed:
        def ns(part: str) -> tuple[int, ...]:
            return tuple(round(getattr(row, f"{part}_ms") * 1e6) for row in rows)

        return Timed(
            samples_ns=ns("compute" if self._gpu_only else "latency"),
            io=(Io.DEVICE if self._gpu_only else Io.HOST).value,
            sets=len(runs_by_set),
            warmup=warmups,
            floor_ns=0,  # events on the device's clock: no clock pair of the host is in a sample
            run_delay_ns=None,
            throttled_us=None,
            synchronised=True,
            begun_s=window[0],
            ended_s=window[1],
            gpu_only=self._gpu_only,
            parts_ns={} if self._gpu_only else {p: ns(p) for p in ("h2d", "compute", "d2h")},
            runs_by_set=tuple(runs_by_set),
        )


def _share_of_set(cell: Cell, sets: int) -> tuple[int, int]:
    """Requests and whole seconds per set."""
    if cell.protocol.runs is not None:
        return math.ceil(cell.protocol.runs / sets), 0
    return math.ceil(_FEWEST / sets), math.ceil(cell.protocol.min_time_s / sets)


def _timed_window(log: ProgramLog) -> tuple[float, float]:
    """When its timed loop ran, by the lines it prints around it; (0, 0) where they are missing."""
    begun, ended = log.time_of("Starting inference"), log.time_of("Warmup completed")
    if begun is None or ended is None or ended <= begun + WARM_UP_MS / 1000:
        return 0.0, 0.0
    return begun + WARM_UP_MS / 1000, ended


def _read(file: Path, what: str) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise output.BadOutputError(f"trtexec ended well and wrote no {what} file") from None
