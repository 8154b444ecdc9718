"""A cell's session with a TensorRT Python package: pinned copies, one stream, events, our own timed loop."""

import contextlib
import importlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perf.backends import Tensors, Unsupported
from perf.backends._tensorrt import builder, dtypes, engine_cache, onnx_header
from perf.backends._tensorrt.cuda_runtime import Cuda
from perf.backends._tensorrt.onnx_header import Header
from perf.machine.gpus import device_ordinal
from perf.measure import layer_precision, timing
from perf.schema import atomic_file
from perf.schema.cell import Cell, Io
from perf.schema.journal import Placement, PrecisionEvidence

if TYPE_CHECKING:
    import numpy as np

_PROFILED_RUNS = 10


class EngineFailedError(Exception):
    """The runtime refused the engine or a run of it; the message is what it said."""


@contextlib.contextmanager
def open_session(
    cell: Cell, launch_dir: Path, packages: Sequence[str]
) -> Iterator["PackageSession"]:
    """Build or load the engine with the first of these packages that is there; Unsupported for none."""
    trt, runtime = import_tensorrt(packages), import_cuda_runtime()
    cuda = Cuda(runtime, device_ordinal(cell.device, os.environ.get("CUDA_VISIBLE_DEVICES")))
    try:
        log = builder.TrtLog(trt)
        model = engine_cache.model_for(cell, builder.weakly_typed(trt))
        header = onnx_header.read(Path(model))
        plan, cached = load_or_build_plan(cell, launch_dir, trt, log, model, header)
        engine = trt.Runtime(log.logger).deserialize_cuda_engine(plan)
        if engine is None:
            raise EngineFailedError(log.errors_text() or "the engine could not be read")
        yield PackageSession(cell, trt, cuda, engine, header, cached)
    finally:
        cuda.close()


@dataclass(frozen=True)
class _Tensor:
    """One tensor of an engine for one feed: its pinned host array and its device memory."""

    name: str
    host: "np.ndarray"
    device: int


@dataclass(frozen=True)
class _Bound:
    """A feed laid out for the engine."""

    inputs: tuple[_Tensor, ...]
    outputs: tuple[_Tensor, ...]


class PackageSession:
    """Satisfies perf.backends.Session."""

    def __init__(
        self, cell: Cell, trt: Any, cuda: Cuda, engine: Any, header: Header, cached: bool
    ) -> None:
        self.cached: bool | None = cached
        self.versions = {str(trt.__name__): str(trt.__version__)}
        self._cell, self._trt, self._cuda, self._engine = cell, trt, cuda, engine
        self._header = header
        self._context = engine.create_execution_context()
        if self._context is None:
            raise EngineFailedError("no execution context could be made")
        self._active: _Bound | None = None
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        modes = {n: engine.get_tensor_mode(n) for n in names}
        self._inputs = [n for n in names if modes[n] == trt.TensorIOMode.INPUT]
        self._outputs = [n for n in names if modes[n] == trt.TensorIOMode.OUTPUT]

    def infer(self, feed: Tensors) -> Tensors:
        """One run, host to host."""
        bound = self._bind(feed)
        self._run_request(bound, None)
        return self._outputs_of(bound)

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> timing.TimedRuns:
        """Samples of requests from host to host; with io=device of compute alone, by the device's clock.

        Each request leaves its events behind, which are read when all are done: reading takes its own time.
        """
        if cell.options.get("trt_cuda_graph_enable", "").lower() in ("1", "true"):
            raise Unsupported("CUDA graphs need trtexec; leave trt_cuda_graph_enable out")
        compute_only = cell.io is Io.DEVICE
        run_request = self._run_compute if compute_only else self._run_request
        bound = [self._bind(f) for f in feeds]
        most = (cell.protocol.runs or timing.MOST) + max(cell.protocol.warmup, len(feeds))
        unused = [tuple(self._cuda.event() for _ in range(4)) for _ in range(most)]
        used: list[tuple[Any, ...]] = []

        def run(i: int) -> _Bound:
            used.append(unused.pop())
            run_request(bound[i], used[-1])
            return bound[i]

        def read_outputs(b: _Bound) -> Tensors:
            if compute_only:
                self._copy_out(b)
                self._cuda.synchronise()
            return self._outputs_of(b)

        for b in bound:
            self._copy_in(b)
        self._cuda.synchronise()
        runs = timing.time_runs(run, read_outputs, len(feeds), cell, synchronised=True)
        timed = runs.timed
        events = used[len(used) - len(timed.samples_ns) :]
        compute = self._elapsed_ns(events, 1)
        if compute_only:
            return replace(runs, timed=replace(timed, samples_ns=compute, gpu_only=True))
        h2d, d2h = self._elapsed_ns(events, 0), self._elapsed_ns(events, 2)
        parts = {"h2d": h2d, "compute": compute, "d2h": d2h}
        return replace(runs, timed=replace(timed, parts_ns=parts))

    def placement(self) -> Placement | None:
        """There is one engine, and nothing beside it."""
        return None

    def precision_evidence(self) -> PrecisionEvidence | None:
        """What the engine's layers run in, by its inspector, and for how long, by its profiler."""
        if not self._cell.profile:
            return None
        self._activate(self._bind(engine_cache.first_feed(self._cell)))
        inspector = self._engine.create_engine_inspector()
        inspector.execution_context = self._context  # so that dynamic shapes have formats
        times = [{"name": n, "averageMs": ms} for n, ms in self._layer_times().items()]
        info = inspector.get_engine_information(self._trt.LayerInformationFormat.JSON)
        regime = builder.typing_regime(self._trt, self._cell.target.precision)
        return layer_precision.evidence_of_engine(info, json.dumps(times), self._cell, regime)

    def _bind(self, feed: Tensors) -> _Bound:
        """Buffers for a feed; raises Unsupported for an output whose shape depends on values."""
        arrays = dtypes.to_engine_inputs(feed, native_int64=hasattr(self._trt.DataType, "INT64"))
        inputs: list[_Tensor] = []
        for name in self._inputs:
            if name not in arrays:
                raise Unsupported(f"the engine wants an input {name!r} that is not fed")
            array = arrays[name]
            if not self._context.set_input_shape(name, tuple(array.shape)):
                raise EngineFailedError(
                    f"input {name!r} of shape {tuple(array.shape)} is outside the profile"
                )
            inputs.append(self._allocate(name, array.shape))
            inputs[-1].host[...] = array
        self._active = None  # the context's shapes are now this feed's, its addresses are not
        return _Bound(tuple(inputs), tuple(self._output(n) for n in self._outputs))

    def _output(self, name: str) -> _Tensor:
        shape = tuple(self._context.get_tensor_shape(name))
        if any(n < 0 for n in shape):
            raise Unsupported(
                f"output {name!r} has a shape that depends on values; trtexec can run it"
            )
        return self._allocate(name, shape)

    def _allocate(self, name: str, shape: Sequence[int]) -> _Tensor:
        kind = dtypes.numpy_of_engine_type(self._engine.get_tensor_dtype(name).name)
        host = self._cuda.pinned(shape, kind)
        return _Tensor(name, host, self._cuda.device(host.nbytes))

    def _activate(self, bound: _Bound) -> None:
        if self._active is bound:
            return
        for t in bound.inputs:
            self._context.set_input_shape(t.name, tuple(t.host.shape))
        for t in (*bound.inputs, *bound.outputs):
            self._context.set_tensor_address(t.name, t.device)
        self._active = bound

    def _copy_in(self, bound: _Bound) -> None:
        for t in bound.inputs:
            self._cuda.copy_in(t.device, t.host)

    def _copy_out(self, bound: _Bound) -> None:
        for t in bound.outputs:
            self._cuda.copy_out(t.host, t.device)

    def _outputs_of(self, bound: _Bound) -> dict[str, "np.ndarray"]:
        """What lies in a feed's host arrays, in the model's order and types (TensorRT 8: int64 as int32)."""
        host = {t.name: t.host for t in bound.outputs}
        names = {v.name: dtypes.name_of_onnx_type(v.onnx_type) for v in self._header.outputs}
        return {n: host[n].astype("uint16" if k == "bfloat16" else k) for n, k in names.items()}

    def _run_request(self, bound: _Bound, events: Sequence[Any] | None) -> None:
        """Copy in, compute, copy out, and wait; with four events around the three."""
        self._activate(bound)
        self._mark(events, 0)
        self._copy_in(bound)
        self._mark(events, 1)
        self._enqueue()
        self._mark(events, 2)
        self._copy_out(bound)
        self._mark(events, 3)
        self._cuda.synchronise()

    def _run_compute(self, bound: _Bound, events: Sequence[Any] | None) -> None:
        self._activate(bound)
        self._mark(events, 1)
        self._enqueue()
        self._mark(events, 2)
        self._cuda.synchronise()

    def _elapsed_ns(self, events: Sequence[Sequence[Any]], part: int) -> tuple[int, ...]:
        return tuple(self._cuda.elapsed_ns(e[part], e[part + 1]) for e in events)

    def _mark(self, events: Sequence[Any] | None, which: int) -> None:
        if events:
            self._cuda.record(events[which])

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._cuda.stream):
            raise EngineFailedError("the engine refused to run; its reason is in the log")

    def _layer_times(self) -> Mapping[str, float]:
        """Average ms per layer over a few profiled runs; the profiler slows runs, so none is timed after."""
        totals: dict[str, float] = {}

        class Profiler(self._trt.IProfiler):  # type: ignore[misc, name-defined]
            def __init__(self, base: Any) -> None:
                base.__init__(self)

            def report_layer_time(self, layer_name: str, ms: float) -> None:
                totals[layer_name] = totals.get(layer_name, 0.0) + ms / _PROFILED_RUNS

        profiler = Profiler(self._trt.IProfiler)
        self._context.profiler = profiler
        for _ in range(_PROFILED_RUNS):
            self._enqueue()
            self._cuda.synchronise()
        return totals


def load_or_build_plan(
    cell: Cell, launch_dir: Path, trt: Any, log: builder.TrtLog, model: str, header: Header
) -> tuple[bytes, bool]:
    """The serialized engine, built under its lock where it is not cached yet."""
    profiles = engine_cache.profiles_for(cell, header)
    maker = f"{trt.__name__} {trt.__version__}"
    file = engine_cache.engine_file(cell, launch_dir, maker, model, profiles)
    with engine_cache.hold_engine_lock(file):
        if file.exists():
            return file.read_bytes(), True
        timings = engine_cache.timing_cache(cell, file)
        request = builder.BuildRequest(
            model=model,
            precision=cell.target.precision,
            tf32=cell.tf32,
            profiles=profiles,
            workspace_bytes=int(cell.options.get("trt_max_workspace_size", "0")),
            optimization_level=int(cell.options.get("trt_builder_optimization_level", "-1")),
            timing_cache=timings.read_bytes() if timings.exists() else b"",
        )
        plan, timing_cache = builder.build(trt, request, log)
        atomic_file.write_bytes(file, plan, durable=False)
        atomic_file.write_bytes(timings, timing_cache, durable=False)
        return plan, False


def import_tensorrt(packages: Sequence[str]) -> Any:
    """The first of these packages that is there; raises Unsupported for none."""
    for name in packages:
        with contextlib.suppress(ModuleNotFoundError):
            return importlib.import_module(name)
    raise Unsupported(f"neither trtexec nor one of the packages {', '.join(packages)} is there")


def import_cuda_runtime() -> Any:
    """cuda-bindings' runtime module; raises Unsupported where it is not."""
    try:
        return importlib.import_module("cuda.bindings.runtime")
    except ModuleNotFoundError:
        raise Unsupported(
            "cuda-bindings is not there; add cuda-bindings==VERSION to the requirements of the environment"
        ) from None
