"""From a list of names, links, archives and folders to model folders and rows, all or nothing."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from perf.conversion import model_inputs
from perf.conversion.errors import UserError
from perf.request.programs import command_of
from setup_models import find_models, model_list_rows
from setup_models.fetch import archives, hub, links
from setup_models.fetch.download import DownloadSpec, fetch, show_progress
from setup_models.fetch.lock import Pin, add, match

SEED = 20_240_601
OLD_ZOO = re.compile(r"https://(?:media\.)?github(?:usercontent)?\.com/(?:media/)?onnx/models/")


@dataclass(frozen=True)
class SetupContext:
    """Where things come to, and what is allowed on the way."""

    models: Path
    list_path: Path
    downloads: Path
    keep_downloads: bool = False
    update_lock: bool = False
    make_test_data: bool = False


@dataclass(frozen=True)
class ModelSource:
    """One thing to set up: an archive or an unpacked folder, here or still to be fetched."""

    name: str
    here: Path | None = None
    pin: Pin | None = None


def set_up(what: Sequence[str], shop: SetupContext, pins: Mapping[str, Pin]) -> list[str]:
    """Set up everything that `what` means; the model names.

    Everything is fetched, unpacked and looked through before the first folder comes into
    `models`. Raises UserError and leaves `models` as it was; what was fetched so far, whole or
    in part, then stays in `shop.downloads` for the next run to go on from.
    """
    parcels = [parcel for each in what for parcel in resolve_sources(each, Path.cwd(), shop, pins)]
    _require_distinct(parcels)
    with model_list_rows.workshop(shop.models) as scratch:
        taken = [
            model_list_rows.Addition(parcel.name, _staged(parcel, scratch), ())
            for parcel in parcels
        ]
        model_list_rows.require_new(
            shop.models, taken, shop.list_path
        )  # before the long way, not after
        here = [_fetched(parcel, shop) for parcel in parcels]
        additions = [_prepare(parcel, scratch, shop) for parcel in here]
        model_list_rows.put_in_place(shop.models, additions, shop.list_path)
    if shop.update_lock:
        add(shop.models, [parcel.pin for parcel in here if parcel.pin])
    if not shop.keep_downloads:
        for parcel in here:
            if parcel.pin and parcel.here:
                parcel.here.unlink(missing_ok=True)
    return [row["model_name"] for addition in additions for row in addition.rows]


def resolve_sources(
    text: str, base: Path, shop: SetupContext, pins: Mapping[str, Pin]
) -> list[ModelSource]:
    """What one WHAT, or one line of a links.txt in folder `base`, stands for."""
    path = links.local_path(text, base)
    if path is None:
        return [_link(text, pins)]
    if path.is_file() and archives.is_archive(path):
        return [ModelSource(archives.stem(path.name), here=path)]
    if path.is_file() and path.suffix == ".txt":
        lines = links.read_links(path)
        if not lines:
            raise UserError(f"{path}: holds no link; write one a line")
        return [
            parcel for each in lines for parcel in resolve_sources(each, path.parent, shop, pins)
        ]
    if path.is_dir():
        return _folder(path)
    if path.is_file():
        raise UserError(f"{path}: not an archive; for a single model: setup_models.add {path}")
    if "/" in text:
        raise UserError(f"{text}: no such file or folder ({path})")
    if shop.update_lock:
        pins = {pin.name: pin for pin in hub.list_hub_models()}
    named = match(pins, text)
    if not named:
        raise UserError(
            f"{text}: neither a file or folder here nor a name in the lock; see --list, "
            "or add --update-lock to ask the hub"
        )
    return [ModelSource(pin.name, pin=pin) for pin in named]


def _link(text: str, pins: Mapping[str, Pin]) -> ModelSource:
    url, _, fragment = text.partition("#")
    links.require_safe(url)
    file_name = links.file_name(url)
    name = archives.stem(file_name)
    if OLD_ZOO.match(url) and name in pins:  # the old zoo's files are gone; the models are not
        return ModelSource(name, pin=pins[name])
    if not archives.is_archive(Path(file_name)):
        raise UserError(f"{url}: not the link of an archive ({', '.join(archives.SUFFIXES)})")
    digest = fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else None
    if digest is not None and not re.fullmatch("[0-9a-f]{64}", digest):
        raise UserError(f"{text}: sha256 must be 64 lower-case hex digits")
    pin = pins.get(url) or Pin(url, url, None, None)
    if digest:
        pin = dataclasses.replace(pin, sha256=digest)
    return ModelSource(name, pin=pin)


def _folder(path: Path) -> list[ModelSource]:
    packed = sorted(
        each for each in path.iterdir() if each.is_file() and archives.is_archive(each)
    )
    if packed:
        return [ModelSource(archives.stem(each.name), here=each) for each in packed]
    inner = sorted(
        each for each in path.iterdir() if each.is_dir() and not each.name.startswith(".")
    )
    single = any(each.suffix == ".onnx" for each in path.iterdir())
    return [ModelSource(each.name, here=each) for each in ([path] if single else inner)] or [
        ModelSource(path.name, here=path)
    ]


def _require_distinct(parcels: Sequence[ModelSource]) -> None:
    names = [parcel.name for parcel in parcels]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two of them are called {name}; set them up one at a time")


def _staged(parcel: ModelSource, scratch: Path) -> Path | None:
    stays = parcel.here is not None and parcel.here.is_dir()
    return None if stays else scratch / parcel.name


def _prepare(parcel: ModelSource, scratch: Path, shop: SetupContext) -> model_list_rows.Addition:
    staged = _staged(parcel, scratch)
    if staged is None:
        assert parcel.here is not None, "a folder that stays is here"
        root, working_directory = parcel.here, _as_seen_from(parcel.here, shop.list_path)
    else:
        assert parcel.here is not None, "what was fetched is here"
        archives.unpack(parcel.here, staged)
        root, working_directory = staged, _as_seen_from(shop.models / parcel.name, shop.list_path)
    found = [
        _with_test_data(each, staged, shop) for each in find_models.find_models(root, parcel.name)
    ]
    made = tuple(find_models.make_row(each, root, working_directory) for each in found)
    return model_list_rows.Addition(parcel.name, staged, made)


def _fetched(parcel: ModelSource, shop: SetupContext) -> ModelSource:
    """The parcel with its archive here, and its pin with the digest that it has."""
    pin = parcel.pin
    if pin is None:
        return parcel
    url = hub.download_url(pin)
    if pin.sha256 is None and not shop.update_lock:
        raise UserError(f"{url}: no digest is locked for it; add --update-lock to take it")
    target = shop.downloads / links.file_name(url)
    fetched = fetch(DownloadSpec(url, pin.sha256, pin.size_bytes), target, progress=show_progress)
    sure = dataclasses.replace(pin, sha256=fetched.sha256, size_bytes=fetched.size_bytes)
    return ModelSource(parcel.name, here=fetched.path, pin=sure)


def _with_test_data(
    found: find_models.FoundModel, staged: Path | None, shop: SetupContext
) -> find_models.FoundModel:
    if found.test_data is not None:
        return found
    if not shop.make_test_data or staged is None:
        fix = (
            "add --make_test_data" if staged else f"{command_of('setup_models.add')} {found.model}"
        )
        raise UserError(f"{found.name}: comes without test data; to make some: {fix}")
    from setup_models import reference  # imports the engine: only where there is work for it

    folder = found.model.parent
    reference.make_sets(found.model, folder, model_inputs.Overrides(), sets=2, seed=SEED)
    return dataclasses.replace(found, test_data=folder)


def _as_seen_from(folder: Path, list_path: Path) -> str:
    """The folder relative to the list's own, as the harness reads it; absolute if far away."""
    relative = os.path.relpath(folder.resolve(), list_path.parent.resolve())
    if relative.startswith("../.."):
        return str(folder.resolve())
    return f"./{relative}/" if relative != "." else "./"
