"""OpenVINO by its own package, without ONNX Runtime: the pair of the OpenVINO execution provider."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perf.backends import Backend, ProbeResult, Session, TargetSpec, Tensors, Unsupported
from perf.backends._tensorrt import onnx_header
from perf.measure.timing import TimedRuns, time_runs
from perf.schema.cell import Cell, Io, Precision
from perf.schema.engine_message import lead_with_reason
from perf.schema.journal import Placement, PrecisionEvidence

if TYPE_CHECKING:
    import numpy as np

NAME = "Standalone_OpenVINO"
_HINTS = {Precision.FP32: "f32", Precision.FP16: "f16", Precision.BF16: "bf16"}
_DEVICE = "device_type"  # as the execution provider spells it
_OVERHEAD = frozenset(("Input", "Output", "Const", "Parameter", "Result", "Reorder", "Convert"))


class OpenVinoSession:
    """A compiled model and one request; satisfies perf.backends.Session."""

    cached: bool | None = None  # it compiles at every start and keeps nothing

    def __init__(self, cell: Cell, openvino: Any, compiled: Any) -> None:
        self.versions = {"openvino": str(openvino.__version__)}
        self._cell, self._openvino, self._compiled = cell, openvino, compiled
        self._request = compiled.create_infer_request()
        self._inputs = {name: port for port in compiled.inputs for name in port.names}
        # a port may have several names: the model's own are those of its file, in the same order
        self._outputs = [v.name for v in onnx_header.read(Path(cell.model.path)).outputs]

    def infer(self, feed: Tensors) -> Tensors:
        """One run, host to host."""
        return self._named(self._request.infer(self._fed(feed), share_inputs=True))

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
        """Samples of requests on arrays, outputs copied; with io=device on tensors that were set before."""
        make = self._resident_run if cell.io is Io.DEVICE else self._host_run
        return time_runs(make(feeds), self._named, len(feeds), cell, synchronised=True)

    def placement(self) -> Placement | None:
        """There is one engine, and nothing beside it."""
        return None

    def precision_evidence(self) -> PrecisionEvidence | None:
        """What the layers of the compiled model run in, as it says itself."""
        asked = self._cell.target.precision
        if asked is Precision.FP32 or not self._cell.profile:
            return None
        layers = [op.get_rt_info() for op in self._compiled.get_runtime_model().get_ops()]
        told = [
            str(_plain(info["runtimePrecision"]))
            for info in layers
            if str(_plain(info["layerType"])) not in _OVERHEAD
        ]
        if not told:
            return None
        share = sum(t == _HINTS[asked] for t in told) / len(told)
        got = str(self._compiled.get_property("INFERENCE_PRECISION_HINT").to_string())
        return PrecisionEvidence(
            asked.value, share, None, "runtime model", f"INFERENCE_PRECISION_HINT became {got}"
        )

    def _named(self, result: Any) -> Tensors:
        ports = zip(self._outputs, self._compiled.outputs, strict=True)
        return {name: _to_array(result[port]) for name, port in ports}

    def _fed(self, feed: Tensors) -> dict[str, "np.ndarray"]:
        from perf.measure import tensor_io

        for name, array in feed.items():
            if name not in self._inputs:
                raise Unsupported(f"OpenVINO's model has no input {name!r}")
            if isinstance(array, tensor_io.Coded):
                raise Unsupported(f"input {name!r} is of a type that numpy lacks")
        return dict(feed)

    def _host_run(self, feeds: Sequence[Tensors]) -> Callable[[int], Any]:
        request, fed = self._request, [self._fed(f) for f in feeds]
        return lambda i: request.infer(fed[i], share_inputs=True)

    def _resident_run(self, feeds: Sequence[Tensors]) -> Callable[[int], Any]:
        """run(i) on a request of its own for each feed, whose tensors need no copy in or out."""
        requests = []
        for feed in feeds:
            request = self._compiled.create_infer_request()
            for name, array in self._fed(feed).items():
                request.set_tensor(name, self._openvino.Tensor(array))
            requests.append(request)

        def run(i: int) -> Any:
            requests[i].start_async()
            requests[i].wait()
            return requests[i].results  # arrays on the request's own memory

        return run


@contextlib.contextmanager
def _open(cell: Cell, launch_dir: Path) -> Iterator[Session]:
    import openvino

    core = openvino.Core()
    options = {_DEVICE: "CPU"} | dict(cell.options)
    device = options.pop(_DEVICE)
    properties: dict[str, str] = {
        "PERFORMANCE_HINT": "LATENCY",  # what the execution provider asks for
        "INFERENCE_PRECISION_HINT": _HINTS[cell.target.precision],
    }
    if cell.protocol.intra_op_threads:
        properties["INFERENCE_NUM_THREADS"] = str(cell.protocol.intra_op_threads)
    try:
        compiled = core.compile_model(cell.model.path, device, properties | options)
    except RuntimeError as e:
        if _refuses_option(str(e), options):
            raise Unsupported(lead_with_reason(str(e))) from e
        raise
    yield OpenVinoSession(cell, openvino, compiled)


def _refuses_option(said: str, options: Mapping[str, str]) -> bool:
    return any(name in said for name in options) and "property" in said.lower()


def _to_array(given: Any) -> "np.ndarray":
    """An output that the next run leaves alone."""
    import numpy as np

    return np.array(given)


def _plain(value: Any) -> Any:
    """What an OVAny of some versions holds."""
    return getattr(value, "value", value)


def _missing(found: ProbeResult) -> str:
    return (
        ""
        if "openvino" in found.versions
        else "no openvino there: its environment has it (env build openvino_alone)"
    )


BACKEND = Backend(
    targets=(
        TargetSpec(NAME, Precision.FP32, ("openvino_alone", "OpenVINOFp32")),
        TargetSpec(NAME, Precision.FP16, ("openvino_alone_fp16", "OpenVINOFp16"), default=False),
        TargetSpec(NAME, Precision.BF16, ("openvino_alone_bf16", "OpenVINOBf16"), default=False),
    ),
    open=_open,
    missing=_missing,
    preload=("numpy",),  # openvino starts a thread when it is imported: its host could not fork
)
