"""The CPU EP with a fault put on its outputs, chosen by a cell's options: what a wrong EP looks like."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from perf.backends import TargetSpec, Tensors, cpu
from perf.backends._ort.session import OrtSession, SessionSpec
from perf.measure.timing import TimedRuns
from perf.schema.cell import Cell, Precision


def spoil(fault: str, outputs: Tensors, feed: Tensors) -> Tensors:
    """The outputs with a fault; the names of those that exchange places are the first two."""
    out = dict(outputs)
    match fault.partition("_"):
        case ("zeroed", _, _):
            return {n: np.zeros_like(a) for n, a in out.items()}
        case ("scaled", _, by):
            return {
                n: (a * a.dtype.type(by) if a.dtype.kind == "f" else a) for n, a in out.items()
            }
        case ("swapped", _, _):
            first, second, *_ = out
            return {**out, first: out[second], second: out[first]}
        case ("shifted", _, by):
            return {n: a + np.asarray(by, a.dtype) for n, a in out.items()}
        case ("fed", _, _):
            return dict(zip(out, feed.values(), strict=True))
        case ("infinite", _, _):
            return {n: np.full_like(a, np.inf) for n, a in out.items()}
    return out


class _Faulty(OrtSession):
    """Wrong in `infer`, which a check looks at, and with `timed` when timed; under -g `right_at` it is right."""

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
        """Samples of the CPU EP, and its outputs, with `timed` spoilt."""
        runs, fault = super().time(feeds, cell), self._cell.options.get("fault", "")
        if "timed" not in self._cell.options:
            return runs
        last = feeds[(len(runs.timed.samples_ns) - 1) % len(feeds)]
        return replace(
            runs, first=spoil(fault, runs.first, feeds[0]), last=spoil(fault, runs.last, last)
        )

    def infer(self, feed: Tensors) -> Tensors:
        """The CPU EP's outputs, spoilt."""
        options, outputs = self._cell.options, super().infer(feed)
        if self._cell.graph_optimization == options.get("right_at"):
            return outputs
        return spoil(options.get("fault", ""), outputs, feed)


@contextmanager
def _open(cell: Cell, launch: Path) -> Iterator[_Faulty]:
    spec = SessionSpec(cell.model.path, [(cell.provider, {})])
    with _Faulty.open(cell, launch, spec) as session:
        yield session


BACKEND = replace(
    cpu.BACKEND,
    targets=(TargetSpec("FaultyExecutionProvider", Precision.FP32, ("faulty",)),),
    open=_open,
    reference=False,
    option_names=None,  # its faults
)
