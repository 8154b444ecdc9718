"""What may be downloaded: safe addresses, and pins of the ONNX zoo, which lives on the Hugging Face hub."""

import fnmatch
import json
import os
import re
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any

from perf.conversion.errors import UserError, describe_error
from perf.request.programs import install_command
from perf.schema.atomic_file import write_json
from setup_models.fetch.archives import stem

REPOSITORY = "onnxmodelzoo/legacy_models"
FOLDER = "validated"
SHIPPED = Path(__file__).with_name("zoo.json")
FILE_NAME = "zoo.lock.json"
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Pin:
    """One locked download; without a digest it is listed but not fetched. A plain link has no repository."""

    name: str
    path: str  # in the repository; for a plain link, the link itself
    sha256: str | None
    size_bytes: int | None
    repository: str | None = None
    revision: str | None = None
    opset: int | None = None


def require_safe(url: str) -> None:
    """Refuse what is neither https nor on this machine, where http carries the tests."""
    parts = urllib.parse.urlsplit(url)
    here = parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS
    if not here and not (parts.scheme == "https" and parts.hostname):
        raise UserError(f"{url}: only https:// links, file:// links and plain paths are accepted")


def file_name(url: str) -> str:
    """The name a download of `url` is stored under; refuses an address without one."""
    name = Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name
    if name in {"", ".", ".."} or "\0" in name:
        raise UserError(f"{url}: names no file; give the archive's own link")
    return name


def load_pins(models: Path) -> dict[str, Pin]:
    """The shipped pins, overlaid by those of `<models>/zoo.lock.json`; UserError if damaged."""
    own = models / FILE_NAME
    return _read(SHIPPED) | (_read(own) if own.is_file() else {})


def add_pins(models: Path, pins: Sequence[Pin]) -> None:
    """Write pins into `<models>/zoo.lock.json`, in name order, in one step."""
    path = models / FILE_NAME
    known = _read(path) if path.is_file() else {}
    known |= {pin.name: pin for pin in pins}
    entries = [
        {key: value for key, value in vars(known[name]).items() if value is not None}
        for name in sorted(known)
    ]
    write_json(path, {"models": entries}, indent=2)


def match_pins(pins: Mapping[str, Pin], pattern: str) -> list[Pin]:
    """The pins of zoo models whose name fits the pattern (`resnet*-v1-7`), in name order."""
    named = [pin for pin in pins.values() if pin.repository is not None]
    fits = [pin for pin in named if fnmatch.fnmatchcase(pin.name, pattern)]
    return sorted(fits, key=lambda pin: pin.name)


def download_url(pin: Pin) -> str:
    """Where a pinned file is downloaded from; HF_ENDPOINT names another hub or a mirror."""
    if pin.repository is None:
        return pin.path
    url = _hub().hf_hub_url(
        pin.repository, pin.path, revision=pin.revision, endpoint=os.environ.get("HF_ENDPOINT")
    )
    return str(url)


def list_hub_models() -> list[Pin]:
    """Every `.tar.gz` of the zoo as it is now, with digest, size and commit; raises UserError."""
    api = _hub().HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=False)
    try:
        commit = api.repo_info(REPOSITORY, revision="main").sha
        tree = list(api.list_repo_tree(REPOSITORY, FOLDER, recursive=True, revision=commit))
    except Exception as error:  # the hub's, httpx2's and the OS's errors share no base
        why = describe_error(error)
        raise UserError(f"{REPOSITORY}: the hub does not answer ({why})") from error
    pins = []
    for entry in tree:
        if entry.path.endswith(".tar.gz"):
            name = stem(PurePosixPath(entry.path).name)
            lfs = getattr(entry, "lfs", None)  # a file small enough for git itself has no sha256
            digest, opset = lfs.sha256 if lfs else None, _opset_of(name)
            pins.append(Pin(name, entry.path, digest, entry.size, REPOSITORY, commit, opset))
    return sorted(pins, key=lambda pin: pin.name)


def _hub() -> Any:
    try:
        import huggingface_hub  # an extra: what is here already needs none of it
    except ImportError as error:
        raise UserError(
            "asking the hub needs the huggingface_hub package; "
            f"`{install_command('huggingface_hub', extra=True)}` fixes it"
        ) from error
    return huggingface_hub


def _opset_of(name: str) -> int | None:
    """The opset a zoo name ends in (`resnet50-v1-7` → 7, `bertsquad-12-int8` → 12), if it does."""
    match = re.search(r"[-_](\d{1,2})(?:-(?:int8|qdq))?$", name)
    return int(match[1]) if match else None


def _read(path: Path) -> dict[str, Pin]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        defaults = {key: content.get(key) for key in ("repository", "revision")}
        entries: list[dict[str, Any]] = [defaults | entry for entry in content["models"]]
        unknown: dict[str, Any] = dict.fromkeys(field.name for field in fields(Pin))
        return {entry["name"]: Pin(**(unknown | entry)) for entry in entries}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not a readable lock file ({error})") from error
