"""A cell's session with a TensorRT Python package: pinned copies, one stream, events, our own timed loop."""

import contextlib
import importlib
import importlib.util
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perf.backends import Tensors, Unsupported
from perf.backends._tensorrt import builder, engine_cache, onnx_header
from perf.backends._tensorrt.cuda_runtime import Cuda
from perf.backends._tensorrt.onnx_header import Header
from perf.backends._tensorrt.values import (
    array_type,
    fed,
    first_feed,
    model_for,
    onnx_name,
    profiles_for,
)
from perf.machine.gpus import device_ordinal
from perf.schema.cell import Cell, Io
from perf.schema.journal import Placement, PrecisionEvidence, Timed

if TYPE_CHECKING:
    import numpy as np

_PROFILED_RUNS = 10


class EngineFailedError(Exception):
    """The runtime refused the engine or a run of it; the message is what it said."""


@contextlib.contextmanager
def opened(
    cell: Cell,
    launch_dir: Path,
    packages: Sequence[str],
    load: Callable[[str], Any] = importlib.import_module,
) -> Iterator["PackageSession"]:
    """Build or load the engine with the first of these packages that is there; Unsupported for none."""
    trt, runtime = first_importable(packages, load), cuda_runtime(load)
    cuda = Cuda(runtime, device_ordinal(cell.device, os.environ.get("CUDA_VISIBLE_DEVICES")))
    try:
        heard = builder.Heard(trt)
        model = model_for(cell, builder.weakly_typed(trt))
        header = onnx_header.read(Path(model))
        plan, cached = load_or_build_plan(cell, launch_dir, trt, heard, model, header)
        engine = trt.Runtime(heard.logger).deserialize_cuda_engine(plan)
        if engine is None:
            raise EngineFailedError(heard.problem() or "the engine could not be read")
        session = PackageSession(cell, trt, cuda, engine, header)
        session.cached = cached
        yield session
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

    def __init__(self, cell: Cell, trt: Any, cuda: Cuda, engine: Any, header: Header) -> None:
        self.cached: bool | None = None
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
        self._request(bound, None)
        out = {t.name: t.host for t in bound.outputs}
        return {v.name: _declared(out[v.name], v.onnx_type) for v in self._header.outputs}

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> Timed:
        """Samples of requests from host to host; with io=device of compute alone, by the device's clock.

        Each request leaves its events behind, which are read when all are done: reading takes its own time.
        """
        from perf.measure import timing

        if cell.options.get("trt_cuda_graph_enable", "").lower() in ("1", "true"):
            raise Unsupported("CUDA graphs need trtexec; leave trt_cuda_graph_enable out")
        alone = cell.io is Io.DEVICE
        bound = [self._bind(f) for f in feeds]
        most = (cell.protocol.runs or timing.MOST) + max(cell.protocol.warmup, len(feeds))
        unused = [tuple(self._cuda.event() for _ in range(4)) for _ in range(most)]
        used: list[tuple[Any, ...]] = []

        def run(i: int) -> None:
            events = unused.pop()
            (self._compute if alone else self._request)(bound[i], events)
            used.append(events)

        for b in bound:
            self._copy_in(b)
        self._cuda.synchronise()
        timed = timing.time_runs(run, len(feeds), cell.protocol, cell.io.value, synchronised=True)
        kept = used[len(used) - len(timed.samples_ns) :]
        compute = tuple(self._cuda.elapsed_ns(e[1], e[2]) for e in kept)
        if alone:
            return replace(timed, samples_ns=compute, gpu_only=True)
        h2d = tuple(self._cuda.elapsed_ns(e[0], e[1]) for e in kept)
        d2h = tuple(self._cuda.elapsed_ns(e[2], e[3]) for e in kept)
        return replace(timed, parts_ns={"h2d": h2d, "compute": compute, "d2h": d2h})

    def placement(self) -> Placement | None:
        """There is one engine, and nothing beside it."""
        return None

    def precision_evidence(self) -> PrecisionEvidence | None:
        """What the engine's layers run in, by its inspector, and for how long, by its profiler."""
        if not self._cell.profile:
            return None
        from perf.measure import layer_precision

        self._activate(self._bind(first_feed(self._cell)))
        inspector = self._engine.create_engine_inspector()
        inspector.execution_context = self._context  # so that dynamic shapes have formats
        told = inspector.get_engine_information(self._trt.LayerInformationFormat.JSON)
        try:
            return layer_precision.precision_of_engine(
                told,
                json.dumps(
                    [{"name": n, "averageMs": ms} for n, ms in self._layer_times().items()]
                ),
                self._cell.target.precision.value,
                builder.regime(self._trt, self._cell.target.precision),
                tf32=self._cell.tf32,
            )
        except ValueError as e:
            print(f"precision not attested: {e}", flush=True)
            return None

    def _bind(self, feed: Tensors) -> _Bound:
        """Buffers for a feed; raises Unsupported for an output whose shape depends on values."""
        arrays = fed(feed, native_int64=hasattr(self._trt.DataType, "INT64"))
        inputs = []
        for name in self._inputs:
            if name not in arrays:
                raise Unsupported(f"the engine wants an input {name!r} that is not fed")
            array = arrays[name]
            if not self._context.set_input_shape(name, tuple(array.shape)):
                raise EngineFailedError(
                    f"input {name!r} of shape {tuple(array.shape)} is outside the profile"
                )
            host = self._cuda.pinned(array.shape, self._type(name))
            host[...] = array
            inputs.append(_Tensor(name, host, self._cuda.device(host.nbytes)))
        self._active = None  # the context's shapes are now this feed's, its addresses are not
        return _Bound(tuple(inputs), tuple(self._output(n) for n in self._outputs))

    def _output(self, name: str) -> _Tensor:
        shape = tuple(self._context.get_tensor_shape(name))
        if any(n < 0 for n in shape):
            raise Unsupported(
                f"output {name!r} has a shape that depends on values; trtexec can run it"
            )
        host = self._cuda.pinned(shape, self._type(name))
        return _Tensor(name, host, self._cuda.device(host.nbytes))

    def _type(self, name: str) -> Any:
        return array_type(self._engine.get_tensor_dtype(name).name)

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

    def _request(self, bound: _Bound, events: Sequence[Any] | None) -> None:
        """Copy in, compute, copy out, and wait; with four events around the three."""
        self._activate(bound)
        self._mark(events, 0)
        self._copy_in(bound)
        self._mark(events, 1)
        self._enqueue()
        self._mark(events, 2)
        for t in bound.outputs:
            self._cuda.copy_out(t.host, t.device)
        self._mark(events, 3)
        self._cuda.synchronise()

    def _compute(self, bound: _Bound, events: Sequence[Any] | None) -> None:
        self._activate(bound)
        self._mark(events, 1)
        self._enqueue()
        self._mark(events, 2)
        self._cuda.synchronise()

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


def _declared(array: "np.ndarray", onnx_type: int) -> "np.ndarray":
    """The output in the model's own type: before TensorRT 10 int64 comes as int32."""
    name = onnx_name(onnx_type)
    return array.copy() if name == "bfloat16" else array.astype(name)


def load_or_build_plan(
    cell: Cell, folder: Path, trt: Any, heard: builder.Heard, model: str, header: Header
) -> tuple[bytes, bool]:
    """The serialized engine, built under its lock where it is not cached yet."""
    shapes = profiles_for(cell, header)
    cache = Path(cell.cache) if cell.cache else folder
    maker = f"{trt.__name__} {trt.__version__}"
    file = engine_cache.engine_file(cell, cache, maker, model, shapes)
    with engine_cache.locked(file):
        if file.exists():
            return file.read_bytes(), True
        timings = engine_cache.timing_cache(cell, file, cell.options)
        recipe = builder.Recipe(
            model=model,
            precision=cell.target.precision,
            tf32=cell.tf32,
            profiles=shapes,
            workspace_bytes=int(cell.options.get("trt_max_workspace_size", "0")),
            optimization_level=int(cell.options.get("trt_builder_optimization_level", "-1")),
            timing_cache=timings.read_bytes() if timings.exists() else b"",
        )
        built = builder.build(trt, recipe, heard)
        with engine_cache.made_aside(file) as aside:
            aside.write_bytes(built.engine)
        with engine_cache.made_aside(timings) as aside:
            aside.write_bytes(built.timing_cache)
        return built.engine, False


def first_importable(packages: Sequence[str], load: Callable[[str], Any]) -> Any:
    """The first of these packages that is there; raises Unsupported for none."""
    for name in packages:
        with contextlib.suppress(ModuleNotFoundError):
            return load(name)
    raise Unsupported(f"neither trtexec nor one of the packages {', '.join(packages)} is there")


def cuda_runtime(load: Callable[[str], Any]) -> Any:
    """cuda-bindings' runtime module; raises Unsupported where it is not."""
    try:
        return load("cuda.bindings.runtime")
    except ModuleNotFoundError:
        raise Unsupported(
            "cuda-bindings is not there; add cuda-bindings==VERSION to the requirements of the environment"
        ) from None
