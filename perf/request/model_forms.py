"""A model's other forms than ONNX, told by their content without loading any, and digested."""

import ast
import hashlib
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from perf.request.locations import CODE
from perf.request.model_file import digest_file
from perf.schema.model_form import EAGER, Format, ModelForm
from perf.schema.untrusted_file import read_whole

TORCH_SUFFIXES = (".pt", ".pth", ".ts", ".pt2")
ENGINE_SUFFIXES = (".plan", ".engine", ".trt")
ROW_KEYS: Mapping[str, type] = {"torch": str, "engine": str, "weights": list}
_ENTRY = re.compile(r"([\w./-]+\.py|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)")
_LARGEST_SOURCE = 1 << 20


class ModelFormError(Exception):
    """A file or an entry point is no form that a target could load; one line that says what to do."""


def is_form(text: str) -> bool:
    """Whether a model source names one model in another form than ONNX."""
    suffixes = (*TORCH_SUFFIXES, *ENGINE_SUFFIXES)
    return bool(_ENTRY.fullmatch(text)) or text.lower().endswith(suffixes)


def model_name(text: str) -> str:
    """What a model is called where its list does not say: the function, or the file without its endings."""
    if entry := _ENTRY.fullmatch(text):
        return entry[2]
    name = Path(text).stem
    return name[: -len(".jit")] if name.lower().endswith(".jit") else name


def read_form(
    text: str, base: Path, weights: Iterable[Path] = (), *, engine: bool = False
) -> ModelForm:
    """The form that a path or `module:function` names, seen from `base`; raises ModelFormError.

    With `engine` a file of any name is one, unless its content is another form's.

    An entry point's digest is that of its module, of the modules beside it that it imports, by name, and of
    the files of weights that its row names; what it reads otherwise, nobody can know before it has run.
    """
    if entry := _ENTRY.fullmatch(text):
        return _entry_point(text, entry[1], entry[2], base, weights)
    path = base / text
    if not path.is_file():
        raise ModelFormError(f"no file {path}")
    alone = engine and path.suffix.lower() != ".onnx" and not _archived_names(path)
    format_ = Format.ENGINE if alone and not _is_pickle(path) else _format_of(path)
    return ModelForm(format_, str(path.resolve()), _digest(path))


def read_row(row: Mapping[str, Any], folder: Path) -> tuple[tuple[ModelForm, ...], str]:
    """The forms that a model list's row names, and why one of them cannot be used; "" for nothing."""
    weights = [folder / str(w) for w in row.get("weights", ())]
    forms = []
    try:
        for key in ("torch", "engine"):
            if key not in row:
                continue
            form = read_form(row[key], folder, weights, engine=key == "engine")
            wanted = EAGER if key == "torch" else (Format.ENGINE,)
            if form.format not in wanted:
                raise ModelFormError(f"{key!r} names {row[key]}, which is {form.format.value}")
            forms.append(form)
    except ModelFormError as e:
        return (), str(e)
    return tuple(forms), ""


def _format_of(path: Path) -> Format:
    """What a file is: an engine by its name, the rest by what their archives hold; nothing is unpickled."""
    suffix = path.suffix.lower()
    if suffix in ENGINE_SUFFIXES:
        return Format.ENGINE
    if suffix == ".onnx":
        return Format.ONNX
    names = _archived_names(path)
    if not names:
        return _of_plain_file(path)
    if any(n.startswith("code/") for n in names) and "constants.pkl" in names:
        return Format.TORCHSCRIPT
    if any(n.startswith("data/aotinductor/") for n in names):
        raise ModelFormError(
            f"{path} is a package of AOTInductor, which says nothing of its inputs; name the exported "
            "program or entry point that it was made from, and the target torch_export compiles it"
        )
    if any(n.startswith("models/") for n in names) or "serialized_exported_program.json" in names:
        if any(n.startswith("data/constants/opaque_obj_") for n in names):
            return Format.PICKLE
        return Format.EXPORTED
    if "data.pkl" in names:
        return Format.PICKLE
    raise ModelFormError(
        f"{path} is an archive of no kind that torch.jit, torch.export or torch.save write"
    )


def _of_plain_file(path: Path) -> Format:
    if _is_pickle(path):
        return Format.PICKLE
    raise ModelFormError(
        f"{path} is none of TorchScript, an exported program or a TensorRT engine"
    )


def _is_pickle(path: Path) -> bool:
    """Whether a file begins as a pickle of protocol 2 or later does."""
    with path.open("rb") as f:
        return f.read(1) == b"\x80"


def _archived_names(path: Path) -> frozenset[str]:
    """Names in a zip archive, below its one folder; none for a file that is no archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return frozenset(n.partition("/")[2] for n in archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError):
        return frozenset()
    except OSError as e:
        raise ModelFormError(f"{path}: {e.strerror}") from e


def _entry_point(
    text: str, module: str, function: str, base: Path, weights: Iterable[Path]
) -> ModelForm:
    if module.endswith(".py"):
        file = (base / module).resolve()
        module = file.stem
        homes: tuple[Path, ...] = (file.parent,)
    else:
        homes = (base.resolve(), CODE)
    folder = next((h for h in homes if _module_file(h, module)), homes[0])
    file_found = _module_file(folder, module)
    if file_found is None:
        looked = " or ".join(str(h) for h in homes)
        raise ModelFormError(f"entry point {text}: no module {module!r} in {looked}")
    total = hashlib.sha256(f"{module}:{function}".encode())
    for name, file in sorted(_local_sources(folder, module).items()):
        total.update(f"\0{name}\0{_digest(file)}".encode())
    for file in weights:
        if not file.is_file():
            raise ModelFormError(f"entry point {text}: no file of weights {file}")
        total.update(f"\0{file.name}\0{_digest(file)}".encode())
    return ModelForm(
        Format.ENTRY_POINT, str(file_found), total.hexdigest(), f"{module}:{function}", str(folder)
    )


def _module_file(folder: Path, module: str) -> Path | None:
    base = folder.joinpath(*module.split("."))
    files = (base.parent / f"{base.name}.py", base / "__init__.py")
    return next((f for f in files if f.is_file()), None)


def _local_sources(folder: Path, module: str) -> dict[str, Path]:
    """A module, its packages, and all that they import from the same folder, read and never run."""
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        for one in (name, *_packages_of(name)):
            file = _module_file(folder, one)
            if one in found or file is None:
                continue
            found[one] = file
            waiting += _imported_by(file, one)
    return found


def _packages_of(module: str) -> Iterator[str]:
    while module := module.rpartition(".")[0]:
        yield module


def _imported_by(file: Path, module: str) -> list[str]:
    """The modules that a source file names in its imports; none for one that this Python cannot read."""
    try:
        tree = ast.parse(read_whole(file, _LARGEST_SOURCE, follow=True))
    except (OSError, SyntaxError, ValueError, RecursionError):
        return []
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    out: list[str] = []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                out += [n.name for n in names]
            case ast.ImportFrom(source, names, level):
                base = ".".join(package.split(".")[: len(package.split(".")) - level + 1])
                whole = ".".join(filter(None, (base if level else "", source or "")))
                out += [whole, *(f"{whole}.{n.name}" for n in names)]
            case _:
                pass
    return out


def _digest(path: Path) -> str:
    try:
        return digest_file(path)
    except OSError as e:
        raise ModelFormError(f"{path}: {e.strerror}") from e
