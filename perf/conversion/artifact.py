"""What an artefact is asked for by, known by and described by: request, key and report."""

import contextlib
import hashlib
import json
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Literal, get_args

from perf.conversion.errors import UserError
from perf.conversion.half_precision import HalfRun
from perf.request.model_file import digest_file
from perf.request.programs import install_command
from perf.request.stored_data import digest_test_data

Precision = Literal["fp16", "bf16", "int8"]
Converter = Literal["onnxruntime", "onnxconverter-common"]
# Raised when what this package does around the converters changes: old artefacts are then made anew.
RECIPE = 3
# Above this relative difference (and where it is more than rounding, RMS_FLOOR) the artefact
# computes another function and is not offered. Whether a smaller one is right enough is for
# validation to say, with the model's own tolerances.
DIFFERENCE_LIMITS: dict[Precision, float] = {"fp16": 0.5, "bf16": 0.5, "int8": 0.9}
RMS_FLOOR = 1e-3  # outputs this close to fp32's pass, whatever they are relative to


class ConversionError(UserError):
    """No artefact: the converter's own reason, in one line."""


@dataclass(frozen=True)
class ConversionRequest:
    """What to make of the source, and what to check it with.

    The block lists are added to the converter's defaults: those nodes stay fp32 (int8: unquantised).
    `calibration` is a folder of test sets: int8 needs it, the others check with it.
    """

    precision: Precision = "fp16"
    converter: Converter = "onnxruntime"
    op_block_list: tuple[str, ...] = ()
    node_block_list: tuple[str, ...] = ()
    calibration: Path | None = None
    custom_ops: tuple[str, ...] = ()  # libraries of ops that the model needs; they stay fp32

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            raise ConversionError(f"no converter makes {self.precision} models")


@dataclass(frozen=True)
class Check:
    """What was looked at before the artefact was offered; None where nothing could be run or compared.

    relative_difference: the worst output's norm of (artefact - fp32) over the norm of fp32 on the unoptimised
    CPU EP; rms_difference: that output's root mean square of (artefact - fp32), in the output's own unit.
    """

    kind: str
    inputs: str
    relative_difference: float | None = None
    rms_difference: float | None = None
    outputs: dict[str, float | str] = field(default_factory=dict)
    arithmetics: tuple[HalfRun, ...] = ()  # of an fp16 model, which the CPU EP computes in fp32

    def too_far(self, precision: Precision) -> bool:
        """Whether the artefact computes another function than fp32 does."""
        if self.relative_difference is None or self.rms_difference is None:
            return False
        within = self.relative_difference <= DIFFERENCE_LIMITS[precision]
        return not (within or self.rms_difference <= RMS_FLOOR)


@dataclass(frozen=True)
class Report:
    """How an artefact was made and what was checked; written as JSON beside it on request."""

    key: str
    source: str
    source_sha256: str
    precision: Precision
    converter: Converter
    converter_version: str
    op_block_list: tuple[str, ...]
    node_block_list: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: float
    size_bytes: int
    check: Check


def converter_version(converter: Converter) -> str:
    """The installed converter's version; ConversionError with the install command if missing."""
    others = [f"onnxruntime-{name}" for name in ("gpu", "openvino", "qnn")]
    for name in (converter, *(others if converter == "onnxruntime" else ())):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    raise ConversionError(
        f"{converter} is not installed here: `{install_command(converter, extra=True)}` fixes it, or "
        "choose another --converter"
    )


def request_key(source_sha256: str, request: ConversionRequest) -> str:
    """32 hex digits that change with anything that can change what `request` makes here of that source.

    The order of a block list does not count, test sets only for int8. Raises ConversionError.
    """
    sets = request.calibration if request.precision == "int8" else None
    parts = {
        "source": source_sha256,
        "precision": request.precision,
        "converter": request.converter,
        "version": converter_version(request.converter),
        "ops": sorted(set(request.op_block_list)),
        "nodes": sorted(set(request.node_block_list)),
        "recipe": RECIPE,
        "calibration": digest_test_data(sets),
    }
    if request.custom_ops:  # left out where there are none: keys of earlier versions stand
        parts["custom_ops"] = sorted(digest_file(Path(library)) for library in request.custom_ops)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
