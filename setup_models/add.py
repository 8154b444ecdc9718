"""`python -m setup_models.add MODEL.onnx`: any single ONNX file made a model the harness can run."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeVar

from perf.core.models import digest
from setup_models import inputs, reference, rows, weights
from setup_models.refusals import RefusalError, run_command

SEED = 20_240_601
Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Wish:
    """How a model is to be added."""

    name: str
    overrides: inputs.Overrides = field(default_factory=inputs.Overrides)
    sets: int = 2
    seed: int = SEED
    cross_check: bool = True


@dataclass(frozen=True)
class Added:
    """A model folder made, and what was made in it."""

    addition: rows.Addition
    made: reference.Made


def add(path: Path, models: Path, wish: Wish) -> tuple[Path, reference.Made]:
    """Make `models/<name>` from the file, its test sets and references, and add its row.

    Returns the model list's path and what was made. Raises RefusalError and leaves `models` as it
    was for anything that cannot be made whole.
    """
    list_path = models / rows.FILE_NAME
    with rows.workshop(models) as scratch:
        staged = scratch / wish.name
        rows.require_new(models, [rows.Addition(wish.name, staged, ())], list_path)
        made, row = stage(path, staged, wish)
        rows.put(models, [rows.Addition(wish.name, staged, (row,))], list_path)
    return list_path, made


def stage(path: Path, staged: Path, wish: Wish) -> tuple[reference.Made, rows.Row]:
    """Build the model's folder at `staged`; what was made, and the row that will describe it."""
    model = weights.read_structure(path)
    data_files = weights.external_files(path, model)
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
        weights.bring(file, staged / file.relative_to(path.parent))
    row: rows.Row = {
        "model_name": wish.name,
        "working_directory": f"./{wish.name}/",
        "model_path": f"./{PurePosixPath(path.name)}",
        "test_data_path": "./",
        "sha256": digest(staged / path.name),
    }
    fed = inputs.to_json(inputs.declared(model), made.input_shapes, wish.overrides)
    if fed:
        row["inputs"] = fed
    return made, row


def parse_overrides(
    shapes: Sequence[str], ranges: Sequence[str], values: Sequence[str], dims: Sequence[str]
) -> inputs.Overrides:
    """`name=1x3x224x224`, `name=lo:hi`, `name=16000`, `symbol=4` as Overrides; RefusalError else."""
    by_shape = _pairs("--shape", shapes, _shape)
    by_range = _pairs("--range", ranges, _range)
    by_value = _pairs("--value", values, _value)
    names = [*by_shape, *by_range, *by_value]
    found = {
        name: inputs.Override(by_shape.get(name), by_range.get(name), by_value.get(name))
        for name in names
    }
    return inputs.Overrides(found, _pairs("--dim", dims, int))


def _pairs(option: str, texts: Sequence[str], parse: Callable[[str], Entry]) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for text in texts:
        name, equals, value = text.rpartition("=")
        try:
            if not equals or not name:
                raise ValueError("no name before =")
            found[name] = parse(value)
        except ValueError as error:
            raise RefusalError(f"{option} {text}: not understood ({error})") from error
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


def add_input_options(parser: argparse.ArgumentParser) -> None:
    """The options that say what is fed, alike in every command that makes test sets."""
    many = {"nargs": "+", "default": ()}
    parser.add_argument("--shape", metavar="NAME=1x3x224x224", help="an input's shape", **many)  # type: ignore[arg-type]
    parser.add_argument("--dim", metavar="SYMBOL=4", help="a symbolic dim's size", **many)  # type: ignore[arg-type]
    parser.add_argument("--range", metavar="NAME=LOW:HIGH", help="an input's values", **many)  # type: ignore[arg-type]
    parser.add_argument("--value", metavar="NAME=16000", help="one fixed value", **many)  # type: ignore[arg-type]
    parser.add_argument("--sets", type=int, default=2, help="how many test sets (default 2)")
    parser.add_argument("--seed", type=int, default=SEED, help=f"default {SEED}")
    parser.add_argument(
        "--no_cross_check", action="store_true", help="do not compare with onnx.reference"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 with the model added, 1 with one line on stderr and nothing changed."""
    parser = argparse.ArgumentParser(prog="python -m setup_models.add", description=__doc__)
    parser.add_argument("model", type=Path, metavar="MODEL.onnx")
    parser.add_argument("--name", help="default: the file's name")
    parser.add_argument("--models", type=Path, default=Path("models"), help="default ./models")
    add_input_options(parser)
    given = parser.parse_args(arguments)
    if given.sets < 1:
        raise RefusalError("--sets: at least one test set is needed")
    overrides = parse_overrides(given.shape, given.range, given.value, given.dim)
    wish = Wish(
        given.name or given.model.stem,
        overrides,
        given.sets,
        given.seed,
        not given.no_cross_check,
    )
    list_path, made = add(given.model, given.models, wish)
    print_made(given.models / wish.name, made)
    print(f"run it: python benchmark_wrapper.py -m {list_path} -i fix -r both")
    return 0


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
