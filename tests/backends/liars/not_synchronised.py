"""Lies: time() says that it synchronised, and does not wait for its runs."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from perf.backends import TargetSpec, Tensors, cpu
from perf.backends._ort.session import OrtSession, SessionSpec
from perf.measure.timing import TimedRuns, time_runs
from perf.schema.cell import Cell, Precision


class NotSynchronised(OrtSession):
    """ONNX Runtime's session on the CPU, but for this."""

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
        """A thread is the device's stream: runs are handed to it, and write to buffers of the device."""
        buffers = [{n: a * 0 for n, a in self.infer(feed).items()} for feed in feeds]

        def compute(i: int) -> None:
            for name, array in self.infer(feeds[i]).items():
                buffers[i][name][...] = array

        with ThreadPoolExecutor(1) as stream:

            def run(i: int) -> Tensors:
                stream.submit(compute, i)
                return buffers[i]

            return time_runs(run, dict, len(feeds), cell, synchronised=True)


BACKEND = replace(
    cpu.BACKEND,
    targets=(TargetSpec("NotSynchronised", Precision.FP32),),
    open=lambda cell, folder: NotSynchronised.open(
        cell, folder, SessionSpec(cell.model.path, ((cpu.BACKEND.provider, {}),))
    ),
    reference=False,
)
