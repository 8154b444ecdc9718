"""Run folders made by hand, with launches as fast, as right and as placed as a test wants them."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from perf.machine.system import SystemInfo
from perf.schema import codec, record
from perf.schema.cell import (
    Cell,
    Environment,
    Io,
    ModelFile,
    Precision,
    Protocol,
    Target,
    TensorFile,
    TestSet,
    Tolerance,
    seal,
)
from perf.schema.journal import Compared, Created, HostMemory, Placement, Timed
from perf.schema.record import Ending, GpuMemory, Launch, LaunchKind, Outcome, Passed, Record

FINE = Ending(status=0, signal=None)
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


@dataclass(frozen=True)
class Made:
    """What a test says of a cell; the rest is the same for all."""

    model: str = "squeezenet"
    target: str = CUDA
    environment: str = "default"
    launch_ms: Sequence[float] = (5.0, 5.01, 5.02, 5.01, 5.0)
    outcome: Outcome = field(default_factory=Passed)
    session_s: float = 0.5
    host_mib: float = 100.0
    gpu_mib: float | None = None
    norm: float = 1e-5
    mismatched: int = 0
    problem: str = ""
    nodes: tuple[int, int] = (60, 5)  # on the EP, on the CPU EP
    partitions: int = 2
    slow_quarter: float = 1.0  # the slowest quarter of the runs takes so many times as long
    version: str = "1.31.1"
    runs: int = 40
    tf32: bool = False
    io: Io = Io.HOST
    variables: Mapping[str, str] = field(default_factory=dict)
    sha: str = "ab"
    run_delay: float = 0.0  # share of the timed loop
    boot: str = "boot"


def cell_of(m: Made) -> Cell:
    """The cell of what a test made."""
    at = "" if m.environment == "default" else f"@{m.environment}"
    name, half = m.target.removesuffix("_fp16"), m.target.endswith("_fp16")
    label = m.target + at
    tensor = TensorFile("x", "x.npy", 1, (1, 3, 224, 224))
    return seal(Cell(
        id=f"{m.model}::{label}", digest="",
        model=ModelFile(m.model, f"/m/{m.model}.onnx", m.sha * 32, "/m"),
        target=Target(name, Precision.FP16 if half else Precision.FP32, m.environment, label),
        variant="", provider=name,
        environment=Environment(m.environment, "/opt/python", m.variables, {"onnxruntime": m.version}),
        options={}, session_config={}, graph_optimization="all", io=m.io, tf32=m.tf32,
        protocol=Protocol(launches=len(m.launch_ms) or 5), tolerance=Tolerance(1e-3, 1e-5),
        inputs_digest="cd" * 4, sets=(TestSet("set_0", (tensor,)),),
    ))  # fmt: skip


def samples(median_ms: float, runs: int, slow_quarter: float, seed: int) -> tuple[int, ...]:
    """Runs around a median, right-skewed as real ones are."""
    chance = random.Random(seed)
    out = [median_ms * 1e6 * (1 + abs(chance.gauss(0, 0.002))) for _ in range(runs)]
    slow = runs // 4
    out[:slow] = [x * slow_quarter for x in out[:slow]]
    return tuple(round(x) for x in out)


def record_of(m: Made, *, first_order: int = 0, order_step: int = 1) -> Record:
    """A cell's record: a check launch and a measure launch per `launch_ms`."""
    cell = cell_of(m)
    on_ep, elsewhere = m.nodes
    nodes = {cell.provider: on_ep, CPU: elsewhere}
    check = Launch(
        "check", LaunchKind.CHECK, m.outcome, FINE, boot_id=m.boot,
        compared=(Compared("set_0", "y", m.problem, m.mismatched, 1000, relative_norm=m.norm),),
        placement=Placement("graph_assignment", nodes, {}, {cell.provider: m.partitions}),
    )  # fmt: skip
    launches = [check]
    for i, ms in enumerate(m.launch_ms):
        timed = Timed(
            samples(ms, m.runs, m.slow_quarter, i), m.io.value, 1, 3, 50,
            round(m.run_delay * m.runs * ms * 1e6), 0, synchronised=True,
        )  # fmt: skip
        launches.append(Launch(
            f"measure_{i}", LaunchKind.MEASURE, Passed(), FINE, began_s=float(i), boot_id=m.boot,
            round=i, order=first_order + order_step * i, created=Created(m.session_s), timed=timed,
            host_memory=HostMemory(50.0, 50.0 + m.host_mib),
            gpu_memory=GpuMemory(m.gpu_mib + 300, 300.0, "process") if m.gpu_mib else None,
            versions={"onnxruntime": m.version},
        ))  # fmt: skip
    return Record(cell, m.outcome, tuple(launches), run_id="run")


HOST = SystemInfo(
    hostname="box", os="Linux", kernel="6", architecture="x86_64", cpu="EPYC", logical_cores=2,
    usable_cores=2, physical_cores=2, cpu_quota_cores=None, governor="", memory_mib=8e3,
    memory_limit_mib=None, boot_id="boot",
)  # fmt: skip


def write_run(
    folder: Path, cells: Sequence[Made | Record], host: SystemInfo = HOST, ab: Sequence[str] = ()
) -> Path:
    """A run's folder with these cells; returns it."""
    for made in cells:
        found = made if isinstance(made, Record) else record_of(made)
        found = replace(found, run_id=folder.name)
        where = folder / "cells" / found.cell.folder
        where.mkdir(parents=True)
        record.write_record(found, where / "record.json")
    (folder / "run.json").write_text(json.dumps({"run_id": folder.name, "ab": list(ab)}))
    (folder / "host.json").write_text(json.dumps(codec.encode(host)))
    return folder
