"""A process kept from writing outside folders of its own, by Landlock, where the kernel has it.

    https://docs.kernel.org/userspace-api/landlock.html (system calls 444-446, ABI 1 to 7)

Reads are free. Writing, making, removing and truncating are confined to the folders given and to what every
engine needs: /dev/null and its like, /dev/shm, the GPUs' device files. From ABI 6 on, signals reach nobody
outside either. What a process once gave up, none of its children can get back.
"""

import ctypes
import functools
import os
from collections.abc import Iterable
from pathlib import Path

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_PATH_BENEATH, _GET_VERSION = 1, 1
_PR_SET_NO_NEW_PRIVS = 38
# LANDLOCK_ACCESS_FS_*: write a file, and remove, make and (ABI 2) link or move, (3) truncate
_WRITE_FILE, _REFER, _TRUNCATE = 1 << 1, 1 << 13, 1 << 14
_MAKE_AND_REMOVE = sum(1 << bit for bit in range(4, 13))
_SCOPE_SIGNAL = 1 << 1
_DEVICES = (
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/tty",
    "/dev/shm",
    "/dev/dri",
    "/dev/kfd",
    "/dev/accel",
)
# The threads of a process: CUDA's driver names those that it starts (…/comm), and without it gives error 304.
# Of a process that is confined; those that it starts as programs have none.
_OWN_THREADS = "/proc/self/task"


@functools.cache
def _devices() -> tuple[Path, ...]:
    """What is there of the devices; looked up once, so that a fork server does it for its workers."""
    known = (*map(Path, _DEVICES), *sorted(Path("/dev").glob("nvidia*")))
    return tuple(p for p in known if p.exists())


class _Ruleset(ctypes.Structure):
    _fields_ = [("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def landlock_abi() -> int:
    """The version that this kernel offers to a process like this; 0 for none."""
    libc = ctypes.CDLL(None, use_errno=True)
    return max(0, int(libc.syscall(_CREATE, None, 0, _GET_VERSION)))


def confine_writes(folders: Iterable[Path]) -> str:
    """Give up writing anywhere but beneath these folders; why it could not be done, "" where it was."""
    libc = ctypes.CDLL(None, use_errno=True)
    abi = landlock_abi()
    if not abi:
        return "the kernel has no Landlock, or does not let us use it"
    rights = _WRITE_FILE | _MAKE_AND_REMOVE
    rights |= _REFER if abi >= 2 else 0
    rights |= _TRUNCATE if abi >= 3 else 0
    rules = _Ruleset(rights, 0, _SCOPE_SIGNAL if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = libc.syscall(_CREATE, ctypes.byref(rules), size, 0)
    if ruleset < 0:
        return _why("landlock_create_ruleset")
    try:
        for path in (*folders, *_devices(), Path(_OWN_THREADS)):
            if problem := _allow(libc, ruleset, path, rights):
                return problem
        if libc.syscall(_RESTRICT, ruleset, 0) == 0:
            return ""  # with the right to: set-user-id programs (nvidia-modprobe) go on working
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.syscall(_RESTRICT, ruleset, 0):
            return _why("landlock_restrict_self")
    finally:
        os.close(ruleset)
    return ""


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, rights: int) -> str:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return ""  # it is not there: nothing to allow
    try:
        allowed = rights if path.is_dir() else rights & (_WRITE_FILE | _TRUNCATE)
        rule = _Beneath(allowed, parent)
        if libc.syscall(_ADD, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0):
            return _why(f"landlock_add_rule {path}")
    finally:
        os.close(parent)
    return ""


def _why(call: str) -> str:
    return f"{call}: {os.strerror(ctypes.get_errno())}"
