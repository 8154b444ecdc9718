"""Records made by hand: two models, every outcome, and figures small enough to check on paper."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from perf.machine.gpus import Gpu
from perf.machine.system import SystemInfo
from perf.schema import cell as cells
from perf.schema import journal, record
from perf.schema.cell import Cell, Precision
from perf.schema.journal import Stage, Timed
from perf.schema.record import Ending, Launch, LaunchKind, Outcome, Record

RUN_ID = "20261126T120000-box-ab12"
CPU, CUDA, TRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
PASSED, MS = record.Passed(), 1_000_000

# Every outcome there is, with what its row must say: status, error type, exact outcome, stage.
EVERY_OUTCOME: Mapping[Outcome, tuple[str, str, str, str]] = {
    PASSED: ("Pass", "", "Passed", ""),
    record.Mismatched("set_0/y", "3 of 10 elements differ"): (
        "Fail", "result accuracy issue", "Mismatched(set_0/y)", "validate",
    ),
    record.Raised(Stage.CREATE, "Fail", "=no kernel, for Foo"): (
        "Fail", "runtime error", "Raised(create, Fail)", "create",
    ),
    record.Raised(Stage.PREPARE, "ValueError", "bad .pb"): (
        "Fail", "script error", "Raised(prepare, ValueError)", "prepare",
    ),
    record.Crashed(Stage.RUN, "SIGSEGV"): ("Fail", "runtime error", "Crashed(run, SIGSEGV)", "run"),
    record.OutOfMemory("device: 3 GiB asked", Stage.CREATE): (
        "Fail", "runtime error", "OutOfMemory(create, device)", "create",
    ),
    record.TimedOut(Stage.TIME, 1800.0): ("Fail", "runtime error", "TimedOut(time, 1800 s)", "time"),
    record.FellBack("none of 8 nodes ran on X"): ("Fail", "runtime error", "FellBack", "place"),
    record.PrecisionNotAttained("fp16", 0.01): (
        "Fail", "runtime error", "PrecisionNotAttained(fp16, 1.0%)", "place",
    ),
    record.ArtefactFailed("fp16: no converter"): ("Fail", "script error", "ArtefactFailed", ""),
    record.EnvironmentFailed("no interpreter at /x"): ("Fail", "script error", "EnvironmentFailed", ""),
    record.Skipped("no device"): ("Skipped", "skipped", "Skipped", ""),
    record.NotRun("interrupted"): ("NotRun", "not run", "NotRun", ""),
}  # fmt: skip


def cell(
    model: str = "squeezenet", target: str = CPU, precision: Precision = Precision.FP32,
    variant: str = "", provider: str | None = None, **changes: object,
) -> Cell:  # fmt: skip
    """A cell of a one-input vision model."""
    label = target if precision is Precision.FP32 else f"{target}_{precision.value}"
    made = Cell(
        id=f"{model}::{label}" + (f"[{variant}]" if variant else ""), digest="",
        model=cells.ModelFile(model, f"/models/{model}/model.onnx", "ab" * 32, f"/models/{model}"),
        target=cells.Target(target, precision, "default", label), variant=variant,
        provider=target if provider is None else provider,
        environment=cells.Environment("default", "/opt/python", {}, {"onnxruntime": "1.31.1"}),
        options={}, session_config={}, graph_optimization="all", io=cells.Io.HOST, tf32=False,
        protocol=cells.Protocol(), tolerance=cells.Tolerance(1e-3, 1e-4), inputs_digest="cd" * 32,
        sets=(cells.TestSet("set_0", (cells.TensorFile("x", "x.npy", 1, (1, 3, 224, 224)),), origin="stored"),),
    )  # fmt: skip
    # not the cell's real digest, which changes with what a digest is made of
    digest = hashlib.sha256(made.id.encode("utf-8", "replace")).hexdigest()[:8]
    return replace(made, digest=digest, **changes)  # type: ignore[arg-type]


def timed(samples_ms: Sequence[float], **changes: object) -> Timed:
    """Samples given in ms."""
    samples_ns = tuple(round(s * MS) for s in samples_ms)
    made = Timed(samples_ns, "host", 2, 3, 50, 0, 0, synchronised=True)
    return replace(made, **changes)  # type: ignore[arg-type]


def check(provider: str, nodes: Mapping[str, int], **changes: object) -> Launch:
    """A check launch of 10 right elements, and nodes placed as told, all of type Conv."""
    made = Launch(
        "check", LaunchKind.CHECK, PASSED, Ending(0, None, peak_rss_mib=150.0, wall_s=1.0),
        boot_id="boot", cold=True, created=journal.Created(0.25), first_run=journal.FirstRun(0.0125),
        host_memory=journal.HostMemory(50.0, 120.0),
        compared=(journal.Compared("set_0", "y", "", 0, 10, 1e-5, 1e-4, 1e-6, 1.0, (0, 3), "stored"),),
        placement=journal.Placement(
            "graph_assignment", nodes, {p: {"Conv": n} for p, n in nodes.items()},
            {provider: 2}, {p: 100.0 * n for p, n in nodes.items()},
        ),
        versions={"onnxruntime": "1.31.1"},
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def measure(index: int, samples_ms: Sequence[float], **changes: object) -> Launch:
    """A measure launch; its round is its index."""
    made = Launch(
        f"measure_{index}", LaunchKind.MEASURE, PASSED, Ending(0, None, peak_rss_mib=160.0),
        boot_id="boot", round=index, order=index, created=journal.Created(0.2 + index / 100),
        first_run=journal.FirstRun(0.01), timed=timed(samples_ms),
        host_memory=journal.HostMemory(50.0, 130.0 + index),
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def watched(index: int, kernels_ms: Sequence[float], copies_ms: float = 0.0) -> Launch:
    """A device launch of runs whose kernels took so long."""
    kernels_ns = tuple(round(ms * MS) for ms in kernels_ms)
    busy_ns = tuple(ns + round(copies_ms * MS) for ns in kernels_ns)
    return Launch(
        f"device_{index}", LaunchKind.DEVICE, PASSED, Ending(0, None), round=index,
        device_timed=journal.DeviceTimed(kernels_ns, busy_ns, 91, "cupti"),
    )  # fmt: skip


def benchmarked(made: Cell, centres_ms: Sequence[float], nodes: Mapping[str, int]) -> Record:
    """A passed record: a launch of 20 runs around each centre, ±1 %, slowest in the middle."""
    launches = [check(made.provider, nodes)]
    for i, centre in enumerate(centres_ms):
        launches.append(measure(i, [centre * (1 + (k % 5 - 2) / 200) for k in range(20)]))
    return Record(made, PASSED, tuple(launches), RUN_ID, 12.5, (), "2026-11-26T12:00:00Z")


def with_launches(made: Record, kind: LaunchKind | None = None, **changes: object) -> Record:
    """A record with its launches (of a kind) changed."""
    launches = (
        replace(x, **changes) if kind in (None, x.kind) else x  # type: ignore[arg-type]
        for x in made.launches
    )
    return replace(made, launches=tuple(launches))


def failed(made: Cell, outcome: Outcome, ending: Ending | None = None) -> Record:
    """A record whose check launch ended so; no launch for what was never started."""
    never = (record.Skipped, record.NotRun, record.EnvironmentFailed, record.ArtefactFailed)
    launch = Launch("check", LaunchKind.CHECK, outcome, ending or Ending(1, None))
    launches = () if isinstance(outcome, never) else (launch,)
    tail = ("[E] kernel not found", "Foo(1) is not supported")
    return Record(made, outcome, launches, RUN_ID, 1.0, tail, "2026-11-26T12:00:01Z")


def two_models() -> tuple[Record, ...]:
    """Plan order: squeezenet on four targets and a variant, then bert on the same."""
    cpu = benchmarked(cell(), (8.0, 8.1, 7.9, 8.2, 8.0), {CPU: 65})
    cuda = benchmarked(cell(target=CUDA, tf32=True), (4.0, 4.1, 4.0, 4.1, 4.0), {CUDA: 60, CPU: 5})
    gpu_memory = record.GpuMemory(900.0, 100.0, "process", {"create": 700.0, "time": 900.0}, 50)
    trt = benchmarked(cell(target=TRT), (2.0, 2.0, 2.1, 2.1, 2.0), {TRT: 64, CUDA: 1})
    half = cell(target=TRT, precision=Precision.FP16)
    graphed = cell(target=CUDA, variant="graph=1", options={"enable_cuda_graph": "1"})
    return (
        cpu,
        with_launches(cuda, gpu_memory=gpu_memory),
        trt,
        benchmarked(half, (1.0, 1.1, 1.0, 1.0, 1.0), {TRT: 64, CUDA: 1}),
        benchmarked(graphed, (8.5, 7.4, 8.3, 7.9, 8.0), {CUDA: 65}),
        failed(cell("bert"), record.Mismatched("set_0/y", "3 of 10 elements differ")),
        failed(cell("bert", CUDA), record.Crashed(Stage.RUN, "SIGSEGV"), Ending(None, 11)),
        failed(cell("bert", TRT), record.TimedOut(Stage.CREATE, 1800.0)),
        failed(cell("bert", TRT, Precision.FP16), record.Skipped("no device")),
        failed(cell("bert", CUDA, variant="graph=1"), record.NotRun("interrupted")),
    )


def every_outcome() -> tuple[Record, ...]:
    """A record per outcome, each a model of its own on one target."""
    return tuple(failed(cell(f"model_{i}", "X"), o) for i, o in enumerate(EVERY_OUTCOME))


def host() -> SystemInfo:
    """A small machine with a GPU."""
    return SystemInfo(
        hostname="box", os="Debian GNU/Linux 12", kernel="6.1.0", architecture="x86_64",
        cpu="AMD EPYC", logical_cores=4, usable_cores=2, physical_cores=2, cpu_quota_cores=1.5,
        governor="performance", memory_mib=24105.6, memory_limit_mib=None, boot_id="boot",
        gpus=(Gpu(0, "GPU-1", "Board", 16384.0, "550.1", "12.4", 300.0),),
        environments={"default": {"onnxruntime": "1.31.1", "numpy": "2.4.6"}},
        interpreters={"default": "/opt/python"}, harness_commit="0123abc",
    )  # fmt: skip
