"""A backend on trial: the cells it is tried with, and the words for what it said and did not do."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from perf.backends import Backend, Session, Tensors, Unsupported
from perf.measure import tensor_io
from perf.schema.cell import Cell, Io
from perf.schema.journal import Timed


class PromiseBroken(AssertionError):
    """What a backend said and did not do, in one line."""


@dataclass(frozen=True)
class Subject:
    """A backend, the cells that it is tried with, and a folder for its launches."""

    backend: Backend
    small: Cell  # sets 0 and 1 of one shape, set 2 of another; outputs of several types
    slow: Cell  # one set, some milliseconds a run
    drawing: Cell  # as slow; each run of a session adds the next numbers of a fixed sequence
    folder: Path
    numbers: Iterator[int]
    io: Io = Io.HOST

    @property
    def is_program(self) -> bool:
        """Whether a program of the backend's own does the runs, and their timing; each takes its start."""
        return bool(self.backend.program(self.small.trtexec, self.small.workspace))

    def fresh(self, cell: Cell, **changes: Any) -> Cell:
        """A cell of this way of io, with an empty cache where the backend keeps engines."""
        cache = str(self.folder / f"cache_{next(self.numbers)}") if self.backend.builds else ""
        return replace(cell, **{"cache": cache, "io": self.io, **changes})

    @contextlib.contextmanager
    def open(self, cell: Cell) -> Iterator[Session]:
        """A session in a launch's folder, as a worker opens it."""
        launch = self.folder / f"launch_{next(self.numbers)}"
        launch.mkdir(parents=True)
        with contextlib.chdir(launch), contextlib.ExitStack() as stack:
            with explained("missing() says that it can run here, and open()"):
                session = stack.enter_context(self.backend.open(cell, launch))
            yield session


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """An exception here breaks a promise, one that declines in a line excepted."""
    try:
        yield
    except PromiseBroken:
        raise
    except Unsupported as e:
        if "\n" in str(e) or not str(e):
            raise PromiseBroken(f"it declines, and not in one line: {str(e)!r}") from e
        raise
    except Exception as e:
        reason = " ".join(str(e).split())[:200]
        raise PromiseBroken(f"{what} raises {type(e).__name__}: {reason}") from e


def require(holds: object, broken: str) -> None:
    """What breaks a promise where it does not hold."""
    if not holds:
        raise PromiseBroken(broken)


def inputs_of(cell: Cell) -> list[dict[str, Any]]:
    return [tensor_io.load_inputs(s) for s in cell.sets]


def expected_of(cell: Cell) -> list[dict[str, Any]]:
    return [tensor_io.load_expected(s) for s in cell.sets]


def copied(tensors: Tensors) -> dict[str, Any]:
    return {n: np.array(a) for n, a in tensors.items()}


def alike(a: Tensors, b: Tensors, rtol: float = 1e-4) -> bool:
    """The same names in the same order, the same types and shapes, values as near as engines come."""
    return list(a) == list(b) and all(
        (x.dtype, x.shape) == (y.dtype, y.shape) and np.allclose(x, y, rtol, 1e-5)
        for x, y in zip(a.values(), b.values(), strict=True)
    )


def require_outputs(got: Tensors, expected: Tensors, of: str) -> None:
    """Say what is wrong with outputs: their names first, their values last."""
    require(isinstance(got, Mapping), f"{of}: a {type(got).__name__}, not arrays by name")
    require(
        list(got) == list(expected), f"{of}: outputs {list(got)}, the model's: {list(expected)}"
    )
    for n, e in expected.items():
        kind = getattr(got[n], "dtype", type(got[n]))
        require(kind == e.dtype, f"{of}: {n} is of {kind}, the model's type is {e.dtype}")
        require(got[n].shape == e.shape, f"{of}: {n} has shape {got[n].shape}, not {e.shape}")
    require(alike(got, expected), f"{of}: wrong values")


def require_figures_that_can_be(timed: Timed, took_ns: int, sets: int) -> None:
    """What is told beside samples, and samples that were put in order or cut; all in a call of `took_ns`."""
    samples = timed.samples_ns
    kernel = (timed.floor_ns, timed.run_delay_ns or 0, timed.throttled_us or 0, timed.cpu_ns or 0)
    require(min(kernel) >= 0, f"a negative floor, run delay, throttling or CPU time: {kernel}")
    require(timed.floor_ns <= max(samples), f"an empty run takes {timed.floor_ns} ns, as it says")
    most_ns = took_ns * (os.cpu_count() or 1) * 1.1 + 20e6  # of the kernel's ticks
    require((timed.cpu_ns or 0) <= most_ns, f"{timed.cpu_ns} ns of CPU time in {took_ns} ns")
    of_sets = timed.runs_by_set or (len(samples),)
    counted = sum(of_sets) == len(samples) and len(of_sets) in (1, sets)
    require(counted, f"{len(samples)} samples, and of its sets {timed.runs_by_set}")
    for part, values in timed.parts_ns.items():
        right = len(values) == len(samples) and min(values) >= 0
        require(right, f"{part} is not told for each sample, or is negative")
        require(sum(values) <= took_ns * 1.01, f"{part} is longer than the call")
    if len(samples) >= 16:
        in_order = list(samples) in (sorted(samples), sorted(samples, reverse=True))
        require(not in_order, "samples are sorted: they are not in the order of their runs")
        cut = samples.count(max(samples)) * 2 >= len(samples)
        require(not cut, "samples are cut: half of them are its longest")
