"""The CPU EP as a backend whose outputs are spoiled: one of them always, or all of them in later timed runs."""

import ctypes
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from perf.backends import Backend, Session, TargetSpec, Tensors, cpu
from perf.backends._ort.session import OrtSession, SessionSpec
from perf.measure.timing import TimedRuns
from perf.schema.cell import Cell, Precision

OUTPUT = "SPOILED_OUTPUT"  # a variable: the output that is always wrong
MORE = "SPOILED_MORE"  # a variable: the sequence that has an element which is in no reference
CRASH = "SPOILED_CRASH"  # a variable: infer, or time: where the process is ended by SIGSEGV
RUN = "SPOILED_RUN"  # a variable: first, last (timed run), or none, where outputs are not handed over


class Spoiled(OrtSession):
    def infer(self, feed: Tensors) -> Tensors:
        _crash_in("infer")
        wrong, more = os.environ.get(OUTPUT), os.environ.get(MORE)
        given = {n: a + 1 if n == wrong else a for n, a in super().infer(feed).items()}
        return given | ({f"{more}[0]": np.ones(1, np.float32)} if more else {})

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
        _crash_in("time")
        runs, which = super().time(feeds, cell), os.environ.get(RUN, "")
        if which == "none":
            return replace(runs, first={}, last={}, no_outputs="they stay on the device")
        later: Any = {which: {n: a + 1 for n, a in getattr(runs, which).items()}} if which else {}
        return replace(runs, **later)


def _crash_in(where: str) -> None:
    if os.environ.get(CRASH) == where:
        ctypes.string_at(0)


def open_session(cell: Cell, launch_dir: Path) -> AbstractContextManager[Session]:
    return Spoiled.open(cell, launch_dir, SessionSpec(cell.model.path, ((cell.provider, {}),)))


BACKEND: Backend = replace(
    cpu.BACKEND,
    targets=(TargetSpec("Spoiled", Precision.FP32, ("spoiled",)),),
    open=open_session,
    reference=False,
)
