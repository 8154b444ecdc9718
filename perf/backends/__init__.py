"""The seam between the harness and engines: what a backend is, and how its one file is found."""

import functools
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Protocol, TypeAlias

from perf.measure.timing import TimedRuns
from perf.schema.cell import Cell, Precision
from perf.schema.journal import HostMemory, Placement, PrecisionEvidence
from perf.schema.model_form import Format, InputSpec, ModelForm

if TYPE_CHECKING:
    import numpy as np

Tensors: TypeAlias = Mapping[str, "np.ndarray"]
# before the names of options of the provider that runs what a backend's own leaves
FALLBACK_EP_PREFIX = "beneath."


class Unsupported(Exception):
    """This backend cannot serve this cell; the message is the reason, and the outcome Skipped."""


class DeviceMemoryExhausted(Exception):
    """An engine's own out-of-memory error, known as such by its backend."""


@dataclass(frozen=True)
class ProgramFacts:
    """What a session in a program of its own knows better than the worker that waits for it: its `facts`."""

    created_s: float
    first_run_s: float | None = None
    host_memory: HostMemory | None = None


class Session(Protocol):
    """A model loaded on a target; one that a program holds may have `facts: ProgramFacts`."""

    cached: bool | None  # an engine came from a cache; None: this backend builds none

    def infer(self, feed: Tensors) -> Tensors:
        """Run once, outputs by name on the host, in the order the model declares them."""
        ...

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
        """Warm up, run `cell.protocol` over the feeds in rotation, and return synchronised samples.

        The outputs of the first and the last timed run come with them, whole when this returns; an engine
        that times itself in a program of its own gives none, and says so in `no_outputs`.
        """
        ...

    def placement(self) -> Placement | None:
        """Where the nodes are; None: this engine cannot say."""
        ...

    def precision_evidence(self) -> PrecisionEvidence | None:
        """The precision that layers really run in; None: this engine cannot say."""
        ...


class Watched(Session, Protocol):
    """A session of a cell that is `watched`: its runs can be had one by one."""

    def runner(self, feeds: Sequence[Tensors], cell: Cell) -> Callable[[int], object]:
        """run(i), as `time` times it: of feed i, ended on the device when it returns."""
        ...


class Captured(Session, Protocol):
    """A session of a cell with `cuda_graph`."""

    def compare_replays(self, feed: Tensors) -> Iterator[tuple[str, Tensors, Tensors]]:
        """For several inputs: a name, the outputs of a replay, and those of a run without the graph."""
        ...


@dataclass(frozen=True)
class TargetSpec:
    """A name and a precision that a backend serves, and what else users call it."""

    name: str  # seed 004's spelling without the precision: CUDAExecutionProvider
    precision: Precision
    aliases: tuple[str, ...] = ()
    default: bool = True  # runs where no target was named, as far as its backend does

    @property
    def label(self) -> str:
        """As tables spell it: CUDAExecutionProvider_fp16."""
        suffix = "" if self.precision is Precision.FP32 else f"_{self.precision.value}"
        return self.name + suffix

    @property
    def spellings(self) -> frozenset[str]:
        """What users may call it, in lower case."""
        return frozenset({self.label.lower(), *(a.lower() for a in self.aliases)})


@dataclass(frozen=True)
class ProbeResult:
    """What a probe saw in an environment and on its host; all that `missing` may judge from.

    Programs of the harness's own are no environment's, and are looked for where they are built.
    """

    providers: tuple[str, ...] = ()  # ORT's build-time list: names, not proof
    versions: Mapping[str, str] = field(default_factory=dict)  # distributions and engines
    gpus: tuple[str, ...] = ()  # as NVML names them
    plugin_devices: tuple[str, ...] = ()  # EP names with a device, after registering the plug-in
    errors: Mapping[str, str] = field(default_factory=dict)
    trtexec: str = ""
    libraries: Mapping[str, str] = field(default_factory=dict)  # of engines: sha256 by file name


def _fits(_compute_capability: str) -> str:
    return ""


def _on_no_device(_cell: Cell) -> bool:
    return False


def _registers_nothing(_cell: Cell) -> None:
    """An engine that is whole once it is imported."""


@dataclass(frozen=True)
class ModelInputs:
    """What a form of a model takes, in its own order, and the example inputs that came with it, if any."""

    specs: tuple[InputSpec, ...]
    examples: Tensors = field(default_factory=dict)


@dataclass(frozen=True)
class Backend:
    """One engine's way of loading and running models; a module ends with BACKEND = Backend(…)."""

    targets: tuple[TargetSpec, ...]
    open: Callable[[Cell, Path], AbstractContextManager[Session]]  # imports its engine in here
    # why it cannot run there and what would fix it; "": it can
    missing: Callable[[ProbeResult], str]
    provider: str = ""  # the EP that nodes must be placed on; "": cannot say
    preload: tuple[str, ...] = ()  # what its worker needs, which a host may import before it forks
    builds: bool = False  # builds engines: never run beside anything
    needs_gpu: bool = False
    # the path of a program of its own, from --trtexec and -w; "" where its engine is a library
    program: Callable[[str, str], str] = lambda _trtexec, _workspace: ""
    half_artefact: bool = False  # reduced precision is a converted model, not a flag
    # some versions take a flag, others the converted model, if it can be made
    half_wanted: bool = False
    default_options: Mapping[str, str] = field(default_factory=dict)
    option_names: frozenset[str] | None = None  # all that it heeds; None: its engine knows
    options_flag: str = ""  # the flag that sets its options: trt_ep_options, cuda_ep_options
    # the flag that sets those of the provider beneath it, named beneath.NAME
    fallback_options_flag: str = ""
    takes_profiles: bool = False  # --trt_profile reaches it as the trt_profile_* options
    reference: bool = False  # the engine of last resort: its unoptimised outputs are the reference
    default: bool = True  # runs where no target was named
    cuda_graphs: bool = False  # a cell's cuda_graph reaches it
    # whether a cell's session has a `runner` whose runs are on a device that can be traced
    watched: Callable[[Cell], bool] = _on_no_device
    stream_option: str = ""  # the option that has it run on a CUDA stream of ours
    # why a device of a compute capability ("9.0"; "": unknown) cannot run it, "" where it may
    unfit_for: Callable[[str], str] = _fits
    serves_plugins: bool = False  # its targets are declared in environments.toml
    formats: tuple[Format, ...] = (Format.ONNX,)  # what it loads, what it likes best first
    # what a form takes, and so whose eager outputs in fp32 on the CPU all targets of that model are held to
    describe: Callable[[ModelForm], ModelInputs] | None = None
    # it uses a GPU where there is one; needs_gpu: it uses nothing else
    takes_gpu: Callable[[ProbeResult], bool] = lambda _found: False
    register: Callable[[Cell], None] = (
        _registers_nothing  # loads what an engine takes in as a plug-in
    )


def discover_backends(extra: Sequence[Path] = ()) -> tuple[Backend, ...]:
    """Every backend in this folder and in `extra` files; raises ValueError for one without BACKEND."""
    return tuple(_iter_backends(extra))


def load_backend_file(path: Path) -> Backend:
    """The backend of a file outside this folder; raises ValueError where it has none."""
    spec = importlib.util.spec_from_file_location(f"backend_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look for a module's names there
    spec.loader.exec_module(module)
    return _backend_of_module(module)


def backend_serving(name: str, backends: Iterable[Backend]) -> Backend:
    """The backend that serves a target's name; raises KeyError."""
    for backend in backends:
        if any(t.name == name for t in backend.targets):
            return backend
    raise KeyError(name)


def describe_form(form: ModelForm) -> ModelInputs:
    """What a form of a model takes, by the backend that reads its format; raises KeyError for none."""
    for backend in _iter_backends(()):
        if backend.describe is not None and form.format in backend.formats:
            return backend.describe(form)
    raise KeyError(form.format.value)


def backend_of_cell(cell: Cell) -> Backend:
    """The backend that a cell's target needs: a plug-in's, a file kept elsewhere, or one in here."""
    extra = (Path(cell.plugin["file"]),) if "file" in cell.plugin else ()
    if "library" in cell.plugin:
        return next(b for b in _iter_backends(extra) if b.serves_plugins)
    return backend_serving(cell.target.name, _iter_backends(extra))


def _iter_backends(extra: Sequence[Path]) -> Iterator[Backend]:
    """Backends one by one, each imported when it is reached: a worker pays for few of them."""
    for name in _module_names():
        yield _backend_of_module(importlib.import_module(f"{__name__}.{name}"))
    for path in extra:
        yield load_backend_file(path)


@functools.cache
def _module_names() -> tuple[str, ...]:
    names = sorted(m.name for m in pkgutil.iter_modules(__path__))
    return tuple(n for n in names if not n.startswith("_"))


def _backend_of_module(module: ModuleType) -> Backend:
    backend = getattr(module, "BACKEND", None)
    if not isinstance(backend, Backend):
        raise ValueError(f"{module.__file__}: no BACKEND = Backend(…) at its end")
    return backend
