"""Throughput over batch sizes: models by targets by batches, each a cell, and the knee of each curve."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from perf.cli import framework_run
from perf.cli.clone_interpreter import continue_in_own
from perf.cli.exit_codes import run_and_report
from perf.cli.framework_run import FrameworkOptions
from perf.machine.gpus import find_gpus
from perf.report.framework_tables import BACKENDS, Row, format_batches, format_devices
from perf.request.bad_request import BadRequestError
from perf.request.command_parser import CommandParser
from perf.request.flag_types import batch_sizes
from perf.request.programs import command_of
from perf.results import batch_memory, run_folder, run_names
from perf.schema import outcomes
from perf.schema.record import Record

TASKS = {  # the stand-ins of the tables that this one is of
    "DenseNet201": "setup_models.networks.classifiers:densenet201",
    "Yolov5s": "setup_models.networks.dense_prediction:yolov5s",
    "SegResNet": "setup_models.networks.dense_prediction:segresnet",
}


def make_parser() -> CommandParser:
    """The flags."""
    prog = command_of("perf.cli.batch_run")
    parser = framework_run.make_parser(
        prog,
        "Throughput over batch sizes, by backend; where memory runs out, the sweep goes on.",
        f"{prog} --batch_sizes 1,4,32,256 -e torch torch_script torch_fp16",
        f"{prog} --runs result/RUN other/RUN",
    )
    framework_run.add_counts(parser, "20 and 5")
    parser.add_argument("--batch_sizes", default="1,4,32", metavar="N,N", help="items fed at once")
    parser.add_argument(
        "-m", "--models", nargs="+", metavar="NAME=MODEL",
        help=f"models, each a file or module:function; left out: {', '.join(TASKS)}",
    )  # fmt: skip
    parser.add_argument(
        "-e", "--targets", nargs="+", metavar="TARGET", help="targets, the first is the baseline"
    )
    parser.add_argument(
        "--runs", nargs="+", metavar="RUN", help="finished runs to lay beside each other instead"
    )
    parser.add_argument(
        "--find_max_batch", action="store_true",
        help="fit memory over batch, and try the batch that should just fit the board, or --memory_limit",
    )  # fmt: skip
    parser.add_argument(
        "--memory_limit", type=float, default=0.0, metavar="MIB",
        help="host memory that a cell may hold; one that holds more is OOM",
    )  # fmt: skip
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sweep and print its table; 1 where nothing has a latency."""
    return run_and_report(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    given = make_parser().parse_args(argv)
    if given.runs:
        of_run = {_device_of(r): rows_of(_read(r)) for r in given.runs}
        for device, rows in of_run.items():
            print(format_batches(rows, heading=device), end="\n\n")
        print(format_devices(of_run))
        return 0
    targets = given.targets or ["torch", "torch_script", "torch_fp16", "torch_script_fp16"]
    try:
        sizes = batch_sizes([given.batch_sizes])
    except ValueError as e:
        raise BadRequestError(f"--batch_sizes {given.batch_sizes}: {e}") from e
    limit_mib = _memory_limit_mib(given) if given.find_max_batch else 0.0
    records = _measure(given, targets, sizes)
    told: list[str] = []
    if given.find_max_batch:
        probed, told = _find_max_batches(given, records, limit_mib)
        records = (*records, *probed)
    rows = rows_of(records)
    table = format_batches(rows, heading=framework_run.describe_device().removeprefix("@"))
    return framework_run.print_table("\n".join((table, *told)), rows)


def _memory_limit_mib(given: Any) -> float:
    """What a cell may hold: the first board's memory, or on a CPU what was given."""
    boards = find_gpus()
    if boards:
        return boards[0].memory_mib
    if not given.memory_limit:
        raise BadRequestError(
            "--find_max_batch: no GPU here, and filling the host's memory would harm others; "
            "say with --memory_limit MIB what a cell may hold"
        )
    return float(given.memory_limit)


def _find_max_batches(
    given: Any, records: Sequence[Record], limit_mib: float
) -> tuple[tuple[Record, ...], list[str]]:
    """Records of one probe for each model and target of a sweep, and a line on what each came to."""
    probed: list[Record] = []
    lines = []
    for model, target in dict.fromkeys((r.cell.model.name, r.cell.target.label) for r in records):
        mine = [r for r in records if (r.cell.model.name, r.cell.target.label) == (model, target)]
        fit = batch_memory.fit_memory(mine)
        if fit is None:
            lines.append(
                f"{model} {target}: no largest batch, for memory does not rise over two batches that passed; "
                "give larger ones"
            )
            continue
        line = f"{model} {target}: {fit.base_mib:.0f} MiB and {fit.item_mib:.3g} MiB an item"
        size, passed = (
            batch_memory.choose_probe(mine, fit, limit_mib),
            batch_memory.largest_passed(mine),
        )
        if not size:
            lines.append(f"{line}; the largest batch is {passed}")
            continue
        (made,) = _measure(given, [target.partition("@")[0]], [size], only=model)
        probed.append(made)
        outcome = outcomes.name(made.outcome)
        found = (
            f"{size}, and it passed"
            if batch_memory.largest_passed([made])
            else (f"{size}, but that ended as {outcome}: {passed} is the largest that passed")
        )
        lines.append(f"{line}; {limit_mib:.0f} MiB should hold {found}")
    return tuple(probed), lines


def _measure(
    given: Any, targets: Sequence[str], sizes: Sequence[int], only: str = ""
) -> tuple[Record, ...]:
    named = dict(_named(word) for word in given.models or ()) or TASKS
    if only:
        named = {only: named[only]}
    rows = [
        {"model_name": name, "working_directory": str(Path.cwd()), **_keys(model)}
        for name, model in named.items()
    ]
    words = [] if given.iterations is not None else ["-t", "20"]
    words += [] if given.warmup is not None else ["--warmup", "5"]
    words += ["--batch_sizes", ",".join(map(str, sizes))]
    if given.memory_limit:
        words += ["--memory_limit", str(given.memory_limit)]
    return framework_run.run_cells(rows, targets, words, FrameworkOptions.of(given))


def _named(word: str) -> tuple[str, str]:
    name, equals, model = word.partition("=")
    if not equals:
        raise BadRequestError(f"--models {word}: expected NAME=MODEL")
    return name, model


def _keys(model: str) -> dict[str, str]:
    if model.endswith(".onnx"):
        return {"model_path": model, "test_data_path": str(Path(model).parent)}
    return {"torch": model}


def rows_of(records: Sequence[Record]) -> list[Row]:
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
    continue_in_own()
    raise SystemExit(main())
