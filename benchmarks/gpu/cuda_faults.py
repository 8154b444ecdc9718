"""A fake engine that really breaks a CUDA device: a trap, an illegal address, memory that is not there."""

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from perf.backends import Backend, DeviceMemoryExhausted, ProbeResult, TargetSpec, Tensors
from perf.measure.timing import TimedRuns
from perf.schema.cell import Cell, Precision
from perf.schema.journal import Placement, PrecisionEvidence

OUT_OF_MEMORY = 2
_PTX = b"""
.version 7.0
.target sm_70
.address_size 64
.visible .entry trap() { trap; ret; }
.visible .entry illegal() {
    .reg .b64 %a; .reg .b32 %v;
    mov.u64 %a, 64; mov.u32 %v, 1;
    st.global.u32 [%a], %v;
    ret;
}
.visible .entry fine() { ret; }
\0"""


class _Driver:
    """The CUDA driver API, each call checked."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL("libcuda.so.1")
        self.call("cuInit", 0)
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self.call("cuDeviceGet", ctypes.byref(device), 0)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.call("cuCtxSetCurrent", context)

    def call(self, name: str, *words: object) -> None:
        """Call a driver function; raises RuntimeError as ONNX Runtime words it."""
        code = getattr(self.library, name)(*words)
        if code:
            text = ctypes.c_char_p()
            self.library.cuGetErrorString(code, ctypes.byref(text))
            said = f"CUDA failure {code}: {(text.value or b'').decode()} in {name}"
            if code == OUT_OF_MEMORY:
                raise DeviceMemoryExhausted(said)
            raise RuntimeError(said)

    def launch(self, kernel: str) -> None:
        """Run a kernel of one thread and wait for it."""
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        self.call("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(_PTX))
        self.call("cuModuleGetFunction", ctypes.byref(function), module, kernel.encode())
        self.call("cuLaunchKernel", function, 1, 1, 1, 1, 1, 1, 0, None, None, None)
        self.call("cuCtxSynchronize")


class _Session:
    cached: bool | None = None

    def __init__(self, cell: Cell) -> None:
        self._how = cell.options.get("how", "fine")
        self._driver = _Driver()

    def infer(self, feed: Tensors) -> Tensors:
        """Break the device as asked."""
        if self._how == "oom":
            pointer = ctypes.c_void_p()
            self._driver.call("cuMemAlloc_v2", ctypes.byref(pointer), ctypes.c_size_t(1 << 42))
        else:
            self._driver.launch(self._how)
        return {}

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
        """It has nothing to time."""
        raise RuntimeError("a fault has no latency")

    def placement(self) -> Placement | None:
        """It cannot say."""
        return None

    def precision_evidence(self) -> PrecisionEvidence | None:
        """It cannot say."""
        return None


@contextmanager
def _open(cell: Cell, launch: Path) -> Iterator[_Session]:
    yield _Session(cell)


def _missing(found: ProbeResult) -> str:
    return "" if found.gpus else "no device"


BACKEND = Backend(
    targets=(TargetSpec("CudaFaults", Precision.FP32, ("faults",)),),
    open=_open,
    missing=_missing,
    needs_gpu=True,
)
