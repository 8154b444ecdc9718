"""Launches in this very process, one after another, their output on the terminal."""

import contextlib
import errno
import faulthandler
import gc
import os
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from perf.planning.launch import LaunchRequest, LaunchResult, expectation_of, write_job
from perf.results import run_folder
from perf.results.launch_folder import LaunchFolder
from perf.schema import fold
from perf.schema.record import Ending, Launch, LaunchKind
from perf.worker import stages

ISOLATION = "inprocess"  # as records and tables name this way of starting a launch
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


class InProcessLauncher:
    """Carries launches out as they come; what ends this process ends the run, and what had ended is kept."""

    jobs = 1
    batch = 1  # a model that ends this process must not cost the measuring of those before it
    in_flight = 0

    def __init__(self, boot_id: str, root: Path | None = None, host: str = "") -> None:
        """`root` is the run's folder; without one a launch's job is there already, and not ours."""
        self._root = root
        faulthandler.enable(file=2)  # what ends this process says where it was
        self._boot_id, self._host = boot_id, host
        self._order = 0

    def start(self, request: LaunchRequest) -> LaunchResult:
        """One launch from start to end, folded and durable."""
        if self._root:
            write_job(self._root, request)
        run_folder.make_empty(self._root or request.folder.parent, request.folder)
        gc.collect()  # a failed cell's session may live on in its exception's traceback
        began = time.monotonic()
        with _restored(request.folder):
            status = _status(request)
        ending = Ending(status, None, wall_s=time.monotonic() - began)
        with contextlib.closing(LaunchFolder(request.folder, request.job)) as folder:
            events = folder.read_journal().events
        expected = expectation_of(request.cell) if request.cell else fold.Expectation()
        self._order += 1
        launch = replace(
            fold.fold_launch(request.name, request.kind, events, ending, expected),
            began_s=began, boot_id=self._boot_id, round=request.round, order=self._order,
            host=self._host, isolation=ISOLATION, cold=True if request.kind is LaunchKind.CHECK else None,
            host_memory=None,  # of a process that holds what earlier cells freed, it would mislead
        )  # fmt: skip
        run_folder.write_launch(request.folder, launch)
        return LaunchResult(request, events, ending, launch)

    def wait(self) -> LaunchResult:
        """Never called: a launch has ended when `start` returns."""
        raise AssertionError("nothing is in flight")

    def pause(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)

    def continue_after(self, launches: Iterable[Launch]) -> None:
        """Number launches on after those of an earlier part of this run."""
        self._order = max([self._order, *(x.order for x in launches)])


def _status(request: LaunchRequest) -> int:
    """The exit status that a worker's process would have had."""
    try:
        return stages.run_launch(request.kind.value, request.job, request.folder)
    except OSError as e:
        if e.errno in _FULL:
            raise  # nothing more can be recorded: it is the run that ends, not the cell
        traceback.print_exc()
        return 1


@contextlib.contextmanager
def _restored(folder: Path) -> Iterator[None]:
    """A launch's folder as the working directory; it and the cores to run on are put back after."""
    cores = os.sched_getaffinity(0)
    with contextlib.chdir(folder):
        try:
            yield
        finally:
            os.sched_setaffinity(0, cores)
