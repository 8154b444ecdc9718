"""Model lists, folders and single files read into models, with errors that name the place and the fix."""

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from perf.request import model_forms
from perf.request.input_numbers import as_stored, read_ends, read_number, read_range, read_size
from perf.request.locations import MODEL_LIST, models_folder
from perf.request.model_file import Identity, digest_file, identify_model, lacks_external_data
from perf.request.programs import command_of
from perf.request.tolerances import MOST_ATOL, MOST_RTOL
from perf.schema.cell import Comparison, InputOverride, ModelFile, Precision, Tolerance
from perf.schema.model_form import Format, ModelForm
from perf.schema.untrusted_file import read_whole

REQUIRED = ("model_name", "working_directory", "model_path", "test_data_path")
OPTIONAL: Mapping[str, type] = {
    "model_path_fp16": str,
    "test_data_path_fp16": str,
    "tolerances": dict,
    "comparison": str,
    "inputs": dict,
    "sha256": str,
    "about": str,
    "half": dict,
    "custom_ops": list,
    **model_forms.ROW_KEYS,
}
_KINDS: Mapping[type, str] = {str: "a string", dict: "an object", list: "a list"}
LIST_LIMIT = 64 << 20  # bytes


class ModelListError(Exception):
    """A model source cannot be read; one line that says what, where and what to do."""


@dataclass(frozen=True)
class ListedModel:
    """A model by name, before its files are read: `load` digests them."""

    name: str
    path: Path  # "." of a row that could not be read
    load: Callable[[], ModelFile]


def list_all(
    sources: Sequence[Path], read_at: Callable[[Path], Path] = lambda path: path
) -> tuple[ListedModel, ...]:
    """Models of several sources in their order, none of them read yet; raises ModelListError.

    `read_at` says where a path of a list lies on this host.
    """
    return _unique([m for source in sources for m in list_models(source, read_at)], sources[-1])


class _ValueOfRowError(ModelListError):
    """A value of a row that says something, and something that cannot be used."""


def load_models(source: Path) -> tuple[ModelFile, ...]:
    """Models of a JSON list, a directory in seed 004's layout, or one model; raises ModelListError."""
    return tuple(m.load() for m in list_models(source))


def list_models(
    source: Path, read_at: Callable[[Path], Path] = lambda path: path
) -> tuple[ListedModel, ...]:
    """The same by name, none of them read yet; `read_at` says where a path of the list lies here.

    One model is an .onnx file, a form of model_forms, or an entry point `module:function`.
    """
    if model_forms.is_form(str(source)):
        return (_single_form(str(source)),)
    if source.is_dir():
        found = tuple(_of_folder(source, {}, read_at))
        if not found:
            raise ModelListError(
                f"{source}: no model below it (expected NAME/model.onnx with NAME/test_data_set_0/ beside it)"
            )
        return _unique(found, source)
    if not source.exists():
        raise ModelListError(
            f"{source}: no such model list, folder or .onnx file; "
            f"`{command_of('setup_models.offline')}` makes the offline set, which runs where -m is left out"
        )
    if is_model_file(source):
        return (_single(source),)
    listed = tuple(_of_list(source, read_at))
    if not listed:
        raise ModelListError(f"{source}: no model in it")
    return _without_doubles(listed, source)


def is_model_file(path: Path) -> bool:
    """Whether a name is that of a model: of an ONNX file, or of one in ONNX Runtime's own format."""
    return path.suffix.lower() == ".onnx" or is_ort_format(path)


def is_ort_format(path: Path) -> bool:
    """Whether a file is in ONNX Runtime's own format, as that tells it: by its name."""
    return path.suffix.lower() == ".ort"


def model_files(paths: Iterable[Path]) -> list[Path]:
    """The models among them; what was converted to .ort beside its .onnx is none of its own."""
    found = sorted(p for p in paths if is_model_file(p) and not p.name.startswith("."))
    return [p for p in found if not is_ort_format(p)] or found


def find_sources(model_source: Sequence[str], workspace: str) -> tuple[Path, ...]:
    """-m as given, else below -w, where the predecessor looked; the built-in list where there is none."""
    found = []
    for given in map(Path, model_source):
        below = Path(workspace) / given
        found.append(given if given.exists() or not below.exists() else below)
    if found == [Path(MODEL_LIST.name)] and not found[0].exists():
        return (MODEL_LIST,)
    return tuple(found)


def find_test_sets(folder: Path) -> tuple[Path, ...]:
    """The test_data* folders of a model, sorted by their number; without any, its test_data*.npz files."""
    if not folder.is_dir():
        return ()
    named = [p for p in folder.iterdir() if p.name.startswith("test_data")]
    found = [p for p in named if p.is_dir()]
    found = found or [p for p in named if p.suffix == ".npz" and p.is_file()]
    return tuple(sorted(found, key=lambda p: (_number(p.name), p.name)))


def folder_of_list(source: Path) -> Path:
    """What a list's paths are relative to: its own folder; for the built-in list, that of models/."""
    return models_folder().parent if source == MODEL_LIST else source.resolve().parent


def _of_list(source: Path, read_at: Callable[[Path], Path]) -> Iterator[ListedModel]:
    try:
        text = read_whole(source, LIST_LIMIT, follow=True).decode("utf-8-sig")
        entries = json.loads(text, parse_int=_lenient_int)
    except json.JSONDecodeError as e:
        raise ModelListError(f"{source}:{e.lineno}: not JSON: {e.msg}") from e
    except UnicodeDecodeError as e:
        raise ModelListError(f"{source}: not UTF-8 text: {e.reason}") from e
    except RecursionError as e:
        raise ModelListError(f"{source}: nested too deeply") from e
    except OSError as e:
        raise ModelListError(f"{source}: {e.strerror}") from e
    if not isinstance(entries, list):
        raise ModelListError(
            f"{source}: expected a JSON list of models, got {type(entries).__name__}"
        )
    home = folder_of_list(source)
    root = home
    understood, misread = 0, list[ModelListError]()
    for i, entry in enumerate(entries):
        where = f"{source}[{i}]"
        if isinstance(entry, dict) and "root_working_directory" in entry:
            if not isinstance(entry["root_working_directory"], str):
                raise ModelListError(f"{where}: 'root_working_directory' is not a string")
            root = home / entry["root_working_directory"]
            if len(entry) == 1:
                continue
        try:
            model = _of_row(entry, root, where, i, read_at)
            understood += 1
        except ModelListError as e:
            misread.append(e)
            model = _broken(_name_of_row(entry, i), str(e))
        yield model
    if misread and not understood:
        raise misread[0]


def _lenient_int(text: str) -> float:
    """An integer of a row; one of more digits than any number has is infinite, and its field refuses it."""
    return int(text) if len(text) < 400 else math.inf


def _of_row(
    entry: Any, root: Path, where: str, number: int, read_at: Callable[[Path], Path]
) -> ListedModel:
    """The model of a row; one whose values cannot be used is a model with a problem."""
    if not isinstance(entry, dict):
        raise ModelListError(f"{where}: expected an object, got {entry!r:.40}")
    name = _name_of_row(entry, number)
    if name == entry.get("model_name"):
        where += f" ({name})"
    try:
        return _entry(entry, root, where, read_at)
    except _ValueOfRowError as e:
        return _broken(name, str(e))


def _broken(name: str, problem: str) -> ListedModel:
    return ListedModel(name, Path(), lambda: ModelFile(name, "", "", "", problem=problem))


def _misnamed(name: str, path: Path) -> ListedModel:
    shown = name.encode("utf-8", "backslashreplace").decode("utf-8")
    return _broken(shown, f"{str(path)!a}: no UTF-8 name, which engines ask for; rename it")


def _name_of_row(entry: Any, number: int) -> str:
    named = entry.get("model_name") if isinstance(entry, dict) else None
    if not isinstance(named, str) or not named:
        return f"row_{number}"
    return named if _is_name(named) else f"row_{number}"


def _entry(
    entry: Mapping[str, Any], root: Path, where: str, read_at: Callable[[Path], Path]
) -> ListedModel:
    """A row of a list, its words checked; its files are read by `load`."""
    _refuse_unknown(entry, where)
    for key in (k for k in entry if isinstance(entry[k], str)):
        _check_name(entry[key], f"{where}.{key}")
    folder = root / entry["working_directory"]
    forms, unusable = model_forms.read_row(entry, folder)
    onnx = "model_path" in entry
    first = forms[0] if forms else ModelForm(Format.PICKLE, str(folder), "unreadable")
    path = read_at(folder / entry["model_path"]) if onnx else Path(first.path)
    data = entry.get("test_data_path")
    _check_name(str(path), where)
    half = read_at(folder / given) if (given := entry.get("model_path_fp16")) else None
    half_data = entry.get("test_data_path_fp16")
    libraries = [
        read_at(folder / text)
        for text in _words(entry.get("custom_ops", []), f"{where}.custom_ops")
    ]
    model = ModelFile(
        name=entry["model_name"],
        path=str(path),
        sha256="",
        folder=str(path.parent),
        test_data=str(read_at(folder / data)) if data is not None else None,
        path_fp16=str(half) if half else None,
        test_data_fp16=str(read_at(folder / half_data)) if half_data else None,
        inputs={
            k: read_override(v, f"{where}.inputs.{k}") for k, v in entry.get("inputs", {}).items()
        },
        comparison=_comparison(entry.get("comparison", "elementwise"), where),
        tolerances={
            _precision(k, f"{where}.tolerances"): _tolerance(v, f"{where}.tolerances.{k}")
            for k, v in entry.get("tolerances", {}).items()
        },
        half={k: _words(v, f"{where}.half.{k}") for k, v in entry.get("half", {}).items()},
        format=Format.ONNX if onnx else first.format,
        forms=forms,
    )

    def load() -> ModelFile:
        whole = identify_model(path) if onnx else Identity(first.sha256)
        reduced = identify_model(half) if half else Identity("")
        return replace(
            model,
            sha256=whole.sha256,
            sha256_fp16=reduced.sha256,
            custom_ops={str(p.absolute()): digest_file(p) for p in libraries if p.is_file()},
            problem=unusable
            or whole.problem
            or reduced.problem
            or _absent_or_changed((path, half, *libraries), whole.sha256, entry.get("sha256", "")),
        )

    return ListedModel(model.name, path, load)


def _refuse_unknown(entry: Mapping[str, Any], where: str) -> None:
    elsewhere = "torch" in entry or "engine" in entry  # the model is there without an ONNX file
    for key in REQUIRED[:2] if elsewhere and "model_path" not in entry else REQUIRED:
        if not isinstance(entry.get(key), str) or not entry[key]:
            raise ModelListError(f"{where}: {key!r} is missing or not a string")
    known = {*REQUIRED, *OPTIONAL, "root_working_directory"}
    if unknown := sorted(set(entry) - known):
        raise ModelListError(
            f"{where}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}"
        )
    for key, kind in OPTIONAL.items():
        if key in entry and not isinstance(entry[key], kind):
            what = _KINDS[kind]
            raise ModelListError(f"{where}.{key}: expected {what}, got {entry[key]!r:.40}")


def _absent_or_changed(files: Sequence[Path | None], sha256: str, declared: str) -> str:
    for file in filter(None, files):
        if not file.is_file():
            return f"no file {file}; `{command_of('setup_models.check')}` says how to get it"
    if declared and declared.lower() != sha256:
        return (
            f"{files[0]} has sha256 {sha256} (external data included), the list says {declared}; "
            "fetch it again, or correct the list"
        )
    return ""


def _check_name(text: str, where: str) -> None:
    """Raise for what no file system takes as a name and no terminal shows."""
    if not _is_name(text):
        raise _ValueOfRowError(f"{where}: {text!a:.60} holds a NUL or half a character")


def _is_name(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def _words(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise ModelListError(f"{where}: expected a list of strings, got {value!r:.40}")
    return tuple(value)


def _precision(name: str, where: str) -> str:
    known = [p.value for p in Precision]
    if name not in known:
        raise ModelListError(f"{where}: {name!r} is none of {', '.join(known)}")
    return name


def read_override(value: Any, where: str) -> InputOverride:
    """What a list says of one input; raises ModelListError with the place and an example."""
    known = ("shape", "range", "value", "type")
    if isinstance(value, dict) and (unknown := sorted(set(value) - set(known))):
        raise ModelListError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(known)}")
    try:
        shape, bounds, fixed, kind = (value.get(k) for k in known)
        return InputOverride(
            shape=None if shape is None else tuple(read_size(d) for d in shape),
            range=None if bounds is None else read_range(*read_ends(bounds)),
            value=fixed
            if fixed is None or isinstance(fixed, str)
            else as_stored(read_number(fixed)),
            type=str(kind or ""),
        )
    except (AttributeError, TypeError, ValueError, OverflowError) as e:
        raise ModelListError(f'{where}: expected {{"shape": [1, 3], "range": [0, 1]}}: {e}') from e


def _tolerance(value: Any, where: str) -> Tolerance:
    try:
        found = Tolerance(
            float(value["rtol"]), float(value["atol"]), float(value.get("percent_mismatch", 0.0))
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as e:
        raise ModelListError(f'{where}: expected {{"rtol": 1e-3, "atol": 1e-5}}: {e!r}') from e
    for field, limit in (("rtol", MOST_RTOL), ("atol", MOST_ATOL), ("percent_mismatch", 100.0)):
        number = getattr(found, field)
        if not 0 <= number < limit:
            raise _ValueOfRowError(
                f"{where}.{field}: {number:g} would let anything pass; it must lie in 0…{limit:g}"
            )
    return found


def _comparison(value: str, where: str) -> Comparison:
    try:
        return Comparison(value)
    except ValueError as e:
        known = ", ".join(c.value for c in Comparison)
        raise ModelListError(f"{where}: comparison {value!r} is none of {known}") from e


def _of_folder(
    folder: Path, rows: Mapping[Path, ListedModel], read_at: Callable[[Path], Path]
) -> Iterator[ListedModel]:
    """A folder with a test_data* child is a model; so is one in ONNX's backend-test layout.

    `rows` are those of the model lists above, by the model's path: what they say of a model found holds.
    """
    if (folder / "run.json").is_file():
        return  # a run's own folder below the models: its prepared inputs are no models
    if (listed := folder / MODEL_LIST.name).is_file():
        rows = {**rows, **{_key_of_row(m): m for m in _of_list(listed, read_at)}}
    if find_test_sets(folder):
        model = _in_folder(folder)
        yield rows.get(_key_of_row(model)) or rows.get(Path(model.name), model)
        return
    try:
        children = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    except PermissionError as e:
        raise ModelListError(f"{folder}: {e.strerror}") from e
    for child in children:
        yield from _of_folder(child, rows, read_at)


def _key_of_row(model: ListedModel) -> Path:
    """The model's file; of a row that could not be read, which has none, its name."""
    return model.path.resolve() if model.path.name else Path(model.name)


def _in_folder(folder: Path) -> ListedModel:
    found = model_files(folder.iterdir()) or model_files(folder.glob("*/*"))
    if len(found) != 1:
        what = "no .onnx file" if not found else f"{len(found)} .onnx files ({found[0].name}, …)"
        raise ModelListError(
            f"{folder}: {what} beside its test data; a model folder holds exactly one"
        )
    return _listed(folder.name, found[0].absolute(), folder.absolute())


def _single(path: Path) -> ListedModel:
    """One .onnx or .ort; test data beside it is used where it is there.

    The path is used as it is given, since a hub's cache keeps models as links that lie beside links to their
    external data; where they do not, it is followed until they do.
    """
    whole = path.absolute()
    while whole.is_symlink() and lacks_external_data(whole):  # one that exists leads to an end
        whole = whole.parent / whole.readlink()
    data = whole.parent if find_test_sets(whole.parent) else None
    return _listed(_name_of_file(path), whole, data)


def _listed(name: str, path: Path, test_data: Path | None) -> ListedModel:
    if not _is_name(str(path)):
        return _misnamed(name, path)

    def load() -> ModelFile:
        is_it = identify_model(path)
        return ModelFile(
            name, str(path), is_it.sha256, str(path.parent), str(test_data) if test_data else None,
            problem=is_it.problem,
        )  # fmt: skip

    return ListedModel(name, path, load)


def _name_of_file(path: Path) -> str:
    """The file's own name; of a model.onnx its folder's, or in a Hugging Face cache its repository's."""
    if path.stem.lower() != "model":
        return path.stem
    folder = path.absolute().parent
    for above in folder.parents:
        if above.name == "snapshots" and above.parent.name.startswith("models--"):
            return above.parent.name.rpartition("--")[2]
    return folder.resolve().name


def _single_form(text: str) -> ListedModel:
    """One model that is no ONNX file; test data beside it are used where they are there."""
    try:
        form = model_forms.read_form(text, Path())
    except model_forms.ModelFormError as e:
        raise ModelListError(str(e)) from e
    folder = Path(form.path).parent
    model = ModelFile(
        model_forms.model_name(text), form.path, form.sha256, str(folder),
        str(folder) if find_test_sets(folder) else None, format=form.format, forms=(form,),
    )  # fmt: skip
    return ListedModel(model.name, folder, lambda: model)


def _unique(models: Sequence[ListedModel], source: Path) -> tuple[ListedModel, ...]:
    """Equal names are told apart by their parent folder; equal names in a list are an error."""
    twice = {name for name, times in Counter(m.name for m in models).items() if times > 1}
    if not twice:
        return tuple(models)
    if source.is_dir():
        longer = [_with_parent(m) if m.name in twice else m for m in models]
        if len({m.name for m in longer}) == len(longer):
            return tuple(longer)
    raise ModelListError(f"{source}: two models are named {min(twice)!r}; names must differ")


def _without_doubles(rows: Sequence[ListedModel], source: Path) -> tuple[ListedModel, ...]:
    """Rows that share a name as models that cannot be run, each under a name of its own: others go on."""
    times = Counter(m.name for m in rows)
    taken, out = set(times), list[ListedModel]()
    for number, model in enumerate(rows):
        if times[model.name] == 1:
            out.append(model)
            continue
        twice = f"{source}: {times[model.name]} rows are named {model.name!r}; names must differ"
        first = all(m.name != model.name for m in rows[:number])
        names = (f"{model.name}_row_{number}{'_' * i}" for i in range(len(rows)))
        name = model.name if first else next(n for n in names if n not in taken)
        taken.add(name)
        out.append(_broken(name, twice))
    return tuple(out)


def _with_parent(model: ListedModel) -> ListedModel:
    name = f"{model.name}_{model.path.parent.parent.name}"
    return ListedModel(name, model.path, lambda: replace(model.load(), name=name))


def _number(name: str) -> int:
    found = re.search(r"\d+", name)
    return int(found[0]) if found else -1
