"""A session of ONNX Runtime, opened for one cell on whichever provider a backend names."""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from perf.backends import DeviceMemoryExhausted, ProbeResult, Tensors, Unsupported
from perf.backends._ort import values as ort_values
from perf.schema.cell import Cell, Io, Precision
from perf.schema.journal import Placement, PrecisionEvidence, Timed

if TYPE_CHECKING:
    import numpy as np

Providers: TypeAlias = Sequence[tuple[str, Mapping[str, str]]]

LEVELS = {
    "disable": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "layout": "ORT_ENABLE_LAYOUT",
    "all": "ORT_ENABLE_ALL",
}
# Engines' own words for memory that ran out; ORT has no exception class or code for it.
_DEVICE_MEMORY = re.compile(
    r"CUDA(_ERROR_OUT_OF_MEMORY| failure 2\b|.{0,40}out of memory)|CU(BLAS|DNN)_STATUS_ALLOC_FAILED"
    r"|OutOfMemory|out of device memory",
    re.I | re.S,
)
_NO_NUMPY = re.compile(r"bfloat16|float[48]|int[42]\b")
_ANY_MEMORY = re.compile(
    r"Failed to allocate memory|bad_alloc|Available memory of \d+ is smaller", re.I
)


_TOO_NEW = (
    re.compile(r"Unsupported model (IR version): (\d+), max supported IR version: (\d+)"),
    re.compile(r"(Opset) (\d+) is under development.* for domain \S+ is till opset (\d+)", re.S),
)


class ModelTooNew(Exception):
    """A model of a later ONNX than this ONNX Runtime reads; the message says what to do."""


@dataclass(frozen=True)
class Opening:
    """How a backend wants its sessions: the model's file, the providers, where device tensors live."""

    model: str
    providers: Providers  # empty: `devices` are added to the session's options instead
    device: str = "cpu"  # ORT's name of the memory that io=device binds to; "": it has none
    device_id: int = 0
    cached: bool | None = None
    devices: Sequence[Any] = ()  # OrtEpDevice of a plug-in
    device_options: Mapping[str, str] = field(default_factory=dict)
    typed: bool = False  # kernels compute in their tensors' types: a profile proves the precision


@contextlib.contextmanager
def open_session(cell: Cell, launch_dir: Path, opening: Opening) -> Iterator["OrtSession"]:
    """Create the session, with no second try on another provider; the engine's errors are raised."""
    with translate_errors(opening.device):
        session = create_session(cell, opening, None)
    yield OrtSession(session, cell, launch_dir, opening)


def create_session(cell: Cell, opening: Opening, profile_prefix: Path | None) -> Any:
    """An InferenceSession; with assignment recorded where the cell is to be profiled (a check launch)."""
    import onnxruntime as ort

    options = session_options(cell)
    if profile_prefix is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile_prefix)
    if opening.devices:
        options.add_provider_for_devices(list(opening.devices), dict(opening.device_options))
        return ort.InferenceSession(opening.model, options, enable_fallback=0)
    providers = [(name, dict(given)) for name, given in opening.providers]
    session = ort.InferenceSession(opening.model, options, providers=providers, enable_fallback=0)
    session.disable_fallback()  # a failing run too is reported, not repeated on another provider
    return session


def session_options(cell: Cell) -> Any:
    """SessionOptions of a cell; raises Unsupported where this ORT lacks what was asked for."""
    import onnxruntime as ort

    from perf.measure import placement

    options = ort.SessionOptions()
    level = getattr(ort.GraphOptimizationLevel, LEVELS[cell.graph_optimization], None)
    if level is None:
        raise Unsupported(
            f"onnxruntime {ort.__version__} has no optimisation level {cell.graph_optimization}"
        )
    options.graph_optimization_level = level
    options.intra_op_num_threads = cell.protocol.intra_op_threads
    options.inter_op_num_threads = cell.protocol.inter_op_threads
    if cell.protocol.inter_op_threads > 1:
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL  # else ORT ignores the number
    for key, value in cell.session_config.items():
        options.add_session_config_entry(key, value)
    if cell.profile and hasattr(ort.InferenceSession, "get_provider_graph_assignment_info"):
        options.add_session_config_entry(placement.RECORD, "1")
    return options


class OrtSession:
    """A loaded model; satisfies perf.backends.Session."""

    def __init__(self, session: Any, cell: Cell, launch_dir: Path, opening: Opening) -> None:
        self._session = session
        self._cell = cell
        self._launch_dir = launch_dir
        self._opening = opening
        self._outputs = [o.name for o in session.get_outputs()]
        self._types = {i.name: str(i.type) for i in session.get_inputs()}
        types = (*self._types.values(), *(str(o.type) for o in session.get_outputs()))
        self._coded = any(_NO_NUMPY.search(t) for t in types)
        self._last_feed: Tensors | None = None
        self._profile: Path | None = None
        self.cached = opening.cached

    def infer(self, feed: Tensors) -> Tensors:
        """One run, host to host; a sequence output comes as its elements, `name[0]`, `name[1]`, …"""
        self._last_feed = feed
        with translate_errors(self._opening.device):
            return self._by_name(self._runner([feed])(0))

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> Timed:
        """Samples of runs from host to host, or between buffers bound to the device."""
        from perf.measure import timing

        self._refuse_fallback()
        device = cell.io is Io.DEVICE
        with translate_errors(self._opening.device):
            run = self._bound_runner(feeds) if device else self._runner(feeds)
            return timing.time_runs(
                run, len(feeds), cell.protocol, cell.io.value, synchronised=True
            )

    def placement(self) -> Placement | None:
        """The assignment that ORT recorded, with time shares from a second, profiled session."""
        from perf.measure import placement

        assigned = placement.placement_from_session(self._session) if self._cell.profile else None
        if self._last_feed is None or not self._cell.profile:
            return assigned
        try:
            profile = self._profiled(self._last_feed)
        except (DeviceMemoryExhausted, MemoryError):
            if assigned is None:
                raise
            return (
                assigned  # there was no room for a second session: shares of nodes, none of time
            )
        placed = assigned or placement.placement_from_profile(profile)
        return replace(
            placed,
            host_time_us=placement.host_times(profile),
            partition_us=placement.partition_times(profile),
        )

    def precision_evidence(self) -> PrecisionEvidence | None:
        """Of a converted model, by the types of the tensors of its kernels in the profiled run."""
        from perf.measure import layer_precision

        asked = self._cell.target.precision
        if not self._opening.typed or asked is Precision.FP32 or self._profile is None:
            return None
        return layer_precision.precision_of_profile(
            self._profile.read_text(encoding="utf-8"), asked.value, "converted model"
        )

    def _refuse_fallback(self) -> None:
        """A session without the provider asked for (its library did not load) has no latency to tell."""
        provider = self._cell.provider
        if provider and provider not in self._session.get_providers():
            raise RuntimeError(
                f"{provider} is not in the session ({', '.join(self._session.get_providers())}): "
                "ORT could not load it, for the reason in output.log"
            )

    def _profiled(self, feed: Tensors) -> Path:
        with translate_errors(self._opening.device):
            session = create_session(self._cell, self._opening, self._launch_dir / "profile")
            again = OrtSession(session, self._cell, self._launch_dir, self._opening)
            run = again._runner([feed])
            run(0)
            run(0)  # the second is looked at: the first allocates and tunes
            self._profile = Path(session.end_profiling())
            return self._profile

    def _runner(self, feeds: Sequence[Tensors]) -> Any:
        """run(i) -> list of outputs, from host to host."""
        names = self._outputs
        fed = [self._grouped(f) for f in feeds]
        if self._coded:
            # numpy has no such types: OrtValues in and out (some 30 µs a call more than arrays)
            run_values = self._session.run_with_ort_values
            values = [ort_values.values_of_feed(f) for f in fed]
            return lambda i: run_values(names, values[i])
        run = self._session.run
        return lambda i: run(names, fed[i])

    def _bound_runner(self, feeds: Sequence[Tensors]) -> Any:
        """run(i), between tensors bound to the device; the device is done when it returns."""
        where, number = self._opening.device, self._opening.device_id
        if not where:
            raise Unsupported("ORT binds no tensors in this plug-in's memory: use -b off")
        bindings = []
        for feed in feeds:
            binding = self._session.io_binding()
            for name, array in self._grouped(feed).items():
                binding.bind_ortvalue_input(
                    name, ort_values.to_device_value(name, array, where, number)
                )
            for output in self._session.get_outputs():
                if not str(output.type).startswith("tensor("):
                    raise Unsupported(f"output {output.name!r} is {output.type}: use -b off")
                on_host = "string" in str(output.type)
                binding.bind_output(
                    output.name, "cpu" if on_host else where, 0 if on_host else number
                )
            binding.synchronize_inputs()
            bindings.append(binding)
        run_bound = self._session.run_with_iobinding

        def run(i: int) -> None:
            run_bound(bindings[i])
            bindings[i].synchronize_outputs()

        return run

    def _grouped(self, feed: Tensors) -> dict[str, Any]:
        """The feed as ORT takes it: sequences as lists, an absent optional as None."""
        out: dict[str, Any] = {}
        for name, kind in self._types.items():
            if "seq(" in kind:
                element = re.compile(re.escape(name) + r"\[\d+\]")
                held = [a for n, a in feed.items() if element.fullmatch(n)]
                out[name] = held if held or kind.startswith("seq(") else None
            elif name in feed:
                out[name] = feed[name]
            elif kind.startswith("optional("):
                out[name] = None
        return out | {n: a for n, a in feed.items() if n not in out and not n.endswith("]")}

    def _by_name(self, outputs: Sequence[Any]) -> dict[str, "np.ndarray"]:
        out: dict[str, np.ndarray] = {}
        for name, value in zip(self._outputs, outputs, strict=True):
            if isinstance(value, list):
                out.update({f"{name}[{i}]": element for i, element in enumerate(value)})
            elif value is not None:  # an absent optional
                out[name] = ort_values.to_array(value)
        return out


@contextlib.contextmanager
def translate_errors(device: str) -> Iterator[None]:
    """Tell an engine's errors by their class: memory of the device or the host, a model that is too new."""
    try:
        yield
    except Exception as e:  # ORT's exceptions have no common base but this one
        text = str(e)
        if _DEVICE_MEMORY.search(text) or (device != "cpu" and _ANY_MEMORY.search(text)):
            raise DeviceMemoryExhausted(text) from e
        if _ANY_MEMORY.search(text):
            raise MemoryError(text) from e
        if too_new := next(filter(None, (p.search(text) for p in _TOO_NEW)), None):
            what, its, most = too_new.groups()
            raise ModelTooNew(
                f"the model is of ONNX {what} {its}, and this onnxruntime reads up to {most}: "
                f"use a newer onnxruntime, or export the model with an older one"
            ) from e
        raise


def missing_provider(found: ProbeResult, provider: str, remedy: str) -> str:
    """Why a provider cannot run where the probe looked, and what would fix it; "" where it can."""
    if provider in found.providers:
        return ""
    if error := found.errors.get("onnxruntime"):
        return f"onnxruntime cannot be imported there ({error}); it needs {remedy}"
    if not found.providers:
        return f"no onnxruntime there; it needs {remedy}"
    return f"the onnxruntime there is built without {provider}; it needs {remedy}"
