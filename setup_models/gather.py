"""From a list of names, links, archives and folders to model folders and rows, all or nothing."""

import dataclasses
import os
import re
import urllib.parse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from perf.conversion.data_sets import tensor_files
from perf.conversion.errors import UserError
from perf.conversion.signature import read_signature
from perf.request.model_list import find_test_sets, is_ort_format, model_files
from perf.request.programs import command_of, install_command
from perf.schema.untrusted_file import read_text
from setup_models.fetch import archives, zoo
from setup_models.fetch.zoo import Pin
from setup_models.model_list_rows import (
    Addition,
    Row,
    make_row,
    put_in_place,
    require_new,
    workshop,
)
from setup_models.reference import SetOptions, make_sets

OLD_ZOO = re.compile(r"https://(?:media\.)?github(?:usercontent)?\.com/(?:media/)?onnx/models/")


@dataclass(frozen=True)
class SetupContext:
    """What is locked, where things come to, and what is allowed on the way."""

    pins: Mapping[str, Pin]
    models: Path
    list_path: Path
    downloads: Path
    keep_downloads: bool = False
    update_lock: bool = False
    make_test_data: bool = False


@dataclass(frozen=True)
class ModelSource:
    """One thing to set up: an archive or a folder at `path`, or a pin of what is still to be fetched."""

    name: str
    path: Path | None = None
    pin: Pin | None = None

    @property
    def stays(self) -> bool:
        """Whether it is a folder, which is listed where it stands."""
        return self.path is not None and self.path.is_dir()


@dataclass(frozen=True)
class FoundModel:
    """One model: its name, its file, and the folder with its test sets (None: it has none)."""

    name: str
    model: Path
    test_data: Path | None


def set_up(what: Sequence[str], context: SetupContext) -> list[str]:
    """Set up everything that `what` means, all of it or nothing; the model names. Raises UserError.

    What was fetched so far, whole or in part, stays in `context.downloads` for the next run to go on from.
    """
    sources = [s for text in what for s in resolve_sources(text, Path.cwd(), context)]
    names = [source.name for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two of them are called {name}; set them up one at a time")
    with workshop(context.models) as scratch:
        folders = [source.name for source in sources if not source.stays]
        require_new(context.models, context.list_path, folders)  # before the long way, not after
        sources = [_fetch(source, context) for source in sources]
        additions = [_stage(source, scratch, context) for source in sources]
        put_in_place(context.models, context.list_path, additions)
    if context.update_lock:
        zoo.add_pins(context.models, [source.pin for source in sources if source.pin])
    for source in sources:
        if source.pin and source.path and not context.keep_downloads:
            source.path.unlink(missing_ok=True)
    return [row["model_name"] for addition in additions for row in addition.rows]


def resolve_sources(text: str, base: Path, context: SetupContext) -> list[ModelSource]:
    """What one WHAT, or one line of a links.txt in folder `base`, stands for."""
    path = _local_path(text, base)
    if path is None:
        return [_resolve_link(text, context.pins)]
    if path.is_dir():
        return _resolve_folder(path)
    if path.is_file() and archives.is_archive(path):
        return [ModelSource(archives.stem(path.name), path)]
    if path.is_file() and path.suffix == ".txt":
        lines = _read_links(path)
        return [s for line in lines for s in resolve_sources(line, path.parent, context)]
    if path.is_file():
        add = command_of("setup_models.add")
        raise UserError(f"{path}: not an archive; for a single model: {add} {path}")
    if "/" in text:
        raise UserError(f"{text}: no such file or folder ({path})")
    pins = context.pins
    if context.update_lock:
        pins = {pin.name: pin for pin in zoo.list_hub_models()}
    named = zoo.match_pins(pins, text)
    if not named:
        raise UserError(
            f"{text}: neither a file or folder here nor a name in the lock; see --list, "
            "or add --update-lock to ask the hub"
        )
    return [ModelSource(pin.name, pin=pin) for pin in named]


def _resolve_link(text: str, pins: Mapping[str, Pin]) -> ModelSource:
    url, _, fragment = text.partition("#")
    zoo.require_safe(url)
    file_name = zoo.file_name(url)
    name = archives.stem(file_name)
    if OLD_ZOO.match(url) and name in pins:  # the old zoo's files are gone; the models are not
        return ModelSource(name, pin=pins[name])
    if not archives.is_archive(Path(file_name)):
        raise UserError(f"{url}: not the link of an archive ({', '.join(archives.SUFFIXES)})")
    pin = pins.get(url) or Pin(url, url, None, None)
    if fragment.startswith("sha256="):
        digest = fragment.removeprefix("sha256=")
        if not re.fullmatch("[0-9a-f]{64}", digest):
            raise UserError(f"{text}: sha256 must be 64 lower-case hex digits")
        pin = dataclasses.replace(pin, sha256=digest)
    return ModelSource(name, pin=pin)


def _resolve_folder(path: Path) -> list[ModelSource]:
    """The archives in a folder; without any the folder itself if it holds a model, else those in it."""
    children = sorted(path.iterdir())
    packed = [child for child in children if child.is_file() and archives.is_archive(child)]
    if packed:
        return [ModelSource(archives.stem(child.name), child) for child in packed]
    folders = [child for child in children if child.is_dir() and not child.name.startswith(".")]
    if not folders or model_files(children):
        folders = [path]
    return [ModelSource(folder.name, folder) for folder in folders]


def _fetch(source: ModelSource, context: SetupContext) -> ModelSource:
    """The source with its archive here, and its pin with the digest that it has."""
    pin = source.pin
    if pin is None:
        return source
    try:
        from setup_models.fetch.download import DownloadSpec, fetch  # needs packages of an extra
    except ImportError as error:
        package = str(error.name)
        raise UserError(
            f"downloads need the {package} package; `{install_command(package, extra=True)}` fixes it"
        ) from error
    url = zoo.download_url(pin)
    if pin.sha256 is None and not context.update_lock:
        raise UserError(f"{url}: no digest is locked for it; add --update-lock to take it")
    path = context.downloads / zoo.file_name(url)
    sha256 = fetch(DownloadSpec(url, pin.sha256, pin.size_bytes), path)
    sure = dataclasses.replace(pin, sha256=sha256, size_bytes=path.stat().st_size)
    return ModelSource(source.name, path, sure)


def _stage(source: ModelSource, scratch: Path, context: SetupContext) -> Addition:
    """Unpack an archive, look through the folder, and write its models' rows."""
    assert source.path is not None, "what was to be fetched is here"
    staged = None if source.stays else scratch / source.name
    root, place = source.path, source.path
    if staged:
        archives.unpack(source.path, staged)
        root, place = staged, context.models / source.name
    working_directory = _as_seen_from(place, context.list_path)
    found = [_with_test_data(model, staged, context) for model in _find_models(root, source.name)]
    rows = tuple(_make_row(model, root, working_directory) for model in found)
    return Addition(source.name, staged, rows)


def _with_test_data(found: FoundModel, staged: Path | None, context: SetupContext) -> FoundModel:
    if found.test_data is not None:
        return found
    if not context.make_test_data or staged is None:
        fix = (
            "add --make_test_data" if staged else f"{command_of('setup_models.add')} {found.model}"
        )
        raise UserError(f"{found.name}: comes without test data; to make some: {fix}")
    folder = found.model.parent
    make_sets(found.model, folder, SetOptions())
    return dataclasses.replace(found, test_data=folder)


def _as_seen_from(folder: Path, list_path: Path) -> str:
    """The folder relative to the list's own, as the harness reads it; absolute if far away."""
    relative = os.path.relpath(folder.resolve(), list_path.parent.resolve())
    if relative.startswith("../.."):
        return str(folder.resolve())
    return f"./{relative}/" if relative != "." else "./"


def _local_path(link: str, base: Path) -> Path | None:
    """The path that a `file://` link or a plain path means (relative to `base`); None for URLs."""
    parts = urllib.parse.urlsplit(link)
    if parts.scheme == "file":
        if parts.netloc not in {"", "localhost"}:
            raise UserError(f"{link}: a file:// link names a file of this machine: file:///…")
        return Path(urllib.parse.unquote(parts.path))
    return None if parts.scheme else base / link


def _read_links(path: Path) -> list[str]:
    """The links in a text file, one a line; blank lines and `#` comments are skipped."""
    try:
        text = read_text(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; write one link a line into it") from error
    links = [line.strip() for line in text.splitlines()]
    links = [link for link in links if link and not link.startswith("#")]
    if not links:
        raise UserError(f"{path}: holds no link; write one a line")
    return links


def _find_models(root: Path, name: str) -> list[FoundModel]:
    """Every model below `root`, in path order: a single one bears `name`, of several each its own part too.

    Test data belongs to a model when it lies in the model's folder or the nearest folder above that
    has some. Raises UserError for no model, and for two of one name or with the same test data.
    """
    files = _onnx_files(root)
    if not files:
        raise UserError(f"{root.name}: no .onnx file in it")
    found = [
        FoundModel(
            name if len(files) == 1 else _own_name(root, name, file), file, _test_data(root, file)
        )
        for file in files
    ]
    for folder, count in Counter(model.test_data for model in found).items():
        if folder is not None and count > 1:
            rivals = ", ".join(
                str(f.model.relative_to(root)) for f in found if f.test_data == folder
            )
            raise UserError(f"{root.name}: {rivals} share one set of test data; keep one of them")
    for twice, count in Counter(model.name for model in found).items():
        if count > 1:
            raise UserError(f"{root.name}: two models would be called {twice}; rename one")
    return found


def _make_row(found: FoundModel, root: Path, folder: str) -> Row:
    """The row of a model that has test data; raises UserError if its files are not whole."""
    if not is_ort_format(found.model):
        read_signature(found.model)
    assert found.test_data is not None
    places = _relative(found.model, root), _relative(found.test_data, root)
    return make_row(found.name, folder, *places, found.model)


def _onnx_files(root: Path) -> list[Path]:
    found = []
    for folder, folders, names in os.walk(root):
        # Hidden entries are not models: macOS archives carry a `._model.onnx` beside each file.
        folders[:] = [f for f in folders if not f.startswith((".", "test_data"))]
        found += model_files(Path(folder) / name for name in names)
    return sorted(found)


def _own_name(root: Path, name: str, file: Path) -> str:
    inside = file.relative_to(root).with_suffix("")
    generic = inside.name.lower() == "model" and len(inside.parts) > 1
    return f"{name}-{inside.parent.name if generic else inside.name}"


def _test_data(root: Path, file: Path) -> Path | None:
    for folder in file.parents:
        if any(s.is_file() or tensor_files(s, "input") for s in find_test_sets(folder)):
            return folder
        if folder == root:
            return None
    return None


def _relative(path: Path, root: Path) -> str:
    inside = path.relative_to(root)
    end = "/" if path.is_dir() and inside.parts else ""
    return f"./{inside if inside.parts else ''}{end}"
