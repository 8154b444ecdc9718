"""How near the torch targets' samples are to a bare loop over the same module, in the same process, in turn.

    ENVIRONMENT/bin/python -m benchmarks.torch_fidelity [--rounds 40] [--runs 50] [--write]

Run by an interpreter with PyTorch and numpy. A round times the harness's session and a bare loop in random order; the figure
is the median over rounds of the ratio of their medians, with the 2.5th and 97.5th percentile of its bootstrap.
"""

import argparse
import contextlib
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import page
from perf.backends import Backend
from perf.backends import torch as eager
from perf.backends import torch_script as script
from perf.request.model_forms import read_form
from perf.request.tolerances import default_tolerance
from perf.schema.cell import Cell, Environment, Io, ModelFile, Precision, Protocol, Target

RUNS = Protocol(
    runs=50, warmup=5, intra_op_threads=1
)  # one thread: what else runs here disturbs least
BARS = {"tiny": "within 1 us", "convolutions": "within 1 %"}
BACKENDS = {"torch": eager.BACKEND, "torch_script": script.BACKEND}


def convolutions() -> tuple[Any, Any]:
    """Half a ms of work: three convolutions on a small image; what else runs here seldom stops so short a run."""
    import torch  # here and below, so that --help needs none

    layers: list[Any] = []
    for width in (3, 32, 64):
        layers += [torch.nn.Conv2d(width, 32 if width == 3 else 64, 3, padding=1), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers), (torch.rand(1, 3, 24, 24),)


def tiny() -> tuple[Any, Any]:
    """Some µs of work, in which whatever the harness adds would show."""
    import torch

    return torch.nn.Linear(64, 64), (torch.rand(1, 64),)


def cell_of(name: str, entry: str, io: Io, runs: int) -> Cell:
    """A cell of an entry point of this file."""
    form = read_form(f"benchmarks.torch_fidelity:{entry}", Path.cwd())
    model = ModelFile(entry, form.path, form.sha256, "", format=form.format, forms=(form,))
    target = Target(name, Precision.FP32, "here", name)
    return Cell(
        id=entry, digest="", model=model, target=target, variant="", provider="",
        environment=Environment("here", sys.executable), options={}, session_config={},
        graph_optimization="all", io=io, tf32=False, protocol=replace(RUNS, runs=runs),
        tolerance=default_tolerance(Precision.FP32), inputs_digest="", form=form,
    )  # fmt: skip


def bare_ns(module: Any, arrays: list[Any], io: Io, runs: int) -> float:
    """The median of a loop that a person would write."""
    import torch

    resident = [torch.from_numpy(a) for a in arrays]
    samples = []
    with torch.inference_mode():
        for _ in range(RUNS.warmup):
            module(*resident)
        if io is Io.DEVICE:
            for _ in range(runs):
                began = time.perf_counter_ns()
                module(*resident)
                samples.append(time.perf_counter_ns() - began)
        else:
            for _ in range(runs):
                began = time.perf_counter_ns()
                module(*map(torch.from_numpy, arrays))  # its result is on the host already
                samples.append(time.perf_counter_ns() - began)
    return statistics.median(samples)


def ratios(backend: Backend, cell: Cell, rounds: int) -> list[tuple[float, float]]:
    """The session's median and the bare loop's, in ns, round by round."""
    runs = cell.protocol.runs or 0
    chance = random.Random(0)
    out: list[tuple[float, float]] = []
    with contextlib.ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
        session: Any = held.enter_context(backend.open(cell, folder))
        arrays = [t.numpy().copy() for t in session._arguments.tensors().values()]
        feed = dict(zip(session._names, arrays, strict=True))
        ways: list[Callable[[], float]] = [
            lambda: statistics.median(session.time([feed], cell).timed.samples_ns),
            lambda: bare_ns(session._call, arrays, cell.io, runs),
        ]
        for _ in range(rounds):
            order = chance.sample((0, 1), 2)
            got = {which: ways[which]() for which in order}
            out.append((got[0], got[1]))
    return out


def main() -> int:
    """Print a row for each target, module and io."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/performance.md"
    )
    asked = parser.parse_args()
    rows = [
        _row(name, entry, io, ratios(backend, cell_of(name, entry, io, asked.runs), asked.rounds))
        for name, backend in BACKENDS.items()
        for entry in ("tiny", "convolutions")
        for io in Io
    ]
    command = f"python -m benchmarks.torch_fidelity --rounds {asked.rounds} --runs {asked.runs}"
    header = (
        "target",
        "module",
        "io",
        "bare p50 us",
        "median ratio",
        "95 %",
        "difference us",
        "bar",
    )
    note = "By the interpreter of the environment `torch`; both loops in one process, in random order, a thread each."
    page.publish(
        page.Table("torch_fidelity", command, header, tuple(rows), (note,)), into_page=asked.write
    )
    return 0


def _row(
    target: str, module: str, io: Io, rounds: Sequence[tuple[float, float]]
) -> tuple[str, ...]:
    """The session's median over the bare loop's, a pair of ns for each round."""
    found = np.array([session / bare for session, bare in rounds])
    rng = np.random.default_rng(0)
    drawn = np.median(rng.choice(found, (2000, len(found))), axis=1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    bare_us = statistics.median(bare for _, bare in rounds) / 1e3
    more_us = statistics.median(session - bare for session, bare in rounds) / 1e3
    row = (
        target, module, io.value, f"{bare_us:,.2f}", f"{statistics.median(found) - 1:+.2%}",
        f"{low - 1:+.2%} … {high - 1:+.2%}", f"{more_us:+.2f}", BARS[module],
    )  # fmt: skip
    print(*row, sep="  ", file=sys.stderr, flush=True)
    return row


if __name__ == "__main__":
    sys.exit(main())
