"""perf_run.py: the backends and precisions of one YAML file in one table of throughput and latency."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from perf.cli import framework_run
from perf.cli.exit_codes import run_and_report
from perf.cli.framework_run import FrameworkOptions, target_of
from perf.report.framework_tables import BACKENDS, Row, format_backends
from perf.request import model_forms
from perf.request.bad_request import BadRequestError
from perf.request.command_parser import CommandParser
from perf.request.perf_run_config import PerfRunConfig, read_config
from perf.request.programs import command_of
from perf.schema.record import Record

_INT8 = {
    "tensorrt": "an engine computes in what it was built in: name fp32, and an engine built in int8",
    "torch_tensorrt": "calibrators left TensorRT with version 11: quantise the model, then name fp32",
}


def make_parser() -> CommandParser:
    """The flags."""
    prog = command_of("perf.cli.perf_run")
    parser = CommandParser(
        prog, "Run one model on several backends as a YAML file says, and print one table.",
        examples=(f"{prog} --config=config/vgg16.yml",),
    )  # fmt: skip
    parser.add_argument("--config", required=True, type=Path, metavar="FILE", help="the YAML file")
    parser.add_argument(
        "--iterations", type=int, default=0, metavar="N", help="timed runs, over the file's"
    )
    parser.add_argument(
        "--warmup", type=int, default=None, metavar="N", help="runs before them, over the file's"
    )
    parser.add_argument(
        "--seed_units", action="store_true", help="print seconds under (ms), as the original does"
    )
    framework_run.add_flags(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a file's cells; the exit status of the wrapper."""
    return run_and_report(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    given = make_parser().parse_args(argv)
    config = read_config(given.config)
    records = _measure(config, given)
    rows = [_row(config, records, b, p) for b in config.backends for p in config.precisions]
    device = framework_run.describe_device(config.device)
    print(format_backends(rows, device=device, in_seconds=given.seed_units))
    return 0 if any(not r.reason for r in rows) else 1


def _measure(config: PerfRunConfig, given: Any) -> tuple[Record, ...]:
    targets = [
        target_of(b, p) for b in config.backends for p in config.precisions if not _declined(b, p)
    ]
    if not targets:
        return ()
    words = [
        "-t",
        str(given.iterations or config.iterations),
        "--warmup",
        str(config.warmup),
        "-q",
    ]
    if config.device:
        words += ["--devices", str(config.device)]
    for name, value in config.tolerances.items():
        words += [f"--{name}", str(value)]
    return framework_run.run_cells([_list_row(config)], targets, words, FrameworkOptions.of(given))


def _list_row(config: PerfRunConfig) -> dict[str, Any]:
    """The model as a model list has it, its inputs by their places."""
    row: dict[str, Any] = {"model_name": config.name, "working_directory": str(Path.cwd())}
    if config.model.endswith(".onnx"):
        row |= {"model_path": config.model, "test_data_path": str(Path(config.model).parent)}
    elif ":" in config.model or config.model.lower().endswith(model_forms.TORCH_SUFFIXES):
        row["torch"] = config.model
    elif config.model.lower().endswith(model_forms.ENGINE_SUFFIXES):
        row["engine"] = config.model
    else:
        raise BadRequestError(
            f"{config.model} is taken for a TensorRT engine, as what is no .jit.pt, .pt2 or .onnx file is: "
            "call it .plan or .engine"
        )
    row["inputs"] = {
        f"@{i}": {
            "shape": [config.batch, *one.shape],
            **({"type": one.dtype} if one.dtype else {}),
        }
        for i, one in enumerate(config.inputs)
    }
    return row


def _row(config: PerfRunConfig, records: Sequence[Record], backend: str, precision: str) -> Row:
    if why := _declined(backend, precision):
        return Row(config.name, BACKENDS[backend], precision, None, why)
    return framework_run.make_row(records, config.name, backend, precision)


def _declined(backend: str, precision: str) -> str:
    """Why a backend has no such cell at all; "" where the engine is asked."""
    if precision == "int8":
        return _INT8.get(backend, "PyTorch is not measured in int8")
    if not framework_run.has_target(target_of(backend, precision)):
        return f"{BACKENDS[backend]} has no {precision}"
    return ""


if __name__ == "__main__":
    raise SystemExit(main())
