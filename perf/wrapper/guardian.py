"""Two processes that watch each other, so that no kill of one leaves anything of the other's behind.

The process that the user started forks, and waits; its child does all the work. Where the child is killed,
what it had started falls to the parent, a subreaper too, and is killed. Where the parent is killed, the child
is told by the kernel, kills all that it started, and ends.
"""

import contextlib
import ctypes
import os
import select
import signal
import sys
from collections.abc import Callable

from perf.machine import process_tree
from perf.request.any_terminal import leave_deaf_readers

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
ABANDONED = signal.SIGUSR2  # the parent was killed
REAP_S = 1.5
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_guarded(work: Callable[[], int]) -> int:
    """The exit status of `work`, done in a child that the caller guards; each of the two returns it."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)  # a terminal's Ctrl-C reaches the parent alone, which passes it on once
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # and it may write to that terminal
        signal.signal(ABANDONED, _abandon)
        libc.prctl(PR_SET_PDEATHSIG, ABANDONED)
        if os.getppid() != parent:  # it died before the line above
            _abandon(ABANDONED, None)
        return work()
    status = _guard(child)
    process_tree.kill_children(frozenset(), REAP_S)
    return status


def _abandon(_number: int, _frame: object) -> None:
    """Nobody waits for us any more: leave nothing behind, and do not linger over tables."""
    process_tree.kill_children(frozenset(), REAP_S)
    os._exit(128 + signal.SIGKILL)


def _guard(child: int) -> int:
    """Wait for the child, passing signals on; its exit status, or 128 and the signal that ended it."""
    pidfd = os.pidfd_open(child)
    wake_r, wake_w = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    before = signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
    for number in _FORWARDED:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda n, _frame: _pass_on(pidfd, n))
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)  # it may have been stopped
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(wake_r, select.POLLIN)
    while pidfd not in {fd for fd, _ in poll.poll()}:
        with contextlib.suppress(BlockingIOError):
            os.read(wake_r, 512)
        if os.waitid(os.P_PIDFD, pidfd, os.WSTOPPED | os.WNOHANG):
            _pass_on(pidfd, signal.SIGCONT)  # by a worker: a user's own signals reach this process
    signal.set_wakeup_fd(before)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    told = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    if told is None:  # dead, and not told so: somebody traces it
        return 128 + signal.SIGKILL
    if told.si_code == os.CLD_EXITED:
        return told.si_status
    leave_deaf_readers()
    print(
        f"error: ended by {signal.Signals(told.si_status).name}; `--resume` goes on",
        file=sys.stderr,
    )
    return 128 + told.si_status


def _pass_on(pidfd: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, number)
