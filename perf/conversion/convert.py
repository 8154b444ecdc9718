"""Half-precision and int8 artefacts of a model: converted, checked against fp32, then offered."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, assert_never, get_args

from perf.conversion import scratch_dir
from perf.conversion.artifact import (
    DIFFERENCE_LIMITS,
    Check,
    ConversionError,
    ConversionRequest,
    Converter,
    Precision,
    Report,
    artifact_key,
)
from perf.conversion.errors import UserError, run_command
from perf.request.command_parser import CommandParser
from perf.request.model_file import digest_model
from perf.request.model_list import digest_test_data
from perf.request.programs import command_of, install_command

if TYPE_CHECKING:
    from perf.conversion.converters import Conversion


def converter_version(converter: Converter) -> str:
    """The installed converter's version; ConversionError with the install command if missing."""
    from importlib import metadata

    try:
        return metadata.version(converter)
    except metadata.PackageNotFoundError as error:
        for variant in ("onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-qnn"):
            try:
                if converter == "onnxruntime":
                    return metadata.version(variant)
            except metadata.PackageNotFoundError:
                continue
        raise ConversionError(
            f"{converter} is not installed here: `{install_command(converter, extra=True)}` fixes it, or "
            "choose another --converter"
        ) from error


def precision_named(precision: str) -> Precision:
    """A precision by its name; raises ConversionError for one that no converter makes."""
    for known in get_args(Precision):
        if precision == known:
            return known  # type: ignore[no-any-return]
    raise ConversionError(f"no converter makes {precision} models")


def request_key(source_sha256: str, request: ConversionRequest) -> str:
    """The key of what `request` makes of that source with the converter that is installed here.

    Int8 also depends on the test sets it is calibrated on. Raises ConversionError without the
    converter.
    """
    calibrated = digest_test_data(request.calibration) if request.precision == "int8" else ""
    version = converter_version(request.converter)
    blocks = request.op_block_list, request.node_block_list
    return artifact_key(
        source_sha256, request.precision, request.converter, version, *blocks, calibrated
    )


def convert(source: Path, destination: Path, request: ConversionRequest) -> Report:
    """Make the artefact at `destination`, atomically, or raise ConversionError and leave nothing.

    A model with external data gets `<destination>.data` beside it, in place before the model is.
    """
    from perf.conversion import external_data

    version = converter_version(request.converter)
    external_data.external_files(
        source, external_data.read_structure(source)
    )  # refuses what is not whole
    source_sha256 = digest_model(source)
    began_s = time.monotonic()
    destination.parent.mkdir(parents=True, exist_ok=True)
    with scratch_dir.scratch_folder(destination.parent, ".converting.") as folder:
        draft = folder / destination.name
        conversion, check = _made_and_checked(source, draft, request)
        size_bytes = sum(path.stat().st_size for path in folder.iterdir())
        _put_in_place(folder, destination)
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


def _made_and_checked(
    source: Path, draft: Path, request: ConversionRequest
) -> tuple[Conversion, Check]:
    from perf.conversion import check_converted, converters

    match request.precision:
        case "int8":
            conversion = converters.to_int8(source, draft, request)
            check = check_converted.check_converted(source, draft, request.calibration)
        case "fp16":
            conversion = converters.to_half(source, draft, request)
            check = check_converted.check_converted(source, draft, request.calibration)
        case "bf16":
            conversion = converters.to_half(source, draft, request)
            check = check_converted.check_converted_bf16(source, draft, request.calibration)
        case never:
            assert_never(never)
    if check.too_far(request.precision):
        raise ConversionError(
            f"the {request.precision} model's outputs differ from fp32's by "
            f"{check.relative_difference:.3g} of their norm on the CPU EP (limit "
            f"{DIFFERENCE_LIMITS[request.precision]}); block its worst ops or nodes"
        )
    return conversion, check


def _put_in_place(folder: Path, destination: Path) -> None:
    """External data first, the model last: a model that is there is complete."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name == destination.name):
        path.replace(destination.with_name(path.name))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: exit 0 with the artefact there, 1 with one line on stderr and no artefact.

    With --report, a JSON file holds the Report, or {"failed": reason}.
    """
    given = make_parser().parse_args(arguments)
    request = ConversionRequest(
        given.precision,
        given.converter,
        tuple(given.op_block_list),
        tuple(given.node_block_list),
        given.calibration,
    )
    try:
        report = convert(given.source, given.destination, request)
    except UserError as refusal:
        write_json(given.report, {"failed": str(refusal)})
        raise
    except Exception as error:  # whatever broke, the caller gets one line and no artefact
        write_json(given.report, {"failed": f"{type(error).__name__}: {error}"})
        raise ConversionError(f"{type(error).__name__}: {error}") from error
    write_json(given.report, dataclasses.asdict(report))
    distance = report.check.relative_difference
    found = "" if distance is None else f": relative difference {distance:.2g}"
    print(
        f"{given.destination}: {report.precision} by {report.converter} "
        f"{report.converter_version} in {report.seconds} s, {report.size_bytes / 2**20:.1f} MiB; "
        f"{report.check.kind}{found}"
    )
    return 0


def make_parser() -> CommandParser:
    """The flags of a conversion."""
    prog = command_of("perf.conversion.convert")
    parser = CommandParser(
        prog, "Convert a model to fp16, bf16 or int8, and check it against fp32 on the CPU EP.",
        examples=(
            f"{prog} net.onnx net_fp16.onnx",
            f"{prog} net.onnx net_int8.onnx --precision int8 --calibration net/",
        ),
    )  # fmt: skip
    parser.add_argument("source", type=Path, metavar="SRC.onnx")
    parser.add_argument("destination", type=Path, metavar="DST.onnx")
    parser.add_argument(
        "--precision", choices=get_args(Precision), default="fp16", help="default fp16"
    )
    parser.add_argument(
        "--converter",
        choices=get_args(Converter),
        default="onnxruntime",
        help="default onnxruntime",
    )
    parser.add_argument("--op_block_list", nargs="+", metavar="OP", help="ops that stay fp32")
    parser.add_argument(
        "--node_block_list", nargs="+", metavar="NODE", help="nodes that stay fp32"
    )
    parser.add_argument(
        "--calibration", type=Path, metavar="FOLDER", help="test sets: int8 calibrates on them"
    )
    parser.add_argument(
        "--report", type=Path, metavar="REPORT.json", help="what was made, as JSON"
    )
    return parser


def write_json(path: Path | None, content: object) -> None:
    """Write it in one step; nothing where nobody asked for it."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
