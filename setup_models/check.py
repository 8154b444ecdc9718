"""`python -m setup_models.check [SOURCE]`: what each model has, what it lacks, and what mends that."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from perf.conversion.convert import stored_precisions
from perf.conversion.data_sets import pair_inputs, pair_outputs
from perf.conversion.errors import UserError, run_command
from perf.conversion.external_data import external_files, read_structure
from perf.conversion.op_schemas import opset_of
from perf.conversion.ort_format import read_ort_signature
from perf.conversion.signature import Signature, Value, signature_of
from perf.measure.tensor_io import names_without
from perf.request.command_parser import CommandParser
from perf.request.model_file import digest_model
from perf.request.model_list import (
    ModelListError,
    find_sources,
    find_test_sets,
    is_ort_format,
    list_all,
)
from perf.request.programs import command_of
from perf.schema.cell import ModelFile
from setup_models import offline, packages
from setup_models.fetch import zoo

COLUMNS = ("model", "MiB", "opset/IR", "inputs", "sets", "artefacts", "sha256", "state")


@dataclass(frozen=True)
class ModelReport:
    """One model looked through. `lacks` pairs what is missing with the command that mends it."""

    name: str
    lacks: tuple[tuple[str, str], ...]
    size_bytes: int | None = None
    opset: str = ""  # and the IR version
    inputs: tuple[str, ...] = ()
    sets: int = 0
    sets_with_outputs: int = 0
    artefacts: tuple[str, ...] = ()
    sha256: str = ""
    notes: tuple[
        str, ...
    ] = ()  # what a user should know of the stored data, which can be used all the same


def examine_model(model: ModelFile, artefact_folders: Iterable[Path]) -> ModelReport:
    """Look through one model; never raises for what it finds missing or damaged."""
    path = Path(model.path)
    try:
        if not path.is_file():
            raise UserError(f"no file {path}")
        signature, opset, data_files = _read_model(path, model)
    except UserError as refusal:
        return ModelReport(model.name, ((str(refusal), _fetch_command(model)),))
    lacks = []
    if model.path_fp16 and not Path(model.path_fp16).is_file():
        mend = "take model_path_fp16 out of its row to have the harness convert one"
        lacks.append((f"no file {model.path_fp16}", mend))
    elif model.problem:
        what, _, mend = model.problem.partition("; ")
        lacks.append((what, mend))
    sets = find_test_sets(Path(model.test_data)) if model.test_data else ()
    if not sets:
        mend = f"{command_of('setup_models.add')} {path} --name {model.name}-with-data"
        lacks.append(("no test data (it runs with -i random only)", mend))
    with_outputs, notes = 0, list[str]()
    for data_set in sets:
        try:
            fed, expected = pair_inputs(data_set, signature), pair_outputs(data_set, signature)
            with_outputs += bool(expected.tensors)
            told = (*fed.notes, *expected.notes, *_tell_unstored(signature, expected.tensors))
            notes += (f"{data_set.name}: {note}" for note in told)
        except UserError as refusal:
            lacks.append((str(refusal), "repair or remove that set"))
    sha256, own = digest_model(path), ("fp16 (own)",) if model.path_fp16 else ()
    return ModelReport(
        model.name,
        tuple(lacks),
        sum(file.stat().st_size for file in (path, *data_files)),
        opset,
        tuple(map(_spell, signature.inputs)),
        len(sets),
        with_outputs,
        (*own, *stored_precisions(sha256, artefact_folders)),
        sha256,
        tuple(notes),
    )


def _tell_unstored(signature: Signature, stored: Iterable[str]) -> Iterator[str]:
    """How many outputs are stored, where not all are, and what a run compares the others with."""
    names = [v.name for v in signature.outputs]
    if without := names_without(stored, names):
        yield (
            f"{len(names) - len(without)} of {len(names)} outputs stored; "
            f"a run compares {', '.join(without)} with the unoptimised CPU EP's"
        )


def _read_model(path: Path, model: ModelFile) -> tuple[Signature, str, list[Path]]:
    """What a model declares, its opset and IR version, and its data files; raises UserError."""
    if is_ort_format(path):
        return read_ort_signature(path, model.custom_ops), ".ort", []
    structure = read_structure(path)
    opset = f"{opset_of(structure)}/{structure.ir_version}"
    return signature_of(structure), opset, external_files(path, structure)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 if nothing is missing, 1 if something is."""
    args = make_parser().parse_args(arguments)
    places = [*args.results.glob("*/cache/*")]
    places += args.keep_cache.glob("*") if args.keep_cache else ()
    folders = sorted(path for path in places if path.is_dir())
    try:
        models = [m.load() for m in list_all(find_sources((str(args.source),), "."))]
        findings = [examine_model(model, folders) for model in models]
    except ModelListError as error:
        raise UserError(str(error)) from error
    print(
        json.dumps([asdict(found) for found in findings], indent=1)
        if args.json
        else "\n".join(_describe(findings))
    )
    return 1 if any(found.lacks for found in findings) else 0


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
    for flag, usual, what in (
        ("--results", Path("result"), "where runs keep artefacts"),
        ("--keep_cache", None, "the folder that runs share artefacts in"),
    ):
        parser.add_argument(flag, type=Path, default=usual, metavar="DIR", help=what)
    parser.add_argument("--json", action="store_true", help="as JSON")
    return parser


def _describe(findings: Sequence[ModelReport]) -> list[str]:
    """A table, a line each model; below it what lacks and what mends it."""
    lines = [COLUMNS, *map(_cells, findings)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = [
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines
    ]
    lacks = [f"{found.name}: {what}; {mend}" for found in findings for what, mend in found.lacks]
    return rows + lacks + [f"{found.name}: {note}" for found in findings for note in found.notes]


def _cells(found: ModelReport) -> tuple[str, ...]:
    return (
        found.name,
        "" if found.size_bytes is None else f"{found.size_bytes / 2**20:.1f}",
        found.opset,
        " ".join(found.inputs),
        f"{found.sets} ({found.sets_with_outputs} with outputs)" if found.sets else "0",
        " ".join(found.artefacts),
        found.sha256[:12],
        "incomplete" if found.lacks else "ok",
    )


def _fetch_command(model: ModelFile) -> str:
    """The command that brings this model here, by where its name is known."""
    if model.name in {recipe.name for recipe in offline.RECIPES}:
        return command_of("setup_models.offline")
    if model.name in packages.read_table():
        return f"{command_of('setup_models.packages')} {model.name}"
    if zoo.match_pins(zoo.load_pins(Path(model.folder)), model.name):
        return f"{command_of('setup_models.setup_onnx_zoo')} {model.name}"
    return "put the file back, or take its row out of the list"


def _spell(value: Value) -> str:
    dims = (
        "…" if value.dims is None else "x".join("?" if d is None else str(d) for d in value.dims)
    )
    return f"{value.name}:{value.type_name}[{dims}]"


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
