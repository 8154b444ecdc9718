"""run_blade.py: a detection model exported once, run eagerly and by each optimiser, in fp32 and fp16."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from perf.cli import framework_exports, framework_run
from perf.cli.exit_codes import run_and_report
from perf.cli.framework_run import FrameworkOptions
from perf.machine.gpus import find_gpus
from perf.report.framework_tables import BACKENDS, Row, format_detection
from perf.request.command_parser import CommandParser
from perf.request.programs import command_of
from perf.schema.record import Record

NETWORKS = "setup_models.networks.detectors"
MODELS = {  # by test: the entry point, and whether its source is scripted
    "testCascadeRCNN": ("cascade_rcnn", False),
    "testMaskRCNNC4": ("mask_rcnn_c4", False),
    "testMaskRCNNFPN": ("mask_rcnn_fpn", False),
    "testMaskRCNNFPN_b2": ("mask_rcnn_fpn_b2", False),
    "testMaskRCNNFPN_pproc": ("mask_rcnn_fpn_pproc", False),
    "testRetinaNet": ("retinanet", False),
    "testRetinaNet_scripted": ("retinanet", True),
}
RUNS, WARMUP = 200, 100
CPU_SIDE, GPU_SIDE = (
    128,
    800,
)  # of an image, as the entry points make it; optimisers take half and twice that
# in half precision boxes of all but equal scores change places, and the last that are kept are other ones
HALF = {"rtol": 0.05, "atol": 0.05, "percent_mismatch": 25.0}
LOOSER = dict.fromkeys(("fp16", "fp32+fp16"), HALF)
# fp16 has always meant autocast in this table; an optimiser that has none holds half weights
TARGETS = {
    "torch": ("torch", "torch_fp32+fp16"),
    "torch_script": ("torch_script", "torch_script_fp32+fp16"),
    "torch_blade": ("torch_blade", "torch_blade_fp16"),
    "torch_tensorrt": ("torch_tensorrt", "torch_tensorrt_fp16"),
}


def make_parser() -> CommandParser:
    """The flags."""
    prog = command_of("perf.cli.run_blade")
    parser = framework_run.make_parser(
        prog, "Detection models, eager against each optimiser, in fp32 and fp16.",
        f"{prog} --model testRetinaNet",
    )  # fmt: skip
    framework_run.add_counts(parser, f"{RUNS} and {WARMUP}")
    parser.add_argument("--model", choices=list(MODELS), required=True, help="the model")
    framework_run.add_seed_units(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a model's cells and print its table; 1 where none has a latency."""
    return run_and_report(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    given = make_parser().parse_args(argv)
    entry, scripted = MODELS[given.model]
    name = given.model.removeprefix("test").removesuffix("_scripted")
    records = _measure(given, name, entry, scripted=scripted)
    rows = [
        _row(records, name, backend, precision, target)
        for backend, targets in TARGETS.items()
        for precision, target in zip(("fp32", "fp16"), targets, strict=True)
    ]
    how, device = "scripted" if scripted else "traced", framework_run.describe_device()
    table = format_detection(rows, how=how, device=device, in_seconds=given.seed_units)
    return framework_run.print_table(table, rows)


def _row(records: Sequence[Record], name: str, backend: str, precision: str, target: str) -> Row:
    found = framework_run.find_record(records, name, target)
    why = f"no target {target}: see {command_of('perf.cli.benchmark_wrapper')} --list"
    return Row(name, BACKENDS[backend], precision, found, "" if found else why)


def _measure(given: Any, name: str, entry: str, *, scripted: bool) -> Any:
    """Export once: the workers that measure load TorchScript, and need no source of the model."""
    python = framework_exports.find_interpreter(given.env)
    folder = Path(given.perf_result_path).absolute() / "exported"
    path = folder / f"{entry}_{'scripted' if scripted else 'traced'}.ts"
    framework_exports.write_torchscript(python, f"{NETWORKS}:{entry}", path, script=scripted)
    row: dict[str, Any] = {
        "model_name": name,
        "working_directory": str(folder),
        "torch": path.name,
        "comparison": "unordered",
        "tolerances": LOOSER,
    }
    side = GPU_SIDE if find_gpus() else CPU_SIDE
    if scripted:  # a scripted file tells no shapes
        row["inputs"] = {"@0": {"shape": [1, 3, side, side]}}
    items = 2 if entry.endswith("_b2") else 1
    sizes = ":".join(f"{items}x3x{n}x{n}" for n in (side // 2, side, 2 * side))
    targets = [t for of_backend in TARGETS.values() for t in of_backend]
    words = framework_run.count_runs(given, RUNS, WARMUP)
    words += ["--trt_profile", f"@0={sizes}"]
    return framework_run.run_cells([row], targets, words, FrameworkOptions.of(given))


if __name__ == "__main__":
    raise SystemExit(main())
