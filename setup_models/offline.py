"""`python -m setup_models.offline`: make the offline model set, whole folders or nothing.

A folder's stamp `.made` holds a digest of the recipe's own source, the seed and the onnx version, so what is
current is recognised in milliseconds, without importing onnx or an engine.
"""

import difflib
import hashlib
import importlib
import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from perf.conversion.errors import UserError, run_command
from perf.request.command_parser import CommandParser
from perf.request.locations import models_folder
from perf.request.programs import command_of, install_command
from perf.schema.file_lock import hold_lock

if TYPE_CHECKING:
    from setup_models.generate.graph import GeneratedModel

SEED = 20261126
_STAMP = ".made"


@dataclass(frozen=True)
class Recipe:
    """A model of the set: its module in `setup_models/generate` and what its `build` is called with."""

    name: str
    module: str
    topology: str = ""

    def digest(self) -> str:
        """Changes when anything changes that the model is made from."""
        what = hashlib.sha256()
        for source in ("seeded", "graph", self.module):
            what.update(Path(__file__).with_name("generate").joinpath(f"{source}.py").read_bytes())
        what.update(f"{self.name} {self.topology} {SEED} onnx {version('onnx')}".encode())
        return what.hexdigest()

    def build(self) -> "GeneratedModel":
        """The model and its inputs, in memory."""
        module = importlib.import_module(f"setup_models.generate.{self.module}")
        generated: GeneratedModel = module.build(*filter(None, (self.topology, SEED)))
        return generated


RECIPES = (
    *(
        Recipe(name, "topologies", name)
        for name in ("squeezenet", "shufflenet", "inception_v1", "resnet50", "densenet121")
    ),
    Recipe("encoder", "encoder"),
    Recipe("text_recogniser", "recogniser"),
    Recipe("detector", "detector"),
    Recipe("loop_if", "control"),
    Recipe("int8_qdq", "quantised"),
)


def is_current(recipe: Recipe, folder: Path) -> bool:
    """Whether the folder holds this recipe's model, complete: stamp, digest and every file's size."""
    try:
        stamp = json.loads((folder / _STAMP).read_text("utf-8"))
        sizes: dict[str, int] = dict(stamp["bytes"])
        return bool(stamp["digest"] == recipe.digest()) and all(
            (folder / name).stat().st_size == size for name, size in sizes.items()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def is_complete() -> bool:
    """Whether every model of the set is there, as its recipe makes it today; True where nobody can tell."""
    try:
        return all(is_current(recipe, models_folder() / recipe.name) for recipe in RECIPES)
    except PackageNotFoundError:
        return True  # there is no onnx: a run says so


def make_model(recipe: Recipe, out: Path) -> int:
    """Make one model in `out`, whose `.lock` is held, replacing what has its name; its size in bytes."""
    from setup_models.generate.graph import write_model  # the engine: only for work

    workplace = out / f".making-{recipe.name}"
    shutil.rmtree(workplace, ignore_errors=True)  # a crashed run's
    workplace.mkdir()
    try:
        write_model(recipe.build(), workplace)
        files = sorted(path for path in workplace.rglob("*") if path.is_file())
        sizes = {str(path.relative_to(workplace)): path.stat().st_size for path in files}
        stamp = {"digest": recipe.digest(), "bytes": sizes}
        (workplace / _STAMP).write_text(json.dumps(stamp, indent=1) + "\n", "utf-8")
        shutil.rmtree(out / recipe.name, ignore_errors=True)
        workplace.rename(out / recipe.name)
    finally:
        shutil.rmtree(workplace, ignore_errors=True)
    return sum(sizes.values())


def make_parser() -> CommandParser:
    """The flags of making the offline models."""
    prog, usual = command_of("setup_models.offline"), models_folder()
    parser = CommandParser(
        prog, "Make the ten offline models: no network, no torch, the same models every time.",
        examples=(prog, f"{prog} --list", f"{prog} --only squeezenet encoder"),
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=usual, metavar="DIR", help=f"default {usual}")
    only = "these models alone (see --list)"
    parser.add_argument("--only", nargs="+", metavar="NAME", help=only)
    for flag, what in (
        ("--list", "the models, and whether they are made"),
        ("--json", "the list as JSON"),
        ("--force", "make anew what is already there"),
    ):
        parser.add_argument(flag, action="store_true", help=what)
    return parser


def _choose(names: Sequence[str] | None) -> tuple[Recipe, ...]:
    known = {recipe.name: recipe for recipe in RECIPES}
    for name in names or ():
        if name not in known:
            near = difflib.get_close_matches(name, known, 3) or list(known)
            raise UserError(f"--only {name}: no such model; did you mean {', '.join(near)}?")
    return tuple(recipe for recipe in RECIPES if not names or recipe.name in names)


def _make_all(recipes: Sequence[Recipe], out: Path, *, force: bool) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with hold_lock(out / ".lock"):
        for recipe in recipes:
            if force or not is_current(recipe, out / recipe.name):  # nobody made it meanwhile
                began_s = time.monotonic()
                size_mb = make_model(recipe, out) / 1e6
                took_s = time.monotonic() - began_s
                print(f"{recipe.name:<16} {size_mb:7.1f} MB {took_s:6.1f} s", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 when every model asked for is there. Raises UserError with one clear line."""
    args = make_parser().parse_args(arguments)
    out: Path = args.out
    recipes = _choose(args.only)
    try:
        missing = [r for r in recipes if args.force or not is_current(r, out / r.name)]
        if args.list:
            states = {r.name: "to make" if r in missing else "made" for r in recipes}
            lines = (f"{name:<16} {state}" for name, state in states.items())
            print(json.dumps(states, indent=1) if args.json else "\n".join(lines))
        elif missing:
            _make_all(missing, out, force=args.force)
        else:
            print(f"{len(recipes)} models are already in {out}")
    except (ImportError, PackageNotFoundError) as error:
        raise UserError(
            f"{sys.executable} lacks {error.name}, which making models needs: "
            f"`{install_command('onnx onnxruntime numpy')}` fixes it"
        ) from error
    except OSError as error:
        raise UserError(
            f"cannot make models in {out}: {error.strerror or error}; "
            "free or choose another folder with --out"
        ) from error
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main, sys.argv[1:]))
