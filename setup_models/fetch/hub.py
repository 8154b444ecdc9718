"""The Hugging Face hub, where the ONNX model zoo lives on: what it holds, and at which revision."""

from __future__ import annotations

import os
import re
import urllib.parse
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from perf.conversion.errors import UserError
from perf.request.programs import install_command
from setup_models.fetch.archives import stem
from setup_models.fetch.lock import Pin

REPOSITORY = "onnxmodelzoo/legacy_models"
FOLDER = "validated"
ENDPOINT = "https://huggingface.co"


def download_url(pin: Pin) -> str:
    """Where a pinned file is downloaded from; HF_ENDPOINT names another hub or a mirror."""
    if pin.repository is None:
        return pin.path
    endpoint = os.environ.get("HF_ENDPOINT", ENDPOINT).rstrip("/")
    revision = urllib.parse.quote(pin.revision or "main", safe="")
    return f"{endpoint}/{pin.repository}/resolve/{revision}/{urllib.parse.quote(pin.path)}"


def list_hub_models(repository: str = REPOSITORY, revision: str = "main") -> list[Pin]:
    """Every `.tar.gz` of the zoo as it is now, with digest, size and the commit it was read at.

    Needs the huggingface_hub package and the network; UserError without either.
    """
    try:
        import huggingface_hub
    except ImportError as error:
        raise UserError(
            "asking the hub needs the huggingface_hub package; "
            f"`{install_command('huggingface_hub', extra=True)}` fixes it"
        ) from error
    api = huggingface_hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=False)
    try:
        commit = api.repo_info(repository, revision=revision).sha
        tree = list(api.list_repo_tree(repository, FOLDER, recursive=True, revision=commit))
    except Exception as error:  # the hub's, httpx's and the OS's errors share no base
        raise UserError(f"{repository}: the hub does not answer ({_line(error)})") from error
    return _pins(tree, repository, commit)


def opset_of(name: str) -> int | None:
    """The opset a zoo name ends in (`resnet50-v1-7` → 7, `bertsquad-12-int8` → 12), if it does."""
    match = re.search(r"[-_](\d{1,2})(?:-(?:int8|qdq))?$", name)
    return int(match[1]) if match else None


def _pins(tree: Sequence[Any], repository: str, commit: str) -> list[Pin]:
    found = []
    for entry in tree:
        if not entry.path.endswith(".tar.gz"):
            continue
        name = stem(PurePosixPath(entry.path).name)
        lfs = getattr(entry, "lfs", None)  # a file small enough for git itself has no sha256
        digest = lfs.sha256 if lfs else None
        opset = opset_of(name)
        found.append(Pin(name, entry.path, digest, entry.size, repository, commit, opset))
    return sorted(found, key=lambda pin: pin.name)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
