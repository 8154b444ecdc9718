"""Artefacts kept by key in a folder that cells and runs share: each made once, and whole."""

from __future__ import annotations

import dataclasses
import fcntl
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perf.conversion import convert
from perf.conversion.artifact import ConversionRequest
from perf.request.model_file import digest_model

REPORT = "report.json"


@dataclass(frozen=True)
class Kept:
    """An artefact, the report of its making, and whether it was there before it was asked for."""

    path: Path
    report: Mapping[str, Any]
    before: bool


def get_or_make(source: Path, root: Path, request: ConversionRequest) -> Kept:
    """The artefact in `<root>/<key>`; made now if it is not there, whoever else asks meanwhile.

    Raises ConversionError (see half.convert), and then nothing is kept: the next one tries again.
    """
    folder = root / convert.request_key(digest_model(source), request)
    path = folder / f"model.{request.precision}.onnx"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (report := _whole(path)) is not None:
            return Kept(path, report, before=True)
        made = convert.convert(source, path, request)
        convert.write_json(folder / REPORT, dataclasses.asdict(made))
        return Kept(path, _read(folder / REPORT), before=False)


def stored_precisions(source_sha256: str, folders: Iterable[Path]) -> list[str]:
    """The precisions of this source's artefacts that lie in the folders, told by their reports."""
    found = set()
    for record in (path for folder in folders for path in sorted(folder.glob("*.json"))):
        report = _read(record)
        if report.get("source_sha256") == source_sha256 and any(record.parent.glob("*.onnx")):
            found.add(str(report.get("precision")))
    return sorted(found)


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
