"""`python -m setup_models.add MODEL.onnx`: any single ONNX file made a model the harness can run."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeVar

from perf.conversion import external_data, model_inputs
from perf.conversion.errors import UserError, run_command
from perf.request.command_parser import CommandParser
from perf.request.locations import new_models_folder
from perf.request.model_file import digest_model
from perf.request.programs import command_of
from setup_models import model_list_rows, reference

SEED = 20_240_601
Entry = TypeVar("Entry")


@dataclass(frozen=True)
class AddOptions:
    """How a model is to be added."""

    name: str
    overrides: model_inputs.Overrides = field(default_factory=model_inputs.Overrides)
    sets: int = 2
    seed: int = SEED
    cross_check: bool = True


@dataclass(frozen=True)
class Added:
    """A model folder made, and what was made in it."""

    addition: model_list_rows.Addition
    made: reference.Made


def add(path: Path, models: Path, wish: AddOptions) -> tuple[Path, reference.Made]:
    """Make `models/<name>` from the file, its test sets and references, and add its row.

    Returns the model list's path and what was made. Raises UserError and leaves `models` as it
    was for anything that cannot be made whole.
    """
    list_path = models / model_list_rows.FILE_NAME
    with model_list_rows.workshop(models) as scratch:
        staged = scratch / wish.name
        model_list_rows.require_new(
            models, [model_list_rows.Addition(wish.name, staged, ())], list_path
        )
        made, row = stage(path, staged, wish)
        model_list_rows.put_in_place(
            models, [model_list_rows.Addition(wish.name, staged, (row,))], list_path
        )
    return list_path, made


def stage(
    path: Path, staged: Path, wish: AddOptions
) -> tuple[reference.Made, model_list_rows.Row]:
    """Build the model's folder at `staged`; what was made, and the row that will describe it."""
    model = external_data.read_structure(path)
    data_files = external_data.external_files(path, model)
    made = reference.make_sets(
        path,
        staged,
        wish.overrides,
        sets=wish.sets,
        seed=wish.seed,
        cross_check=wish.cross_check,
    )
    shutil.copyfile(path, staged / path.name)
    for file in data_files:
        external_data.copy_sparse(file, staged / file.relative_to(path.parent))
    row: model_list_rows.Row = {
        "model_name": wish.name,
        "working_directory": f"./{wish.name}/",
        "model_path": f"./{PurePosixPath(path.name)}",
        "test_data_path": "./",
        "sha256": digest_model(staged / path.name),
    }
    fed = model_inputs.to_json(
        model_inputs.declared_inputs(model), made.input_shapes, wish.overrides
    )
    if fed:
        row["inputs"] = fed
    return made, row


def parse_overrides(
    shapes: Sequence[str], ranges: Sequence[str], values: Sequence[str], dims: Sequence[str]
) -> model_inputs.Overrides:
    """`name=1x3x224x224`, `name=lo:hi`, `name=16000`, `symbol=4` as Overrides; UserError else."""
    by_shape = _pairs("--shape", shapes, _shape)
    by_range = _pairs("--range", ranges, _range)
    by_value = _pairs("--value", values, _value)
    names = [*by_shape, *by_range, *by_value]
    found = {
        name: model_inputs.Override(by_shape.get(name), by_range.get(name), by_value.get(name))
        for name in names
    }
    return model_inputs.Overrides(found, _pairs("--dim", dims, int))


def _pairs(option: str, texts: Sequence[str], parse: Callable[[str], Entry]) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for text in texts:
        name, equals, value = text.rpartition("=")
        try:
            if not equals or not name:
                raise ValueError("no name before =")
            found[name] = parse(value)
        except ValueError as error:
            raise UserError(f"{option} {text}: not understood ({error})") from error
    return found


def _shape(text: str) -> tuple[int, ...]:
    shape = tuple(int(part) for part in text.split("x")) if text else ()
    if any(size < 0 for size in shape):
        raise ValueError("a size is negative")
    return shape


def _range(text: str) -> tuple[float, float]:
    low, _, high = text.partition(":")
    bounds = float(low), float(high)
    if not bounds[0] <= bounds[1]:
        raise ValueError("want low:high")
    return bounds


def _value(text: str) -> float | bool | str:
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def add_input_options(parser: CommandParser) -> None:
    """The options that say what is fed, alike in every command that makes test sets."""
    parser.add_argument("--shape", metavar="NAME=1x3x224x224", nargs="+", help="an input's shape")
    parser.add_argument("--dim", metavar="SYMBOL=4", nargs="+", help="a symbolic dim's size")
    parser.add_argument("--range", metavar="NAME=LOW:HIGH", nargs="+", help="an input's values")
    parser.add_argument("--value", metavar="NAME=16000", nargs="+", help="one fixed value")
    parser.add_argument("--sets", type=int, default=2, help="how many test sets (default 2)")
    parser.add_argument("--seed", type=int, default=SEED, help=f"default {SEED}")
    parser.add_argument(
        "--no_cross_check", action="store_true", help="do not compare with onnx.reference"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 with the model added, 1 with one line on stderr and nothing changed."""
    given = make_parser().parse_args(arguments)
    if given.sets < 1:
        raise UserError("--sets: at least one test set is needed")
    overrides = parse_overrides(given.shape, given.range, given.value, given.dim)
    wish = AddOptions(
        given.name or given.model.stem,
        overrides,
        given.sets,
        given.seed,
        not given.no_cross_check,
    )
    list_path, made = add(given.model, given.models, wish)
    print_made(given.models / wish.name, made)
    print(f"run it: {command_of('perf.cli.benchmark_wrapper')} -m {list_path} -i fix -r both")
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
    add_models_option(parser)
    add_input_options(parser)
    return parser


def add_models_option(parser: CommandParser) -> None:
    """Where models are added, alike in every command that adds some."""
    usual = new_models_folder()
    parser.add_argument(
        "--models", type=Path, default=usual, metavar="DIR", help=f"default {usual}"
    )


def print_made(folder: Path, made: reference.Made) -> None:
    """What was made, in a few lines."""
    print(f"{folder}: {made.sets} test sets")
    for kind, shapes in (("input ", made.input_shapes), ("output", made.output_shapes)):
        for name, shape in shapes.items():
            print(f"  {kind} {name} [{', '.join(map(str, shape))}]")
    for note in made.notes:
        print(f"  {note}")


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
