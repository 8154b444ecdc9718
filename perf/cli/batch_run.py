"""Throughput over batch sizes: models by targets by batches, each a cell, and the knee of each curve."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from perf.cli import framework_run
from perf.cli.exit_codes import run_and_report
from perf.cli.framework_run import Asked
from perf.report.framework_tables import BACKENDS, Row, format_batches, format_devices
from perf.request.bad_request import BadRequestError
from perf.request.command_parser import CommandParser
from perf.request.flag_types import batch_sizes
from perf.results import run_folder, run_names
from perf.schema.record import Record

MODULE = "perf.cli.batch_run"
TASKS = {  # the stand-ins of the tables that this one is of
    "DenseNet201": "setup_models.networks.classifiers:densenet201",
    "Yolov5s": "setup_models.networks.dense_prediction:yolov5s",
    "SegResNet": "setup_models.networks.dense_prediction:segresnet",
}


def make_parser() -> CommandParser:
    """The flags."""
    parser = CommandParser(
        f"python -m {MODULE}",
        "Throughput over batch sizes, by backend; where memory runs out, the sweep goes on.",
        examples=(
            f"python -m {MODULE} --batch_sizes 1,4,32,256 -e torch torch_script torch_fp16",
            f"python -m {MODULE} --runs result/RUN other/RUN",
        ),
    )
    parser.add_argument("--batch_sizes", default="1,4,32", metavar="N,N", help="items fed at once")
    parser.add_argument(
        "-m", "--models", nargs="+", metavar="NAME=MODEL",
        help=f"models, each a file or module:function; left out: {', '.join(TASKS)}",
    )  # fmt: skip
    parser.add_argument(
        "-e", "--targets", nargs="+", metavar="TARGET", help="targets, the first is the baseline"
    )
    parser.add_argument("--iterations", type=int, default=20, metavar="N", help="timed runs")
    parser.add_argument("--warmup", type=int, default=5, metavar="N", help="runs before them")
    parser.add_argument(
        "--runs", nargs="+", metavar="RUN", help="finished runs to lay beside each other instead"
    )
    framework_run.add_flags(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sweep and print its table; 1 where nothing has a latency."""
    return run_and_report(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    given = make_parser().parse_args(argv)
    if given.runs:
        of_run = {_device_of(r): _rows(_read(r)) for r in given.runs}
        for device, rows in of_run.items():
            print(format_batches(rows, heading=device), end="\n\n")
        print(format_devices(of_run))
        return 0
    targets = given.targets or ["torch", "torch_script", "torch_fp16", "torch_script_fp16"]
    try:
        sizes = batch_sizes([given.batch_sizes])
    except ValueError as e:
        raise BadRequestError(f"--batch_sizes {given.batch_sizes}: {e}") from e
    rows = _rows(_measure(given, targets, sizes))
    print(format_batches(rows, heading=framework_run.describe_device().removeprefix("@")))
    return 0 if any(not r.reason for r in rows) else 1


def _measure(given: Any, targets: Sequence[str], sizes: Sequence[int]) -> tuple[Record, ...]:
    named = dict(_named(word) for word in given.models or ()) or TASKS
    rows = [
        {"model_name": name, "working_directory": str(Path.cwd()), **_keys(model)}
        for name, model in named.items()
    ]
    words = ["-t", str(given.iterations), "--warmup", str(given.warmup)]
    words += ["--batch_sizes", ",".join(map(str, sizes))]
    return framework_run.run_cells(rows, targets, words, Asked.of(given))


def _named(word: str) -> tuple[str, str]:
    name, equals, model = word.partition("=")
    if not equals:
        raise BadRequestError(f"--models {word}: expected NAME=MODEL")
    return name, model


def _keys(model: str) -> dict[str, str]:
    if model.endswith(".onnx"):
        return {"model_path": model, "test_data_path": str(Path(model).parent)}
    return {"torch": model}


def _rows(records: Sequence[Record]) -> list[Row]:
    """A row for each record, by model and batch."""
    known = list(TASKS)

    def place(r: Record) -> tuple[int, str, int]:
        name = r.cell.model.name
        return (known.index(name) if name in known else len(known)), name, r.cell.batch

    return [
        Row(
            r.cell.model.name, BACKENDS.get(r.cell.target.name, r.cell.target.name),
            r.cell.target.precision.value, r,
        )
        for r in sorted(records, key=place)
    ]  # fmt: skip


def _read(path: str) -> Sequence[Record]:
    folder = Path(path).absolute()
    records = run_folder.read_records(run_names.find_run(folder.parent, folder.name))
    if not records:
        raise BadRequestError(f"--runs {path}: no cell ended in that run")
    return records


def _device_of(path: str) -> str:
    """The board that a run measured on, as its records name it; its processor's host where none."""
    names = {r.cell.gpu_name for r in _read(path) if r.cell.gpu_name}
    return ", ".join(sorted(names)) or f"CPU ({Path(path).resolve().name})"


if __name__ == "__main__":
    raise SystemExit(main())
