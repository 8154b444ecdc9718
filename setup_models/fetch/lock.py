"""The download lock: every name and link that may be fetched, with its revision and sha256."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from perf.conversion.errors import UserError

SHIPPED = Path(__file__).with_name("zoo.json")
FILE_NAME = "zoo.lock.json"


@dataclass(frozen=True)
class Pin:
    """One locked download. `repository` and `revision` are None for a plain link.

    sha256 is None where no digest is known: such an entry can be listed, not fetched.
    """

    name: str
    path: str  # in the repository; for a plain link, the link itself
    sha256: str | None
    size_bytes: int | None
    repository: str | None = None
    revision: str | None = None
    opset: int | None = None


def load(models: Path) -> dict[str, Pin]:
    """The shipped pins, overlaid by those of `<models>/zoo.lock.json`; UserError if damaged."""
    pins = _read(SHIPPED)
    own = models / FILE_NAME
    return pins | _read(own) if own.is_file() else pins


def add(models: Path, pins: Sequence[Pin]) -> None:
    """Write pins into `<models>/zoo.lock.json`, in name order, in one step."""
    path = models / FILE_NAME
    known = _read(path) if path.is_file() else {}
    known |= {pin.name: pin for pin in pins}
    models.mkdir(parents=True, exist_ok=True)
    entries = [
        {key: value for key, value in vars(known[name]).items() if value is not None}
        for name in sorted(known)
    ]
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(json.dumps({"models": entries}, indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


def match(pins: Mapping[str, Pin], pattern: str) -> list[Pin]:
    """The pins of zoo models whose name fits the pattern (`resnet*-v1-7`), in name order."""
    named = [pin for pin in pins.values() if pin.repository is not None]
    fits = [pin for pin in named if fnmatch.fnmatchcase(pin.name, pattern)]
    return sorted(fits, key=lambda pin: pin.name)


def _read(path: Path) -> dict[str, Pin]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        defaults = {key: content.get(key) for key in ("repository", "revision")}
        return {entry["name"]: _pin(entry, defaults) for entry in content["models"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not a readable lock file ({error})") from error


def _pin(entry: Mapping[str, object], defaults: Mapping[str, object]) -> Pin:
    known = {**defaults, **entry}
    names = ("name", "path", "sha256", "size_bytes", "repository", "revision", "opset")
    return Pin(**{name: known.get(name) for name in names})  # type: ignore[arg-type]
