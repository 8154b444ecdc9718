"""What an artefact is asked for by, known by and described by: request, key and report."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from perf.conversion.errors import UserError

Precision = Literal["fp16", "bf16", "int8"]
Converter = Literal["onnxruntime", "onnxconverter-common"]
# Raised when what this package does around the converters changes: old artefacts are then made anew.
RECIPE = 2
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

    The block lists are added to the converter's defaults: those nodes stay fp32 (in int8: are not
    quantised). `calibration` is a folder of test sets: int8 needs it, the others check with it.
    """

    precision: Precision = "fp16"
    converter: Converter = "onnxruntime"
    op_block_list: tuple[str, ...] = ()
    node_block_list: tuple[str, ...] = ()
    calibration: Path | None = None


@dataclass(frozen=True)
class Check:
    """What was looked at before the artefact was offered.

    relative_difference: the worst output's norm of (artefact - fp32) over the norm of fp32 on the
    CPU EP with graph optimisations off; rms_difference: that output's root mean square of
    (artefact - fp32), in the output's own unit. None where nothing could be run or compared.
    """

    kind: str
    inputs: str
    relative_difference: float | None = None
    rms_difference: float | None = None
    outputs: dict[str, float | str] = field(default_factory=dict)

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


def artifact_key(
    source_sha256: str,
    precision: Precision,
    converter: Converter,
    converter_version: str,
    op_block_list: Sequence[str] = (),
    node_block_list: Sequence[str] = (),
    calibration: str = "",
) -> str:
    """32 hex digits that change with anything that can change the artefact; order does not count.

    `calibration` is the digest of the test sets that an int8 artefact is calibrated on.
    """
    parts = {
        "source": source_sha256,
        "precision": precision,
        "converter": converter,
        "version": converter_version,
        "ops": sorted(set(op_block_list)),
        "nodes": sorted(set(node_block_list)),
        "recipe": RECIPE,
        "calibration": calibration,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
