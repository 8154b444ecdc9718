"""perf_run.py: the backends and precisions of one YAML file in one table of throughput and latency."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from perf.cli import framework_run
from perf.cli.exit_codes import run_and_report
from perf.cli.framework_run import FrameworkOptions, target_of
from perf.report.framework_tables import BACKENDS, Row, format_backends
from perf.request import model_forms
from perf.request.command_parser import CommandParser
from perf.request.perf_run_config import PerfRunConfig, read_config
from perf.request.programs import command_of
from perf.schema.record import Record


def make_parser() -> CommandParser:
    """The flags."""
    prog = command_of("perf.cli.perf_run")
    parser = framework_run.make_parser(
        prog, "Run one model on several backends as a YAML file says, and print one table.",
        f"{prog} --config=config/vgg16.yml",
    )  # fmt: skip
    framework_run.add_counts(parser, "as the file says, else 100 and 50")
    parser.add_argument("--config", required=True, type=Path, metavar="FILE", help="the YAML file")
    framework_run.add_seed_units(parser)
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
    table = format_backends(rows, device=device, in_seconds=given.seed_units)
    return framework_run.print_table(table, rows)


def _measure(config: PerfRunConfig, given: Any) -> tuple[Record, ...]:
    targets = [
        target_of(b, p) for b in config.backends for p in config.precisions if not _declined(b, p)
    ]
    if not targets:
        return ()
    words = framework_run.count_runs(given, config.iterations, config.warmup)
    if config.device:
        words += ["--devices", str(config.device)]
    words += _profile_words(config)
    if config.calibration_cache and "int8" in config.precisions:
        words += [
            "--ep_options",
            f"torch_tensorrt_int8:calibration_cache={config.calibration_cache}",
        ]
    for name, value in config.tolerances.items():
        words += [f"--{name}", str(value)]
    return framework_run.run_cells([_list_row(config)], targets, words, FrameworkOptions.of(given))


def _profile_words(config: PerfRunConfig) -> list[str]:
    """The least, usual and greatest shapes of inputs that have them, for backends that build for a range."""
    words = []
    for i, one in enumerate(config.inputs):
        if one.least or one.most:
            shapes = (one.least or one.shape, one.shape, one.most or one.shape)
            told = ":".join("x".join(map(str, (config.batch, *s))) for s in shapes)
            words += ["--trt_profile", f"@{i}={told}"]
    return words


def _list_row(config: PerfRunConfig) -> dict[str, Any]:
    """The model as a model list has it, its inputs by their places."""
    row: dict[str, Any] = {"model_name": config.name, "working_directory": str(Path.cwd())}
    if config.model.endswith(".onnx"):
        row |= {"model_path": config.model, "test_data_path": str(Path(config.model).parent)}
    elif ":" in config.model or config.model.lower().endswith(model_forms.TORCH_SUFFIXES):
        row["torch"] = config.model
    else:  # as it always was: what is none of these is an engine
        row["engine"] = config.model
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
    if not framework_run.has_target(target_of(backend, precision)):
        return f"{BACKENDS[backend]} has no {precision}"
    return ""


if __name__ == "__main__":
    raise SystemExit(main())
