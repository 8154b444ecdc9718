"""A measure launch gone through ahead of its request, with the stored outputs in an engine's place.

A page that a worker shares with its fork server is copied at the first write to it, and Python writes to
all that it reads (reference counts). Such copies were half of what a small launch cost, dearest while threads
of an engine spin: they are made here while nobody waits for the worker.
"""

import contextlib
import os
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from perf import backends
from perf.backends import Backend, Session, Tensors
from perf.machine import write_fence
from perf.measure import timing
from perf.measure.timing import TimedRuns
from perf.schema import cell as cells
from perf.schema.cell import Cell, TensorFile
from perf.schema.journal import Finished, WorkerStarted
from perf.worker import stages

_SMALL_BYTES = 1 << 20


def rehearse(job: Path) -> None:
    """Do what a launch like the one of `job` does around its engine; nothing is kept, nothing told."""
    write_fence.rehearse()
    with contextlib.suppress(Exception):  # the launch itself will say what is wrong
        cell = cells.read_cell(job)
        if "file" not in cell.plugin:  # somebody's code, which may hang, is for the launch to load
            backends.backend_of_cell(cell)
        go_through(cell, Path(os.devnull))


def go_through(cell: Cell, journal: Path) -> None:
    """Tell all that a measure launch tells but of its loading, in a few runs that take no time."""
    few = replace(
        cell,
        sets=tuple(
            replace(s, inputs=_small(s.inputs), outputs=_small(s.outputs)) for s in cell.sets
        ),
        protocol=replace(cell.protocol, runs=2, warmup=0),
    )
    account = stages.Account(journal)
    account.emit(WorkerStarted(os.getpid(), platform.python_version(), time.monotonic()))
    stages.tell_versions(account)
    stages.measure(_backend_without_engine(few), few, journal.parent, account)
    account.emit(Finished(time.monotonic()))


def _small(tensors: Sequence[TensorFile]) -> tuple[TensorFile, ...]:
    return tuple(t for t in tensors if Path(t.path).stat().st_size < _SMALL_BYTES)


def _backend_without_engine(cell: Cell) -> Backend:
    from perf.measure import tensor_io  # numpy: a fork server that prepares nothing has none

    outputs = [tensor_io.load_expected(s) for s in cell.sets]

    @contextlib.contextmanager
    def open_session(_cell: Cell, _folder: Path) -> Iterator[Session]:
        yield _StoredOutputs(outputs)

    return Backend((), open_session, missing=lambda _found: "")


@dataclass
class _StoredOutputs:
    """Answers with the outputs that are expected; what perf.backends.Session asks for."""

    outputs: Sequence[Tensors]
    cached: bool | None = None

    def infer(self, feed: Tensors) -> Tensors:
        """Those of the first set."""
        return self.outputs[0]

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
        """Runs that take no time."""
        return timing.time_runs(
            lambda i: self.outputs[i], lambda x: x, len(feeds), cell, synchronised=True
        )

    def placement(self) -> None:
        """No node runs."""

    def precision_evidence(self) -> None:
        """No layer runs."""
