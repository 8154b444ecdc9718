"""Run folders made by hand, with launches as fast, as right and as placed as a test wants them."""

import contextlib
import csv
import io
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from comparison.cli import Question, main
from perf.schema import codec, record
from perf.schema.cell import Cell, Environment, Io, Precision, Protocol, seal
from perf.schema.journal import Compared, Created, HostMemory, Placement
from perf.schema.record import Outcome, Record
from tests.results import hand_made
from tests.results.hand_made import CPU, CUDA, PASSED


@dataclass(frozen=True)
class Made:
    """What a test says of a cell; the rest is the same for all."""

    model: str = "squeezenet"
    target: str = CUDA
    environment: str = "default"
    launch_ms: Sequence[float] = (5.0, 5.01, 5.02, 5.01, 5.0)
    outcome: Outcome = field(default_factory=lambda: PASSED)
    session_s: float = 0.5
    host_mib: float = 100.0
    norm: float = 1e-5
    mismatched: int = 0
    nodes: tuple[int, int] = (60, 5)  # on the EP, on the CPU EP
    partitions: int = 2
    slow_quarter: float = 1.0  # the slowest quarter of the runs takes so many times as long
    version: str = "1.31.1"
    runs: int = 40
    io: Io = Io.HOST
    run_delay: float = 0.0  # share of the timed loop
    device_ms: float = 0.0  # kernels' time of a run; 0: nobody watched


def cell_of(m: Made) -> Cell:
    """The cell of what a test made."""
    at = "" if m.environment == "default" else f"@{m.environment}"
    name, half = m.target.removesuffix("_fp16"), m.target.endswith("_fp16")
    cell = hand_made.cell(m.model, name, Precision.FP16 if half else Precision.FP32)
    label = m.target + at
    return seal(replace(
        cell, id=f"{m.model}::{label}", target=replace(cell.target, label=label, environment=m.environment),
        environment=Environment(m.environment, "/opt/python", {}, {"onnxruntime": m.version}),
        io=m.io, protocol=Protocol(launches=len(m.launch_ms) or 5),
    ))  # fmt: skip


def samples_ms(median_ms: float, m: Made, seed: int) -> list[float]:
    """Runs around a median, right-skewed as real ones are."""
    chance, slow = random.Random(seed), m.runs // 4
    runs = [median_ms * (1 + abs(chance.gauss(0, 0.002))) for _ in range(m.runs)]
    return [x * m.slow_quarter for x in runs[:slow]] + runs[slow:]


def record_of(m: Made, *, first_order: int = 0, order_step: int = 1) -> Record:
    """A cell's record: a check launch and a measure launch per `launch_ms`."""
    cell = cell_of(m)
    nodes = dict(zip((cell.provider, CPU), m.nodes, strict=False))
    compared = Compared("set_0", "y", "", m.mismatched, 1000, relative_norm=m.norm)
    placed = Placement("graph_assignment", nodes, {}, {cell.provider: m.partitions})
    launches = [hand_made.check("", {}, outcome=m.outcome, compared=(compared,), placement=placed)]
    for i, ms in enumerate(m.launch_ms):
        delay_ns = round(m.run_delay * m.runs * ms * 1e6)
        timed = hand_made.timed(samples_ms(ms, m, i), io=m.io.value, run_delay_ns=delay_ns)
        launches.append(hand_made.measure(
            i, [], began_s=float(i), order=first_order + order_step * i, created=Created(m.session_s),
            timed=timed, host_memory=HostMemory(50.0, 50.0 + m.host_mib), versions={"onnxruntime": m.version},
        ))  # fmt: skip
        if m.device_ms:
            launches.append(hand_made.watched(i, [m.device_ms] * 20))
    return Record(cell, m.outcome, tuple(launches), run_id="run")


def write_run(folder: Path, cells: Sequence[Made | Record], ab: Sequence[str] = ()) -> Path:
    """A run's folder with these cells; returns it."""
    for made in cells:
        found = made if isinstance(made, Record) else record_of(made)
        where = folder / "cells" / found.cell.folder
        where.mkdir(parents=True)
        record.write_record(replace(found, run_id=folder.name), where / "record.json")
    (folder / "run.json").write_text(json.dumps({"run_id": folder.name, "ab": list(ab)}))
    (folder / "host.json").write_text(json.dumps(codec.encode(hand_made.host())))
    return folder


def write_two(previous: Sequence[Made], current: Sequence[Made]) -> list[str]:
    """Two runs in the current folder, and the flags that compare them."""
    write_run(Path("result/a"), previous)
    write_run(Path("result/b"), current)
    return ["-p", "a", "-c", "b"]


@dataclass(frozen=True)
class Answer:
    """What a command came to: its exit status, what it printed, and its CSV."""

    status: int
    out: str
    err: str
    rows: list[dict[str, str]]


def compare(*words: str, question: Question = Question.ALL) -> Answer:
    """Run a command in this process."""
    out, err, path = io.StringIO(), io.StringIO(), Path("out.csv")
    path.unlink(missing_ok=True)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(question, words if "-o" in words else (*words, "-o", str(path)))
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return Answer(status, out.getvalue(), err.getvalue(), list(csv.DictReader(io.StringIO(text))))
