"""Pinned host memory, device memory, a stream and events, through cuda-bindings, all freed together."""

import ctypes
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from perf.backends import DeviceMemoryExhausted, Unsupported

if TYPE_CHECKING:
    import numpy as np


class CudaFailedError(Exception):
    """A call of the CUDA runtime failed; the message has its name and CUDA's."""


class Cuda:
    """One stream of one device; `close` waits for it and frees what was allocated."""

    def __init__(self, runtime: Any, device: int) -> None:
        self._rt = runtime
        self._frees: list[Callable[[], Any]] = []
        error, count = runtime.cudaGetDeviceCount()
        if error != runtime.cudaError_t.cudaSuccess or not count:
            raise Unsupported(f"no CUDA device: {error.name}; a driver and a GPU are needed")
        self._call("cudaSetDevice", device)
        self.stream = int(self._call("cudaStreamCreate")[0])
        self._frees.append(lambda: runtime.cudaStreamDestroy(self.stream))

    def pinned(self, shape: Sequence[int], dtype: Any) -> "np.ndarray":
        """A page-locked host array, which copies run from at the speed of the bus."""
        import numpy as np

        kind = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
        if not size:
            return np.empty(shape, kind)
        pointer = int(self._call("cudaHostAlloc", size, 0)[0])
        self._frees.append(lambda: self._rt.cudaFreeHost(pointer))
        raw = (ctypes.c_byte * size).from_address(pointer)
        return np.frombuffer(raw, kind).reshape(shape)

    def device(self, size: int) -> int:
        """An address of device memory; engines want one for empty tensors too."""
        pointer = int(self._call("cudaMalloc", max(size, 1))[0])
        self._frees.append(lambda: self._rt.cudaFree(pointer))
        return pointer

    def copy_in(self, to: int, array: "np.ndarray") -> None:
        """Host to device, in the stream's order."""
        if array.nbytes:
            kind = self._rt.cudaMemcpyKind.cudaMemcpyHostToDevice
            self._call("cudaMemcpyAsync", to, array.ctypes.data, array.nbytes, kind, self.stream)

    def copy_out(self, array: "np.ndarray", from_: int) -> None:
        """Device to host, in the stream's order."""
        if array.nbytes:
            kind = self._rt.cudaMemcpyKind.cudaMemcpyDeviceToHost
            self._call(
                "cudaMemcpyAsync", array.ctypes.data, from_, array.nbytes, kind, self.stream
            )

    def synchronise(self) -> None:
        """Wait until the stream is done."""
        self._call("cudaStreamSynchronize", self.stream)

    def event(self) -> Any:
        """A point in the stream whose time can be asked."""
        (event,) = self._call("cudaEventCreate")
        self._frees.append(lambda: self._rt.cudaEventDestroy(event))
        return event

    def record(self, event: Any) -> None:
        """Put the event behind what the stream has been given."""
        self._call("cudaEventRecord", event, self.stream)

    def elapsed_ns(self, first: Any, second: Any) -> int:
        """Between two events that have passed, on the device's clock (some 0.5 µs fine)."""
        return round(float(self._call("cudaEventElapsedTime", first, second)[0]) * 1e6)

    def close(self) -> None:
        """Free everything, newest first; what a lost device answers to that is not asked."""
        self._rt.cudaStreamSynchronize(self.stream)
        for free in reversed(self._frees):
            free()
        self._frees.clear()

    def _call(self, name: str, *args: Any) -> Sequence[Any]:
        error, *values = getattr(self._rt, name)(*args)
        if error == self._rt.cudaError_t.cudaErrorMemoryAllocation:
            raise DeviceMemoryExhausted(f"{name}: {error.name}")
        if error != self._rt.cudaError_t.cudaSuccess:
            raise CudaFailedError(f"{name}: {error.name}")
        return tuple(values)
