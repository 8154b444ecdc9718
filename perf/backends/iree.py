"""IREE: an ONNX model compiled ahead of time for this machine's CPU, and run by IREE's runtime."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perf.backends import Backend, ProbeResult, Session, TargetSpec, Tensors, Unsupported
from perf.backends._tensorrt import onnx_header
from perf.backends._tensorrt.engine_cache import hold_engine_lock
from perf.backends._tensorrt.onnx_header import Header
from perf.measure.timing import TimedRuns, time_runs
from perf.schema import atomic_file
from perf.schema.cell import Cell, Io, Precision
from perf.schema.journal import Placement, PrecisionEvidence

if TYPE_CHECKING:
    import numpy as np

MODULE = "model.vmfb"
OPTIONS = ("optimization_level", "driver")
DRIVERS = ("local-task", "local-sync")
_OPSET = 17  # older models are converted to it, as IREE's importer recommends
_FLAGS = (
    "--iree-input-type=onnx",
    "--iree-hal-target-device=local",
    "--iree-hal-local-target-device-backends=llvm-cpu",
    "--iree-llvmcpu-target-cpu=host",
)


class IreeFailedError(Exception):
    """IREE's importer or compiler refused the model; the message is what it said first."""


class IreeSession:
    """A loaded module; satisfies perf.backends.Session."""

    def __init__(self, cell: Cell, runtime: Any, module: Path, header: Header) -> None:
        self.cached: bool | None = None
        self._runtime, self._header = runtime, header
        driver = cell.options.get("driver", DRIVERS[0])
        config = runtime.Config(driver)
        self._device = config.device
        context = runtime.SystemContext(config=config)
        loaded = runtime.VmModule.mmap(context.instance, str(module))
        context.add_vm_module(loaded)
        names = [n for n in loaded.function_names if n != "__init" and not n.endswith("$async")]
        self._call: Callable[..., Any] = context.modules[loaded.name][names[0]]

    def infer(self, feed: Tensors) -> Tensors:
        """One run, host to host."""
        return self._named(self._call(*self._ordered(feed)))

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
        """Samples of calls with arrays, results read; with io=device on IREE's own buffers, none read."""
        ordered = [self._ordered(f) for f in feeds]
        call = self._call
        if cell.io is Io.DEVICE:
            put = self._runtime.asdevicearray
            held = [[put(self._device, a) for a in given] for given in ordered]

            def run(i: int) -> Any:
                return call(*held[i])

            named: Callable[[Any], Tensors] = self._named
        else:

            def run(i: int) -> Any:
                return [r.to_host() for r in _as_list(call(*ordered[i]))]

            named = self._by_name

        return time_runs(run, named, len(feeds), cell, synchronised=True)

    def placement(self) -> Placement | None:
        """There is one engine, and nothing beside it."""
        return None

    def precision_evidence(self) -> PrecisionEvidence | None:
        """It runs the model's own types."""
        return None

    def _named(self, result: Any) -> Tensors:
        return self._by_name([_copied(r) for r in _as_list(result)])

    def _by_name(self, arrays: Sequence["np.ndarray"]) -> Tensors:
        names = (v.name for v in self._header.outputs)
        return dict(zip(names, arrays, strict=True))

    def _ordered(self, feed: Tensors) -> list["np.ndarray"]:
        from perf.measure import tensor_io

        for value in self._header.inputs:
            if value.name not in feed:
                raise Unsupported(f"input {value.name!r} is not fed, and IREE takes all of them")
            if isinstance(feed[value.name], tensor_io.Coded):
                raise Unsupported(f"input {value.name!r} is of a type that numpy lacks")
        return [feed[v.name] for v in self._header.inputs]


@contextlib.contextmanager
def _open(cell: Cell, launch_dir: Path) -> Iterator[Session]:
    """Load the module, compiled under its lock where it is not in the cell's cache yet."""
    from iree import runtime

    if unknown := sorted(set(cell.options) - set(OPTIONS)):
        raise Unsupported(f"no option {unknown[0]!r}; known are {', '.join(OPTIONS)}")
    if (driver := cell.options.get("driver", DRIVERS[0])) not in DRIVERS:
        raise Unsupported(f"driver={driver}: use {' or '.join(DRIVERS)}")
    if cell.protocol.intra_op_threads:
        runtime.flags.parse_flags(f"--task_topology_group_count={cell.protocol.intra_op_threads}")
    header = onnx_header.read(Path(cell.model.path))
    cache = Path(cell.cache) if cell.cache else launch_dir
    cache.mkdir(parents=True, exist_ok=True)
    module = cache / MODULE
    with hold_engine_lock(module):
        cached = module.exists()
        if not cached:
            with atomic_file.draft_of(module, durable=False) as aside:
                _compile(cell, _imported(cell.model.path), aside)
    session = IreeSession(cell, runtime, module, header)
    session.cached = cached
    yield session


def _imported(path: str) -> str:
    """The model in MLIR's text; raises IreeFailedError where the importer does not take it."""
    import onnx
    from iree.compiler.extras import onnx_importer

    model = onnx.load(path)
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), _OPSET)
    if opset < _OPSET:
        model = onnx.version_converter.convert_version(model, _OPSET)
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    try:
        info = onnx_importer.ModelInfo(model)
        made = info.create_module(context=onnx_importer.Context()).operation
        onnx_importer.NodeImporter.define_function(info.main_graph, made).import_all()
        return str(made.get_asm(assume_verified=False))
    except onnx_importer.OnnxImportError as e:
        raise IreeFailedError(" ".join(str(e).split())[:1000]) from e


def _compile(cell: Cell, source: str, path: Path) -> None:
    """Compile in this process, so that what ends the compiler ends the launch; its words go to the log."""
    from iree.compiler import api

    session = api.Session()
    session.set_flags(*_FLAGS)
    if level := cell.options.get("optimization_level"):
        session.set_flags(f"--iree-opt-level={level}")
    invocation = session.invocation()
    invocation.enable_console_diagnostics()
    text = api.Source.wrap_buffer(session, source.encode() + b"\0")
    if not (invocation.parse_source(text) and invocation.execute()):
        raise IreeFailedError("the compiler refused the model, for the reason in output.log")
    output = api.Output.open_file(str(path))
    invocation.output_vm_bytecode(output)
    output.keep()
    output.close()


def _as_list(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def _copied(result: Any) -> "np.ndarray":
    import numpy as np

    return np.array(result.to_host())


def _missing(found: ProbeResult) -> str:
    lost = [
        p for p in ("iree-base-compiler", "iree-base-runtime", "onnx") if p not in found.versions
    ]
    return (
        f"no {' and '.join(lost)} there: its environment has it (env build iree)" if lost else ""
    )


BACKEND = Backend(
    targets=(TargetSpec("iree", Precision.FP32),),
    open=_open,
    missing=_missing,
    preload=("numpy", "onnx"),
    builds=True,
)
