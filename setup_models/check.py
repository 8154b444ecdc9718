"""`python -m setup_models.check [SOURCE]`: what each model has, what it lacks, and what mends that."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from perf.conversion import artifact_cache, data_sets, external_data, model_inputs, op_schemas
from perf.conversion.errors import UserError, run_command
from perf.request import model_list as model_lists
from perf.request.command_parser import CommandParser
from perf.request.model_file import digest_model
from perf.request.programs import command_of
from setup_models import model_list_rows, offline, packages
from setup_models.fetch import lock

COLUMNS = ("model", "MiB", "opset/IR", "inputs", "sets", "artefacts", "sha256", "state")


@dataclass(frozen=True)
class Listed:
    """A model as its source names it, before anything is known to exist."""

    name: str
    path: Path
    test_data: Path | None
    sha256: str | None = None  # what the list says it must be
    path_fp16: Path | None = None  # the user's own half-precision model


@dataclass(frozen=True)
class Finding:
    """One model looked through. `lacks` pairs what is missing with the command that mends it."""

    listed: Listed
    size_bytes: int | None = None
    opset: int | None = None
    ir_version: int | None = None
    fed: tuple[str, ...] = ()
    sets: int = 0
    sets_with_outputs: int = 0
    artefacts: tuple[str, ...] = ()
    sha256: str | None = None
    lacks: tuple[tuple[str, str], ...] = field(default=())


def list_models(source: Path) -> list[Listed]:
    """The models of a list, a folder or one .onnx; UserError where there is no such source."""
    if source.is_dir() or source.suffix == ".onnx":
        try:
            found = model_lists.load_models(source)
        except model_lists.ModelListError as error:
            raise UserError(str(error)) from error
        return [
            Listed(each.name, Path(each.path), Path(each.test_data) if each.test_data else None)
            for each in found
        ]
    if not source.is_file():
        raise UserError(f"{source}: no such model list, folder or .onnx file")
    return list(_of_rows(model_list_rows.read(source), source))


def examine_model(model: Listed, artefact_folders: Iterable[Path] = ()) -> Finding:
    """Look through one model; never raises for what it finds missing or damaged."""
    if not model.path.is_file():
        return Finding(model, lacks=((f"no file {model.path}", _fetch_command(model)),))
    lacks = []
    try:
        structure = external_data.read_structure(model.path)
        data_files = external_data.external_files(model.path, structure)
        fed = tuple(_spell(each) for each in model_inputs.declared_inputs(structure))
    except UserError as refusal:
        return Finding(model, lacks=((str(refusal), _fetch_command(model)),))
    sha256 = digest_model(model.path)
    if model.sha256 and model.sha256 != sha256:
        mend = f"set its sha256 to {sha256} if the change is wanted, or fetch it again"
        lacks.append((f"the file is not the listed one ({model.sha256[:12]})", mend))
    own = () if model.path_fp16 is None else ("fp16 (own)",)
    if model.path_fp16 is not None and not model.path_fp16.is_file():
        mend = "take model_path_fp16 out of its row to have the harness convert one"
        lacks.append((f"no file {model.path_fp16}", mend))
    sets = data_sets.find_sets(model.test_data) if model.test_data else []
    if not sets:
        mend = f"{command_of('setup_models.add')} {model.path} --name {model.name}-with-data"
        lacks.append(("no test data (it runs with -i random only)", mend))
    return Finding(
        model,
        size_bytes=sum(file.stat().st_size for file in (model.path, *data_files)),
        opset=op_schemas.opset_of(structure),
        ir_version=structure.ir_version,
        fed=fed,
        sets=len(sets),
        sets_with_outputs=sum(bool(data_sets.tensor_files(each, "output")) for each in sets),
        artefacts=(*own, *artifact_cache.stored_precisions(sha256, artefact_folders)),
        sha256=sha256,
        lacks=tuple(lacks),
    )


def table(findings: Sequence[Finding]) -> list[str]:
    """The findings as lines of aligned columns, then a line for everything that is missing."""
    lines = [COLUMNS, *(_cells(each) for each in findings)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(COLUMNS))]
    shown = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    for each in findings:
        shown += [f"{each.listed.name}: {what}; {mend}" for what, mend in each.lacks]
    return shown


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 if nothing is missing, 1 if something is."""
    given = make_parser().parse_args(arguments)
    places = [*given.results.glob("*/cache/*")]
    places += given.keep_cache.glob("*") if given.keep_cache else ()
    folders = sorted(path for path in places if path.is_dir())
    (source,) = model_lists.find_sources((str(given.source),), ".")
    findings = [examine_model(each, folders) for each in list_models(source)]
    print(
        json.dumps([asdict(f) for f in findings], indent=1, default=str)
        if given.json
        else "\n".join(table(findings))
    )
    return 1 if any(each.lacks for each in findings) else 0


def make_parser() -> CommandParser:
    """The flags of a check."""
    prog = command_of("setup_models.check")
    parser = CommandParser(
        prog, "What each model has, what it lacks, and the command that mends that.",
        examples=(prog, f"{prog} models/model_list.json"),
    )  # fmt: skip
    parser.add_argument(
        "source", nargs="?", type=Path, default=Path("model_list.json"), metavar="SOURCE",
        help="a list, a folder, an .onnx file; left out: ./model_list.json, else the offline models",
    )  # fmt: skip
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("result"),
        metavar="DIR",
        help="where runs keep artefacts",
    )
    parser.add_argument(
        "--keep_cache", type=Path, metavar="DIR", help="the folder that runs share artefacts in"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    return parser


def _of_rows(entries: Sequence[model_list_rows.Row], source: Path) -> Iterator[Listed]:
    home = model_lists.folder_of_list(source)
    root = home
    for at, entry in enumerate(entries):
        if "root_working_directory" in entry:
            root = home / str(entry["root_working_directory"])
            if len(entry) == 1:
                continue
        try:
            folder = root / entry["working_directory"]
            path, data = folder / entry["model_path"], folder / entry["test_data_path"]
            half = entry.get("model_path_fp16")
            own = folder / half if half else None
            yield Listed(str(entry["model_name"]), path, data, entry.get("sha256"), own)
        except (KeyError, TypeError) as error:
            raise UserError(f"{source}[{at}]: {error} is missing or not a string") from error


def _fetch_command(model: Listed) -> str:
    """The command that brings this model here, by where its name is known."""
    if model.name in {recipe.name for recipe in offline.RECIPES}:
        return command_of("setup_models.offline")
    if model.name in packages.read_table():
        return f"{command_of('setup_models.packages')} {model.name}"
    if lock.match(lock.load(model.path.parent), model.name):
        return f"{command_of('setup_models.setup_onnx_zoo')} {model.name}"
    return "put the file back, or take its row out of the list"


def _cells(each: Finding) -> tuple[str, ...]:
    return (
        each.listed.name,
        "" if each.size_bytes is None else f"{each.size_bytes / 2**20:.1f}",
        "" if each.opset is None else f"{each.opset}/{each.ir_version}",
        " ".join(each.fed),
        f"{each.sets} ({each.sets_with_outputs} with outputs)" if each.sets else "0",
        " ".join(each.artefacts),
        (each.sha256 or "")[:12],
        "incomplete" if each.lacks else "ok",
    )


def _spell(each: model_inputs.Input) -> str:
    dims = "…" if each.dims is None else "x".join(map(str, each.dims))
    return f"{each.name}:{each.dtype}[{dims}]"


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
