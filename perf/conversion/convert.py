"""Half-precision and int8 artefacts of a model: converted, checked against fp32, and kept by key."""

import dataclasses
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from perf.conversion import artifact, external_data
from perf.conversion.artifact import ConversionError, ConversionRequest, Report, request_key
from perf.conversion.check_converted import (
    check_converted,
    check_converted_bf16,
    check_converted_fp16,
)
from perf.conversion.converters import to_half, to_int8
from perf.conversion.errors import UserError, run_command
from perf.conversion.half_precision import HalfRun
from perf.conversion.scratch_dir import scratch_folder
from perf.conversion.signature import read_signature
from perf.request.command_parser import CommandParser
from perf.request.custom_ops import find_libraries
from perf.request.model_file import digest_model
from perf.request.model_list import is_ort_format
from perf.request.programs import command_of
from perf.schema.atomic_file import write_json
from perf.schema.file_lock import hold_lock

REPORT = "report.json"
CHECKS = {"fp16": check_converted_fp16, "bf16": check_converted_bf16, "int8": check_converted}


@dataclass(frozen=True)
class StoredArtefact:
    """An artefact, the report of its making, and whether it was there before it was asked for."""

    path: Path
    report: Mapping[str, Any]
    before: bool


def convert(source: Path, destination: Path, request: ConversionRequest) -> Report:
    """Make the artefact (and `<destination>.data`) atomically, or raise UserError and leave nothing."""
    if is_ort_format(source):
        raise ConversionError(
            f"{source}: no .ort can be converted: take the ONNX that it was made of"
        )
    if request.custom_ops and request.precision == "int8":
        raise ConversionError(
            "onnxruntime.quantization calibrates in sessions that take no custom-op library: give the "
            "model's own int8 form"
        )
    version = artifact.converter_version(request.converter)
    read_signature(source)  # refuses what is not whole
    source_sha256 = digest_model(source)
    began_s = time.monotonic()
    make = to_int8 if request.precision == "int8" else to_half
    check_it = CHECKS[request.precision]
    destination.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(destination.parent, ".converting.") as folder:
        draft = folder / destination.name
        with external_data.without_links(source, folder) as plain:
            conversion = make(plain, draft, request)
            check = check_it(plain, draft, request.calibration, request.custom_ops)
        if check.too_far(request.precision):
            raise ConversionError(
                f"the {request.precision} model's outputs differ from fp32's by "
                f"{check.relative_difference:.3g} of their norm on the CPU EP (limit "
                f"{artifact.DIFFERENCE_LIMITS[request.precision]}); block its worst ops or nodes"
            )
        size_bytes = sum(path.stat().st_size for path in folder.iterdir())
        # external data first, the model last: a model that is there is complete
        for path in sorted(folder.iterdir(), key=lambda path: path == draft):
            path.replace(destination.with_name(path.name))
    return Report(
        key=request_key(source_sha256, request),
        source=str(source),
        source_sha256=source_sha256,
        precision=request.precision,
        converter=request.converter,
        converter_version=version,
        op_block_list=conversion.op_block_list,
        node_block_list=request.node_block_list,
        notes=conversion.notes,
        seconds=round(time.monotonic() - began_s, 3),
        size_bytes=size_bytes,
        check=check,
    )


def get_or_make(source: Path, root: Path, request: ConversionRequest) -> StoredArtefact:
    """The artefact in `<root>/<key>`; made now if it is not there, whoever else asks. Raises UserError."""
    folder = root / request_key(digest_model(source), request)
    path = folder / f"model.{request.precision}.onnx"
    folder.mkdir(parents=True, exist_ok=True)
    with hold_lock(folder / "lock"):
        if (report := _whole(path)) is not None:
            return StoredArtefact(path, report, before=True)
        write_json(folder / REPORT, dataclasses.asdict(convert(source, path, request)))
        return StoredArtefact(path, _read(folder / REPORT), before=False)


def stored_precisions(source_sha256: str, folders: Iterable[Path]) -> list[str]:
    """The precisions of this source's artefacts that lie in the folders, told by their reports."""
    found = set()
    for record in (path for folder in folders for path in sorted(folder.glob("*.json"))):
        report = _read(record)
        if report.get("source_sha256") == source_sha256 and any(record.parent.glob("*.onnx")):
            found.add(str(report.get("precision")))
    return sorted(found)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: 0 with the artefact there, 2 with one line on stderr, and in the report."""
    args = make_parser().parse_args(arguments)
    blocks = tuple(args.op_block_list), tuple(args.node_block_list)
    libraries = tuple(find_libraries(args.custom_ops))
    request = ConversionRequest(
        args.precision, args.converter, *blocks, args.calibration, libraries
    )
    try:
        report = convert(args.source, args.destination, request)
    except Exception as error:  # whatever broke, the caller gets one line and no artefact
        why = f"{'' if isinstance(error, UserError) else type(error).__name__ + ': '}{error}"
        if args.report:
            write_json(args.report, {"failed": why}, indent=2)
        raise ConversionError(why) from error
    if args.report:
        write_json(args.report, dataclasses.asdict(report), indent=2)
    distance = report.check.relative_difference
    found = "" if distance is None else f": relative difference {distance:.2g}"
    print(
        f"{args.destination}: {report.precision} by {report.converter} "
        f"{report.converter_version} in {report.seconds} s, {report.size_bytes / 2**20:.1f} MiB; "
        f"{report.check.kind}{found}"
    )
    for run in report.check.arithmetics:
        print(f"  {_describe_half(run)}")
    return 0


def _describe_half(run: HalfRun) -> str:
    """One arithmetic in a line: what it gives, and where it overflows."""
    distance = run.relative_difference
    found = [] if distance is None else [f"relative difference {distance:.2g}"]
    found += [f"overflows at {', '.join(run.overflows)}"] if run.overflows else []
    return f"{run.arithmetic}: {'; '.join(filter(None, (*found, run.note)))}"


def make_parser() -> CommandParser:
    """The flags of a conversion."""
    prog = command_of("perf.cli.convert_model")
    parser = CommandParser(
        prog, "Convert a model to fp16, bf16 or int8, and check it against fp32 on the CPU EP.",
        examples=(
            f"{prog} net.onnx net_fp16.onnx",
            f"{prog} net.onnx net_int8.onnx --precision int8 --calibration net/",
        ),
    )  # fmt: skip
    parser.add_argument("source", type=Path, metavar="SRC.onnx")
    parser.add_argument("destination", type=Path, metavar="DST.onnx")
    for flag, choices, usual in (
        ("--precision", get_args(artifact.Precision), "fp16"),
        ("--converter", get_args(artifact.Converter), "onnxruntime"),
    ):
        parser.add_argument(flag, choices=choices, default=usual, help=f"default {usual}")
    for flag, metavar in (("--op_block_list", "OP"), ("--node_block_list", "NODE")):
        parser.add_argument(flag, nargs="+", metavar=metavar, help="what stays fp32")
    sets, report = "test sets: int8 calibrates on them", "what was made, as JSON"
    parser.add_argument("--calibration", type=Path, metavar="FOLDER", help=sets)
    parser.add_argument(
        "--custom_ops", metavar="LIB", nargs="+", default=[], help="of its custom ops, which stay fp32"
    )  # fmt: skip
    parser.add_argument("--report", type=Path, metavar="REPORT.json", help=report)
    return parser


def _whole(path: Path) -> Mapping[str, Any] | None:
    """The report of an artefact that is there in full; None for anything less."""
    report = _read(path.with_name(REPORT))
    parts = [part for part in (path, path.with_name(f"{path.name}.data")) if part.is_file()]
    size_bytes = sum(part.stat().st_size for part in parts)
    return report if path.is_file() and report.get("size_bytes") == size_bytes else None


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # none, another's file, or one being written
    return content if isinstance(content, dict) else {}


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
