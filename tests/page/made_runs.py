"""Runs of any size made from a seed: what a page must cope with, drawn so that two makings are equal."""

import json
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from perf.machine.gpus import Gpu
from perf.machine.system import SystemInfo
from perf.report.finished_run import FinishedRun
from perf.results.run_folder import RunFolder
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
from perf.schema.journal import (
    Compared,
    Created,
    FirstRun,
    HostMemory,
    Note,
    Placement,
    PrecisionEvidence,
    Stage,
    Timed,
)
from perf.schema.record import (
    ArtefactFailed,
    Crashed,
    Ending,
    EnvironmentFailed,
    FellBack,
    GpuCounters,
    GpuMemory,
    KilledFor,
    Launch,
    LaunchKind,
    Mismatched,
    NotRun,
    Outcome,
    OutOfMemory,
    Passed,
    PrecisionNotAttained,
    Raised,
    Record,
    Skipped,
    TimedOut,
    write_record,
)

RUN_ID = "20261201T090000-box-0001"
CPU, CUDA, TRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
OPENVINO, ALONE = "OpenVINOExecutionProvider", "Standalone_TRT"
# Targets of a large run: name, precision, provider, how many times as fast as the CPU EP.
TARGETS = (
    (CPU, Precision.FP32, CPU, 1.0),
    (CUDA, Precision.FP32, CUDA, 4.0),
    (CUDA, Precision.FP16, CUDA, 7.0),
    (TRT, Precision.FP32, TRT, 5.0),
    (TRT, Precision.FP16, TRT, 12.0),
    (OPENVINO, Precision.FP32, OPENVINO, 1.02),
    (ALONE, Precision.FP16, "", 13.0),
)
FAILURES: tuple[Outcome, ...] = (
    Mismatched(
        "set_0/y", "3 of 1000 elements differ, max abs 0.12, max rel 0.4, relative norm 0.02"
    ),
    Raised(Stage.CREATE, "Fail", "[ONNXRuntimeError] : 1 : FAIL : no kernel for Foo(1)"),
    Crashed(Stage.RUN, "SIGSEGV"),
    OutOfMemory("device: CUDA failure 2: out of memory", Stage.CREATE),
    TimedOut(Stage.TIME, 1800.0),
    FellBack("none of 65 nodes ran on it (65 on CPUExecutionProvider)"),
    PrecisionNotAttained("fp16", 0.01),
    ArtefactFailed("fp16: no converter for Bar"),
    EnvironmentFailed("no interpreter there"),
    Skipped("no device"),
    NotRun("interrupted"),
)
NEVER_STARTED = (Skipped, NotRun, EnvironmentFailed, ArtefactFailed)
HOST = SystemInfo(
    hostname="box", os="Debian GNU/Linux 12", kernel="6.1.0", architecture="x86_64", cpu="AMD EPYC 9354",
    logical_cores=16, usable_cores=16, physical_cores=8, cpu_quota_cores=None, governor="performance",
    memory_mib=131072.0, memory_limit_mib=None, boot_id="boot",
    gpus=(Gpu(0, "GPU-1", "NVIDIA H200", 143771.0, "580.1", "13.0", 700.0),),
    environments={"default": {"onnxruntime": "1.31.1", "numpy": "2.4.6"}},
    interpreters={"default": "/opt/python"}, harness_commit="0123abc",
)  # fmt: skip


def cell(
    model: str,
    target: str = CPU,
    precision: Precision = Precision.FP32,
    provider: str | None = None,
    variant: str = "",
    batch: int = 1,
) -> Cell:
    """A cell of a one-input vision model."""
    label = target if precision is Precision.FP32 else f"{target}_{precision.value}"
    return seal(
        Cell(
            id=f"{model}::{label}" + (f"[{variant}]" if variant else ""),
            digest="",
            model=ModelFile(model, f"/models/{model}.onnx", f"{model!r}", "/models"),
            target=Target(target, precision, "default", label),
            variant=variant,
            provider=target if provider is None else provider,
            environment=Environment("default", "/opt/python", {}, {"onnxruntime": "1.31.1"}),
            options={},
            session_config={},
            graph_optimization="all",
            io=Io.HOST,
            tf32=False,
            protocol=Protocol(),
            tolerance=Tolerance(1e-3, 1e-4),
            inputs_digest=f"batch {batch}",
            sets=(TestSet("set_0", (TensorFile("x", "x.npy", 1, (batch, 3, 224, 224)),)),),
        )
    )


def passed(
    made: Cell, centre_ms: float, rng: random.Random, runs: int = 60, launches: int = 5
) -> Record:
    """A passed record with noise, a warm-up, now and then a second mode, and rare spikes."""
    on_gpu = made.provider not in (CPU, OPENVINO)
    provider = made.provider or made.target.name
    nodes = {provider: 60, CPU: 5} if provider != CPU else {CPU: 65}
    two_modes = rng.random() < 0.2
    half = made.target.precision is not Precision.FP32
    error = 10 ** rng.uniform(-4, -2.5) if half else 10 ** rng.uniform(-7, -5.5)
    check = Launch(
        "check", LaunchKind.CHECK, Passed(), Ending(0, None, peak_rss_mib=400.0, wall_s=2.0), boot_id="boot",
        cold=True, created=Created(rng.uniform(0.1, 20.0), False), first_run=FirstRun(centre_ms / 300),
        compared=(Compared("set_0", "y", "", 0, 1000, error * 3, error * 9, error, 1 - error**2, (0, 7)),),
        placement=Placement(
            "graph_assignment", nodes, {p: {"Conv": n} for p, n in nodes.items()}, {provider: 2},
            {p: 20.0 * n for p, n in nodes.items()},
        ),
        attested=PrecisionEvidence("fp16", 0.93, None, "engine inspector") if half else None,
        notes=(Note("engine", "built"),) if on_gpu else (),
    )  # fmt: skip
    measured = []
    for i in range(launches):
        middle = centre_ms * (1 + rng.gauss(0, 0.01))
        samples = []
        for k in range(runs):
            v = middle * (1 + rng.gauss(0, 0.008)) * (1 + 0.3 * math.exp(-k / 3))
            v *= 1.15 if two_modes and rng.random() < 0.3 else 1.0
            v *= 3.0 if rng.random() < 0.002 else 1.0
            samples.append(round(v * 1e6))
        measured.append(
            Launch(
                f"measure_{i}", LaunchKind.MEASURE, Passed(), Ending(0, None, peak_rss_mib=420.0),
                boot_id="boot", round=i, order=i, created=Created(rng.uniform(0.05, 0.3), True),
                first_run=FirstRun(centre_ms / 500),
                timed=Timed(tuple(samples), "host", 1, 3, 50, 0, 0, synchronised=True),
                host_memory=HostMemory(60.0, 200.0 + rng.uniform(0, 30)),
                gpu_memory=_gpu_memory(rng) if on_gpu else None,
                gpu_counters=_counters(rng) if on_gpu else None,
            )
        )  # fmt: skip
    return Record(made, Passed(), (check, *measured), RUN_ID, 30.0, (), "2026-12-01T09:10:00Z")


def failed(
    made: Cell, outcome: Outcome, tail: Sequence[str] = ("[E] kernel not found",)
) -> Record:
    """A record whose check launch ended so; without a launch where none was started."""
    ending = Ending(1, None, peak_rss_mib=300.0, wall_s=1.5)
    if isinstance(outcome, Crashed):
        ending = Ending(None, 11, peak_rss_mib=300.0, wall_s=1.5)
    if isinstance(outcome, TimedOut):
        ending = Ending(None, 9, KilledFor.DEADLINE, outcome.limit_s)
    launch = Launch("check", LaunchKind.CHECK, outcome, ending)
    launches = () if isinstance(outcome, NEVER_STARTED) else (launch,)
    return Record(made, outcome, launches, RUN_ID, 1.0, tuple(tail), "2026-12-01T09:11:00Z")


def run_of(records: Sequence[Record], folder: RunFolder | None = None) -> FinishedRun:
    """A run of these records, with a command for each."""
    return FinishedRun(
        RUN_ID, records, HOST, folder, command=("benchmark_wrapper.py", "-m", "model_list.json"),
        rerun=lambda r: f"python benchmark_wrapper.py -m model_list.json --rerun '{r.cell.id}'",
    )  # fmt: skip


def many_cells(
    models: int, *, fail_every: int = 11, runs: int = 60, seed: int = 1, prefix: str = "model"
) -> list[Record]:
    """So many models on each of TARGETS, one in `fail_every` failed in one of the eleven ways."""
    rng = random.Random(seed)
    out: list[Record] = []
    for m in range(models):
        base = 10 ** rng.uniform(-0.5, 2.5)
        for name, precision, provider, speed in TARGETS:
            made = cell(f"{prefix}_{m:03d}", name, precision, provider)
            if fail_every and len(out) % fail_every == fail_every - 1:
                out.append(failed(made, FAILURES[len(out) // fail_every % len(FAILURES)]))
            else:
                out.append(passed(made, base / speed * rng.uniform(0.8, 1.2), rng, runs))
    return out


def batch_sweep(model: str = "swept", ends_at: int = 64) -> list[Record]:
    """One target over batches, throughput bending at 8, memory ending at `ends_at`."""
    rng, out, batch = random.Random(3), [], 1
    while batch < ends_at:
        ms = 2.0 + 0.25 * batch + (0.9 * max(0, batch - 8))
        made = cell(model, CUDA, variant=f"x={batch}x3x224x224", batch=batch)
        out.append(passed(made, ms, rng))
        batch *= 2
    made = cell(model, CUDA, variant=f"x={batch}x3x224x224", batch=batch)
    return [*out, failed(made, OutOfMemory("device: CUDA failure 2: out of memory", Stage.RUN))]


def hostile(models: int = 1) -> list[Record]:
    """Names and logs that would break a page which trusted them."""
    names = (
        "<script>alert('model')</script>",
        "a_name_of_eighty_characters_" + "x" * 52,
        "نموذج_الصور_العربي",
        "right\u202eto left",
        "bell\x07 and escape\x1b[31m red",
        'quote" onmouseover="alert(1)',
        "half \udce9 a character",
        "line\nbreak & ampersand &lt;",
    )
    tail = ("<img src=x onerror=alert('log')>", "\x1b[31mred\x1b[0m \x00 null", "</pre></details>")
    rng = random.Random(5)
    out = []
    for name in names * models:
        out.append(passed(cell(name), 5.0, rng))
        out.append(
            failed(cell(name, CUDA), Raised(Stage.RUN, "Fail", "<b>bold</b> & \x1b[1m"), tail)
        )
    return out


def stored(results: Path, records: Sequence[Record], profiled: Sequence[str] = ()) -> RunFolder:
    """Records in a run's folder as the harness keeps them, with a profile for the cells named."""
    folder = RunFolder(results, RUN_ID)
    for record in records:
        write_record(record, folder.cell(record.cell) / "record.json")
        if record.cell.id in profiled:
            check = folder.launch(record.cell, "check")
            check.mkdir(parents=True, exist_ok=True)
            events = profile_events(
                record.cell.provider, speed=1.0 + len(record.cell.provider) / 20
            )
            (check / "profile_1.json").write_text(json.dumps(events), encoding="utf-8")
    (folder.root / "run.json").write_text(
        json.dumps(
            {
                "cells": [r.cell.id for r in records],
                "command": ["benchmark_wrapper.py"],
                "label": "",
            }
        ),
        encoding="utf-8",
    )
    return folder


def profile_events(provider: str, speed: float, nodes: int = 40) -> list[dict[str, object]]:
    """Two runs as ONNX Runtime's profile tells them, the second of which counts."""
    rng, events, at = random.Random(9), list[dict[str, object]](), 0.0
    for _ in range(2):
        events.append(
            {
                "cat": "Session",
                "name": "model_run",
                "ts": at,
                "dur": 1,
                "pid": 1,
                "tid": 1,
                "args": {},
            }
        )
        for n in range(nodes):
            took = round(10 ** rng.uniform(0.5, 2.8) / speed, 1)
            where = CPU if n % 9 == 8 else provider
            kind = ("Conv", "Relu", "MatMul", "Add")[n % 4]
            events.append(
                {
                    "cat": "Node", "name": f"/layer{n // 4}/{kind}_{n}_kernel_time", "ts": at, "dur": took,
                    "pid": 1, "tid": 1, "args": {"op_name": kind, "provider": where},
                }
            )  # fmt: skip
            at += took + 1
    return events


def _gpu_memory(rng: random.Random) -> GpuMemory:
    top = rng.uniform(600, 4000)
    by_stage = {
        "load": 0.1 * top,
        "create": 0.7 * top,
        "run": 0.9 * top,
        "warm_up": top,
        "time": top,
    }
    return GpuMemory(top + 500, 500.0, "process", by_stage, 60)


def _counters(rng: random.Random) -> GpuCounters:
    watts = rng.uniform(150, 600)
    return GpuCounters(
        energy_counter_j=watts, energy_integrated_j=watts * 1.01, average_w=watts, idle_w=75.0,
        board_limit_w=700.0, sm_mhz=1900.0, memory_mhz=2600.0, temperature_c=55.0, throttled_share=0.0,
        samples=100, window_s=1.0, power_source="instant",
    )  # fmt: skip


def with_samples(record: Record, launch: int, samples_ns: Sequence[int]) -> Record:
    """The record with one measure launch's samples replaced."""
    measured = [i for i, x in enumerate(record.launches) if x.kind is LaunchKind.MEASURE]
    place = measured[launch]
    old = record.launches[place]
    assert old.timed
    new = replace(old, timed=replace(old.timed, samples_ns=tuple(samples_ns)))
    return replace(record, launches=(*record.launches[:place], new, *record.launches[place + 1 :]))
