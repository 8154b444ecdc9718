"""A session of ONNX Runtime, opened for one cell on whichever provider a backend names."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from perf.backends import DeviceMemoryExhausted, Tensors, Unsupported
from perf.backends._ort import values
from perf.conversion import engine_errors
from perf.measure import flat_values, layer_precision, ort_values, placement
from perf.measure.timing import TimedRuns, time_runs
from perf.schema.cell import Cell, Io, Precision
from perf.schema.journal import Placement, PrecisionEvidence

if TYPE_CHECKING:
    import numpy as np

CPU = "CPUExecutionProvider"
ARENA = "use_arena"  # its one option, 0 or 1
NO_GRAPH = -1  # ORT's number for a run outside any graph

Providers: TypeAlias = Sequence[tuple[str, Mapping[str, str]]]

# Engines' own words for memory that ran out; ORT has no exception class or code for it.
_DEVICE_MEMORY = re.compile(
    r"CUDA(_ERROR_OUT_OF_MEMORY| failure 2\b|.{0,40}out of memory)|CU(BLAS|DNN)_STATUS_ALLOC_FAILED"
    r"|OutOfMemory|out of device memory",
    re.I | re.S,
)
_ANY_MEMORY = re.compile(
    r"Failed to allocate memory|bad_alloc|Available memory of \d+ is smaller", re.I
)


class ModelTooNew(Exception):
    """A model of a later ONNX than this ONNX Runtime reads; the message says what to do."""


class UnknownOp(Exception):
    """An op that no library registers; the message says what to do."""


@dataclass(frozen=True)
class SessionSpec:
    """How a backend wants its sessions: the model's file, the providers, where device tensors live."""

    model: str
    providers: Providers  # empty: `devices` are added to the session's options instead
    device: str = "cpu"  # ORT's name of the memory that io=device binds to; "": it has none
    device_id: int = 0
    cached: bool | None = None
    devices: Sequence[Any] = ()  # OrtEpDevice of a plug-in
    device_options: Mapping[str, str] = field(default_factory=dict)
    typed: bool = False  # kernels compute in their tensors' types: a profile proves the precision


def create_session(cell: Cell, spec: SessionSpec, profile_prefix: Path | None = None) -> Any:
    """An InferenceSession; with assignment recorded where the cell is to be profiled (a check launch)."""
    import onnxruntime as ort

    options = session_options(cell)
    if profile_prefix is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile_prefix)
    if spec.devices:
        options.add_provider_for_devices(list(spec.devices), dict(spec.device_options))
        return ort.InferenceSession(spec.model, options, enable_fallback=0)
    providers = [(name, dict(given)) for name, given in spec.providers]
    session = ort.InferenceSession(spec.model, options, providers=providers, enable_fallback=0)
    session.disable_fallback()  # a failing run too is reported, not repeated on another provider
    return session


def session_options(cell: Cell) -> Any:
    """SessionOptions of a cell; raises Unsupported where this ORT lacks what the cell needs."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    named = cell.graph_optimization.upper()
    level_name = "ORT_DISABLE_ALL" if named == "DISABLE" else f"ORT_ENABLE_{named}"
    if (level := getattr(ort.GraphOptimizationLevel, level_name, None)) is None:
        raise Unsupported(
            f"onnxruntime {ort.__version__} has no optimisation level {cell.graph_optimization}"
        )
    options.graph_optimization_level = level
    # left to itself, ORT makes a thread for each core of the machine and pins it there, affinity or not
    threads = cell.protocol.intra_op_threads or len(cell.protocol.affinity)
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = cell.protocol.inter_op_threads
    if cell.protocol.inter_op_threads > 1:
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL  # else ORT ignores the number
    if cell.provider == CPU:  # it takes no provider options: this is the session's
        options.enable_cpu_mem_arena = cell.options.get(ARENA, "1") != "0"
    for key, value in cell.session_config.items():
        options.add_session_config_entry(key, value)
    for library in cell.model.custom_ops:
        options.register_custom_ops_library(library)
    if cell.profile and hasattr(ort.InferenceSession, "get_provider_graph_assignment_info"):
        options.add_session_config_entry(placement.RECORD, "1")
    return options


def graph_options(number: int) -> Any:
    """RunOptions of a session that captures: which graph a run captures or replays; NO_GRAPH: none."""
    import onnxruntime as ort

    options = ort.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(number))
    return options


class OrtSession:
    """A loaded model; satisfies perf.backends.Session."""

    def __init__(self, session: Any, cell: Cell, launch_dir: Path, spec: SessionSpec) -> None:
        self._session, self._cell, self._launch_dir, self._spec = session, cell, launch_dir, spec
        self._output_types = {o.name: str(o.type) for o in session.get_outputs()}
        self._input_types = {i.name: str(i.type) for i in session.get_inputs()}
        types = (*self._input_types.values(), *self._output_types.values())
        self._coded = any(ort_values.NO_NUMPY.search(t) for t in types)
        self._last_feed: Tensors | None = None
        self._profile: Path | None = None
        self.cached = spec.cached

    @classmethod
    @contextlib.contextmanager
    def open(cls, cell: Cell, launch_dir: Path, spec: SessionSpec) -> Iterator[Self]:
        """Create the session, with no second try on another provider; the engine's errors are raised."""
        with translate_errors(spec.device):
            session = create_session(cell, spec)
        yield cls(session, cell, launch_dir, spec)

    def infer(self, feed: Tensors) -> Tensors:
        """One run, host to host; sequences and maps come as flat_values tells them."""
        self._last_feed = feed
        with translate_errors(self._spec.device):
            return self._name_outputs(self._host_runner([feed])(0))

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
        """Samples of runs from host to host, or between buffers bound to the device."""
        self._refuse_fallback()
        sets = len(feeds)
        with translate_errors(self._spec.device):
            run = self.runner(feeds, cell)
            if cell.io is Io.HOST:
                return time_runs(run, self._name_outputs, sets, cell, synchronised=True)
            if self._coded and self._spec.device != "cpu":
                runs = time_runs(run, lambda _: {}, sets, cell, synchronised=True)
                return replace(runs, no_outputs="onnxruntime copies no such type from a device")
            return time_runs(run, self._bound_outputs, sets, cell, synchronised=True)

    def runner(self, feeds: Sequence[Tensors], cell: Cell) -> Callable[[int], Any]:
        """run(i), as it is timed: of feed i, from host to host or between bound tensors, ended on return."""
        return self._host_runner(feeds) if cell.io is Io.HOST else self._bound_runner(feeds)

    def placement(self) -> Placement | None:
        """The assignment that ORT recorded, with time shares from a second, profiled session."""
        if not self._cell.profile:
            return None
        recorded = placement.placement_from_session(self._session)
        if self._last_feed is None:
            return recorded
        try:
            profile = self._profile_run(self._last_feed)
        except (DeviceMemoryExhausted, MemoryError):
            if recorded is None:
                raise
            return recorded  # no room for a second session: shares of nodes, none of time
        if (
            recorded is None or not recorded.nodes
        ):  # ORT records no assignment of its own .ort format
            profiled = placement.placement_from_profile(profile)
            recorded = recorded if recorded and not profiled.nodes else profiled
        return replace(
            recorded,
            host_time_us=placement.host_times(profile),
            partition_us=placement.partition_times(profile),
        )

    def precision_evidence(self) -> PrecisionEvidence | None:
        """Of a converted model, by the types of the tensors of its kernels in the profiled run."""
        precision = self._cell.target.precision
        if not self._spec.typed or precision is Precision.FP32 or self._profile is None:
            return None
        return layer_precision.precision_of_profile(
            self._profile.read_text(encoding="utf-8"), precision.value, "converted model"
        )

    def _refuse_fallback(self) -> None:
        """A session without the cell's provider (its library did not load) has no latency to tell."""
        provider = self._cell.provider
        if provider and provider not in self._session.get_providers():
            raise RuntimeError(
                f"{provider} is not in the session ({', '.join(self._session.get_providers())}): "
                "ORT could not load it, for the reason in output.log"
            )

    def _profile_run(self, feed: Tensors) -> Path:
        with translate_errors(self._spec.device):
            session = create_session(self._cell, self._spec, self._launch_dir / "profile")
            run = OrtSession(session, self._cell, self._launch_dir, self._spec)._host_runner(
                [feed]
            )
            run(0)
            run(0)  # the second is looked at: the first allocates and tunes
            self._profile = Path(session.end_profiling())
            return self._profile

    def _host_runner(self, feeds: Sequence[Tensors]) -> Callable[[int], Sequence[Any]]:
        """run(i) -> list of outputs, from host to host."""
        names = list(self._output_types)
        grouped = [self._group_sequences(f) for f in feeds]
        if self._coded:
            # numpy has no such types: OrtValues in and out (some 30 µs a call more than arrays)
            run_values = self._session.run_with_ort_values
            held = [values.values_of_feed(f) for f in grouped]
            return lambda i: run_values(names, held[i])
        run = self._session.run
        if self._cell.cuda_graph:  # this run is of none: its tensors do not stay where they are
            plain = graph_options(NO_GRAPH)
            return lambda i: run(names, grouped[i], plain)
        return lambda i: run(names, grouped[i])

    def _bound_runner(self, feeds: Sequence[Tensors]) -> Callable[[int], Any]:
        """run(i) -> its binding, between tensors bound to the device, which is done when it returns."""
        where, number = self._spec.device, self._spec.device_id
        if not where:
            raise Unsupported("ORT binds no tensors in this plug-in's memory: use -b off")
        bindings = []
        for feed in feeds:
            binding = self._session.io_binding()
            for name, array in self._group_sequences(feed).items():
                binding.bind_ortvalue_input(
                    name, values.to_device_value(name, array, where, number)
                )
            for name, kind in self._output_types.items():
                if not kind.startswith("tensor("):
                    raise Unsupported(f"output {name!r} is {kind}: use -b off")
                on_host = "string" in kind
                binding.bind_output(name, "cpu" if on_host else where, 0 if on_host else number)
            binding.synchronize_inputs()
            bindings.append(binding)
        run_bound = self._session.run_with_iobinding

        def run(i: int) -> Any:
            run_bound(bindings[i])
            bindings[i].synchronize_outputs()
            return bindings[i]

        return run

    def _bound_outputs(self, binding: Any) -> dict[str, "np.ndarray"]:
        return self._name_outputs(binding.get_outputs())

    def _group_sequences(self, feed: Tensors) -> dict[str, Any]:
        return flat_values.group_inputs(self._input_types, feed)

    def _name_outputs(self, outputs: Sequence[Any]) -> dict[str, "np.ndarray"]:
        try:
            return flat_values.name_outputs(self._output_types, outputs, ort_values.to_array)
        except flat_values.NotFlatError as e:
            raise Unsupported(str(e)) from e


@contextlib.contextmanager
def translate_errors(device: str) -> Iterator[None]:
    """Tell an engine's errors by their class: memory of device or host, a model too new, an unknown op."""
    try:
        yield
    except Exception as e:  # ORT's exceptions have no common base but this one
        text = str(e)
        if _DEVICE_MEMORY.search(text) or (device != "cpu" and _ANY_MEMORY.search(text)):
            raise DeviceMemoryExhausted(text) from e
        if _ANY_MEMORY.search(text):
            raise MemoryError(text) from e
        if too_new := engine_errors.explain_too_new(text):
            raise ModelTooNew(too_new) from e
        if unknown := engine_errors.explain_unknown_op(text):
            raise UnknownOp(unknown) from e
        raise
