"""A process kept from writing outside folders of its own, by Landlock, where the kernel has it.

    https://docs.kernel.org/userspace-api/landlock.html (system calls 444-446, ABI 1 to 7)

Reads are free. Writing, making, removing and truncating are confined to the folders given and to what every
engine needs: /dev/null and its like, /dev/shm, the GPUs' device files. From ABI 6 on, signals reach nobody
outside either. What a process once gave up, none of its children can get back.
"""

import contextlib
import ctypes
import errno
import functools
import os
from collections.abc import Iterable
from pathlib import Path

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_PATH_BENEATH, _GET_VERSION = 1, 1
_PR_SET_NO_NEW_PRIVS = 38
_LIBC = ctypes.CDLL(None, use_errno=True)
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
    return max(0, int(_LIBC.syscall(_CREATE, None, 0, _GET_VERSION)))


def confine_writes(folders: Iterable[Path]) -> None:
    """Give up writing anywhere but beneath these folders; raises OSError, whose `strerror` says why not."""
    ruleset = _make_ruleset(folders)
    try:
        if _LIBC.syscall(_RESTRICT, ruleset, 0) == 0:
            return  # with the right to: set-user-id programs (nvidia-modprobe) go on working
        if _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or _LIBC.syscall(_RESTRICT, ruleset, 0):
            raise _error_of("landlock_restrict_self")
    finally:
        os.close(ruleset)


def rehearse() -> None:
    """Do what `confine_writes` does, and give up nothing."""
    with contextlib.suppress(OSError):
        os.close(_make_ruleset(()))


def _make_ruleset(folders: Iterable[Path]) -> int:
    """A descriptor of what stays allowed; raises OSError as above."""
    abi = landlock_abi()
    if not abi:
        raise OSError(errno.ENOSYS, "the kernel has no Landlock, or does not let us use it")
    rights = _WRITE_FILE | _MAKE_AND_REMOVE
    rights |= _REFER if abi >= 2 else 0
    rights |= _TRUNCATE if abi >= 3 else 0
    rules = _Ruleset(rights, 0, _SCOPE_SIGNAL if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = int(_LIBC.syscall(_CREATE, ctypes.byref(rules), size, 0))
    if ruleset < 0:
        raise _error_of("landlock_create_ruleset")
    try:
        for path in (*folders, *_devices(), Path(_OWN_THREADS)):
            _allow(ruleset, path, rights)
    except BaseException:
        os.close(ruleset)
        raise
    return ruleset


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # it is not there: nothing to allow
    try:
        allowed = rights if path.is_dir() else rights & (_WRITE_FILE | _TRUNCATE)
        rule = _Beneath(allowed, parent)
        if _LIBC.syscall(_ADD, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0):
            raise _error_of(f"landlock_add_rule {path}")
    finally:
        os.close(parent)


def _error_of(call: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{call}: {os.strerror(number)}")
