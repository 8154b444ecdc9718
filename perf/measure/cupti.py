"""What a GPU did and when, by the activity records of NVIDIA's CUPTI, through its C library.

https://docs.nvidia.com/cupti/api/group__CUPTI__ACTIVITY__API.html
"""

import ctypes
import os
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The layout of a record belongs to a version. In those of CUDA 13 each of the kinds below has its kind at
# byte 0, and its start and end at bytes 16 and 24, in ns of one clock.
VERSIONS = range(130_000, 140_000)
LIBRARY = "libcupti.so.13"
_HEAD = struct.Struct("<I12xQQ")
HEAD_BYTES = _HEAD.size
COPY, SET, KERNEL = 1, 2, 10  # CUPTI_ACTIVITY_KIND_MEMCPY, _MEMSET, _CONCURRENT_KERNEL
KINDS = (COPY, SET, KERNEL)
_BUFFER_BYTES, _ALIGNMENT = 4 << 20, 8
_SUBSCRIBED = 39  # CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED
_IN_PACKAGES = ("cu13/lib", "cuda_cupti/lib")  # of nvidia-cuda-cupti, below nvidia/
_OF_TOOLKITS = ("/usr/local/cuda/lib64", "/usr/local/cuda/extras/CUPTI/lib64")
_Requested = ctypes.CFUNCTYPE(
    None,
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.POINTER(ctypes.c_size_t),
    ctypes.POINTER(ctypes.c_size_t),
)
_Completed = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t
)


class TracingRefused(Exception):
    """The device's activity cannot be seen here; the message says why, and what would help."""


@dataclass(frozen=True)
class Activity:
    """A kernel, a copy or a fill, as the device ran it."""

    kind: int
    start_ns: int
    end_ns: int


def read_head(head: bytes) -> Activity:
    """The first bytes of a record; raises TracingRefused where they tell no time."""
    activity = Activity(*_HEAD.unpack_from(head))
    if not 0 < activity.start_ns <= activity.end_ns:
        raise TracingRefused(f"CUPTI told no time of a record of kind {activity.kind}")
    return activity


class ActivityTrace:
    """Records of this process since it was opened; one may be open at a time."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._buffers: dict[int, ctypes.Array[ctypes.c_char]] = {}
        self._heads: list[bytes] = []
        self._lost = 0
        # kept alive for as long as the library may call them
        self._callbacks = _Requested(self._give_buffer), _Completed(self._take_buffer)

    def begin(self) -> None:
        """Have the device's activity recorded; raises TracingRefused."""
        self._call("cuptiActivityRegisterCallbacks", *self._callbacks)
        for kind in KINDS:
            self._call("cuptiActivityEnable", ctypes.c_uint(kind))

    def take_heads(self) -> Sequence[bytes]:
        """The beginnings of the records of all that has ended since the last call; raises TracingRefused."""
        self._call("cuptiActivityFlushAll", ctypes.c_uint32(1))
        if self._lost:
            raise TracingRefused(f"CUPTI lost {self._lost} records")
        heads, self._heads = self._heads, []
        return heads

    def end(self) -> None:
        """Have nothing more recorded."""
        for kind in KINDS:
            self._library.cuptiActivityDisable(ctypes.c_uint(kind))
        self._library.cuptiActivityFlushAll(ctypes.c_uint32(1))

    def _call(self, name: str, *words: object) -> None:
        code = getattr(self._library, name)(*words)
        if code:
            why = _describe_code(self._library, code)
            raise TracingRefused(f"CUPTI refuses {name}: {why}")

    def _give_buffer(self, buffer: Any, size: Any, most: Any) -> None:
        made = ctypes.create_string_buffer(_BUFFER_BYTES + _ALIGNMENT)
        address = -(-ctypes.addressof(made) // _ALIGNMENT) * _ALIGNMENT
        self._buffers[address] = made
        buffer[0], size[0] = address, _BUFFER_BYTES
        most[0] = 0  # as many as fit

    def _take_buffer(
        self, context: int | None, stream: int, buffer: int, _size: int, valid: int
    ) -> None:
        record = ctypes.c_void_p()
        of = ctypes.c_void_p(buffer), ctypes.c_size_t(valid), ctypes.byref(record)
        while valid and self._library.cuptiActivityGetNextRecord(*of) == 0 and record.value:
            head = ctypes.string_at(record.value, HEAD_BYTES)
            if int.from_bytes(head[:4], "little") in KINDS:
                self._heads.append(head)
        dropped = ctypes.c_size_t()
        self._library.cuptiActivityGetNumDroppedRecords(
            ctypes.c_void_p(context), ctypes.c_uint32(stream), ctypes.byref(dropped)
        )
        self._lost += dropped.value
        self._buffers.pop(buffer, None)


@contextmanager
def open_trace(library: str = "") -> Iterator[ActivityTrace]:
    """A trace of this process, from before its engine is loaded; raises TracingRefused."""
    trace = ActivityTrace(_load(library))
    trace.begin()
    try:
        yield trace
    finally:
        trace.end()


def _load(given: str) -> ctypes.CDLL:
    for path in [given] if given else [LIBRARY, *_find_libraries()]:
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        version = ctypes.c_uint32()
        library.cuptiGetVersion(ctypes.byref(version))
        if version.value not in VERSIONS:
            raise TracingRefused(
                f"{path} is CUPTI {version.value}, whose records have not been looked at; "
                "CUDA 13's is read: pip package nvidia-cuda-cupti>=13,<14"
            )
        return library
    raise TracingRefused(f"no {LIBRARY} there: pip package nvidia-cuda-cupti>=13,<14 brings it")


def _find_libraries() -> Iterator[str]:
    folders = [
        *(Path(p) / "nvidia" / sub for p in sys.path if p for sub in _IN_PACKAGES),
        *map(Path, _OF_TOOLKITS),
    ]
    yield from (os.fspath(f / LIBRARY) for f in folders if (f / LIBRARY).is_file())


def _describe_code(library: ctypes.CDLL, code: int) -> str:
    if code == _SUBSCRIBED:
        return "another profiler is at work in this process"
    text = ctypes.c_char_p()
    library.cuptiGetResultString(ctypes.c_int(code), ctypes.byref(text))
    return f"{(text.value or b'unknown').decode(errors='replace')} ({code})"
