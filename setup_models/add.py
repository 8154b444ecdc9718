"""`python -m setup_models.add MODEL.onnx`: any single ONNX file made a model the harness can run."""

import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from perf.conversion.errors import UserError, run_command
from perf.conversion.external_data import copy_sparse, external_files, read_structure
from perf.conversion.model_inputs import OpenDims, Override, Overrides, list_entries
from perf.request.command_parser import CommandParser
from perf.request.custom_ops import find_libraries
from perf.request.given_data import find_given_sets, require_given
from perf.request.input_numbers import read_range
from perf.request.locations import new_models_folder
from perf.request.model_list import is_ort_format
from perf.request.programs import command_of
from setup_models import model_list_rows as rows
from setup_models.model_list_rows import FILE_NAME, Addition, Row
from setup_models.reference import SEED, SetOptions, SetReport, make_sets

T = TypeVar("T")
Texts = Sequence[str]


def add_model(path: Path, models: Path, name: str, options: SetOptions) -> SetReport:
    """Make `models/<name>` with its test sets and its row in the list there; with UserError, nothing."""
    with rows.workshop(models) as scratch:
        rows.require_new(models, models / FILE_NAME, [name])
        row, report = stage(path, scratch / name, options)
        rows.put_in_place(models, models / FILE_NAME, [Addition(name, scratch / name, (row,))])
    return report


def stage(path: Path, staged: Path, options: SetOptions) -> tuple[Row, SetReport]:
    """Build the model's folder at `staged`; the row that will describe it, and what was made."""
    report = make_sets(path, staged, options)
    copy = shutil.copyfile(path, staged / path.name)
    if not is_ort_format(path):
        for file in external_files(path, read_structure(path)):
            copy_sparse(file, staged / file.relative_to(path.parent))
    row = rows.make_row(staged.name, f"./{staged.name}/", f"./{path.name}", "./", copy)
    if entries := list_entries(report.inputs, report.input_shapes, options.overrides):
        row["inputs"] = entries
    if options.custom_ops:
        row["custom_ops"] = list(options.custom_ops)
    return row, report


def parse_overrides(shapes: Texts, ranges: Texts, values: Texts, dims: Texts) -> Overrides:
    """`name=1x3x224x224`, `name=lo:hi`, `name=16000`, `symbol=4` as Overrides; UserError else."""
    by_shape = _parse_pairs("--shape", shapes, _parse_shape)
    by_range = _parse_pairs("--range", ranges, _parse_range)
    by_value = _parse_pairs("--value", values, str)
    inputs = {
        name: Override(by_shape.get(name), by_range.get(name), by_value.get(name))
        for name in (*by_shape, *by_range, *by_value)
    }
    return Overrides(inputs, _parse_pairs("--dim", dims, int))


def _parse_pairs(option: str, texts: Sequence[str], parse: Callable[[str], T]) -> dict[str, T]:
    found: dict[str, T] = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        try:
            if not name:
                raise ValueError("no name before =")
            found[name] = parse(value)
        except ValueError as error:
            raise UserError(f"{option} {text}: not understood ({error})") from error
    return found


def _parse_shape(text: str) -> tuple[int, ...]:
    shape = tuple(int(part) for part in text.split("x")) if text else ()
    if any(size < 0 for size in shape):
        raise ValueError("a size is negative")
    return shape


def _parse_range(text: str) -> tuple[float, float]:
    low, colon, high = text.partition(":")
    if not colon:
        raise ValueError("want low:high")
    return read_range(low, high)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 with the model added, 2 with one line on stderr and nothing changed."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    args = make_parser().parse_args(words)
    if args.sets < 1:
        raise UserError("--sets: at least one test set is needed")
    overrides = parse_overrides(args.shape, args.range, args.value, args.dim)
    name = args.name or args.model.stem
    given = find_given_sets(require_given(args.inputs), name) if args.inputs else ()
    if args.inputs and not given:
        raise UserError(f"--inputs {args.inputs}: no test_data_set_N/input_M.pb and no .npz there")
    libraries = tuple(find_libraries(args.custom_ops))
    options = SetOptions(
        overrides, args.sets, args.seed, not args.no_cross_check, libraries, given
    )
    try:
        report = add_model(args.model, args.models, name, options)
    except OpenDims as error:
        at = words.index("--shape") + 1 if "--shape" in words else len(words)
        shape = (*(() if "--shape" in words else ("--shape",)), *error.words)
        again = shlex.join((*words[:at], *shape, *words[at:]))
        raise UserError(f"{error.what}; try {command_of('setup_models.add')} {again}") from error
    print_report(args.models / name, report)
    run = command_of("perf.cli.benchmark_wrapper")
    print(f"run it: {run} -m {args.models / FILE_NAME} -i fix -r both")
    return 0


def make_parser() -> CommandParser:
    """The flags of an addition."""
    prog = command_of("setup_models.add")
    parser = CommandParser(
        prog, "Make any ONNX file a model that can be run: with inputs, reference outputs, a row in a list.",
        examples=(
            f"{prog} net.onnx",
            f"{prog} vad.onnx --shape input=1x576 --range input=-1:1 --value sr=16000",
        ),
    )  # fmt: skip
    parser.add_argument("model", type=Path, metavar="MODEL.onnx")
    parser.add_argument("--name", help="default: the file's name")
    add_models_flag(parser)
    parser.add_argument(
        "--custom_ops", metavar="LIB", nargs="+", default=[], help="libraries of its custom ops"
    )
    parser.add_argument(
        "--inputs", metavar="FOLDER|FILE.npz", help="your own data, with outputs if it holds them"
    )
    for flag, metavar, what in (
        ("--shape", "NAME=1x3x224x224", "an input's shape"),
        ("--dim", "SYMBOL=4", "a symbolic dim's size"),
        ("--range", "NAME=LOW:HIGH", "an input's values"),
        ("--value", "NAME=16000", "one fixed value"),
    ):
        parser.add_argument(flag, metavar=metavar, help=what, nargs="+")
    add_set_flags(parser)
    parser.add_argument(
        "--no_cross_check", action="store_true", help="do not compare with onnx.reference"
    )
    return parser


def add_models_flag(parser: CommandParser) -> None:
    """Where models are added, alike in every command that adds some."""
    usual = new_models_folder()
    parser.add_argument(
        "--models", type=Path, default=usual, metavar="DIR", help=f"default {usual}"
    )


def add_set_flags(parser: CommandParser) -> None:
    """The flags that say how many test sets are made, alike in every command that makes some."""
    parser.add_argument("--sets", type=int, default=2, help="how many test sets (default 2)")
    parser.add_argument("--seed", type=int, default=SEED, help=f"default {SEED}")


def print_report(folder: Path, report: SetReport) -> None:
    """What was made, in a few lines."""
    print(f"{folder}: {report.sets} test sets")
    for kind, shapes in (("input ", report.input_shapes), ("output", report.output_shapes)):
        for name, shape in shapes.items():
            print(f"  {kind} {name} [{', '.join(map(str, shape))}]")
    for note in report.notes:
        print(f"  {note}")


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
