"""A fake engine of two targets that writes down, outside of any run, each launch that it is opened in."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from perf.backends import Backend, ProbeResult, TargetSpec, Tensors
from perf.measure.timing import TimedRuns
from perf.schema.cell import Cell, Precision
from perf.schema.journal import Placement, PrecisionEvidence, Timed

LEDGER = "EP_PERF_TEST_LEDGER"  # the file, named in environments.toml
RUN_S = "EP_PERF_TEST_RUN_S"


class _Session:
    cached: bool | None = None

    def infer(self, feed: Tensors) -> Tensors:
        """Right for models that hand their input on."""
        return {"y": np.asarray(feed["x"])}

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
        """Really takes the time it reports."""
        samples = []
        for _ in range(cell.protocol.runs or 20):
            began = time.monotonic_ns()
            time.sleep(float(os.environ.get(RUN_S, "0.001")))
            samples.append(time.monotonic_ns() - began)
        timed = Timed(tuple(samples), cell.io.value, len(feeds), 3, 0, None, None, True)
        return TimedRuns(timed, no_outputs="it runs nothing while it times")

    def placement(self) -> Placement | None:
        """All on its own provider."""
        return Placement(
            "graph_assignment", {"Ledger": 1}, {"Ledger": {"Identity": 1}}, {"Ledger": 1}
        )

    def precision_evidence(self) -> PrecisionEvidence | None:
        """It says nothing of precision."""
        return None


@contextmanager
def _open(cell: Cell, launch: Path) -> Iterator[_Session]:
    told = {
        "cell": cell.id,
        "launch": launch.name,
        "at_s": time.monotonic(),
        "omp": os.environ.get("OMP_NUM_THREADS"),
    }
    line = json.dumps(told) + "\n"
    fd = os.open(os.environ[LEDGER], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)
    yield _Session()


def _missing(_found: ProbeResult) -> str:
    return ""


BACKEND = Backend(
    targets=(
        TargetSpec("LedgerOne", Precision.FP32, ("one",)),
        TargetSpec("LedgerTwo", Precision.FP32, ("two",)),
    ),
    open=_open,
    missing=_missing,
    provider="Ledger",
)
