"""Time between events on a CUDA stream of our own, by the driver's C library.

https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__EVENT.html
"""

import ctypes
from collections.abc import Callable
from typing import Any

from perf.measure.cupti import TracingRefused

LIBRARY = "libcuda.so.1"
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: it waits for no work of the default stream


class EventTimer:
    """A stream that an engine is to run on, and two events on it."""

    def __init__(self, device: int, library: str = LIBRARY) -> None:
        """Raises TracingRefused where the driver has no such device."""
        try:
            self._library = ctypes.CDLL(library)
        except OSError as e:
            raise TracingRefused(f"no CUDA driver: {e}") from e
        number, context = ctypes.c_int(), ctypes.c_void_p()
        self._call("cuInit", 0)
        self._call("cuDeviceGet", ctypes.byref(number), device)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), number)
        self._call("cuCtxSetCurrent", context)
        self._stream = ctypes.c_void_p()
        self._call("cuStreamCreate", ctypes.byref(self._stream), _NON_BLOCKING)
        self._begin, self._end = ctypes.c_void_p(), ctypes.c_void_p()
        for event in (self._begin, self._end):
            self._call("cuEventCreate", ctypes.byref(event), 0)

    @property
    def stream(self) -> int:
        """Its handle, as engines take one."""
        return self._stream.value or 0

    def time_ns(self, run: Callable[[], object]) -> int:
        """What lay between the beginning and the end of a run's work on the stream; raises TracingRefused."""
        self._call("cuEventRecord", self._begin, self._stream)
        run()
        self._call("cuEventRecord", self._end, self._stream)
        self._call("cuEventSynchronize", self._end)
        took_ms = ctypes.c_float()
        self._call("cuEventElapsedTime", ctypes.byref(took_ms), self._begin, self._end)
        return round(took_ms.value * 1e6)

    def _call(self, name: str, *words: Any) -> None:
        if code := getattr(self._library, name)(*words):
            text = ctypes.c_char_p()
            self._library.cuGetErrorString(code, ctypes.byref(text))
            why = (text.value or b"unknown").decode(errors="replace")
            raise TracingRefused(f"CUDA refuses {name}: {why} ({code})")
