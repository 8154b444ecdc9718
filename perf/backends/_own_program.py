"""A backend's program lives and dies with its worker, and a signal that ends the one ends the other."""

import ctypes
import os
import signal
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> Callable[[], None]:
    """What the child does before it becomes the program; libc is loaded before the fork, not after."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def set_death_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return set_death_signal


def end_as_it_did(name: str, status: int) -> None:
    """End this worker by the signal that ended its program, if one did, so that the wrapper sees it."""
    if status >= 0:
        return
    print(f"{name} was ended by {signal.Signals(-status).name}; so ends its worker", flush=True)
    if -status != signal.SIGKILL:
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
