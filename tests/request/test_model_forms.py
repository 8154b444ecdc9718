"""What a file or an entry point is, told by what is in it, and what makes it another one."""

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest

from perf.request import model_forms
from perf.request import model_list as model_files
from perf.request.model_forms import ModelFormError, read_form
from perf.request.model_list import ModelListError
from perf.schema.model_form import Format
from tests import models

TORCHSCRIPT = ("data.pkl", "constants.pkl", "code/__torch__.py", "data/0", "version")
EXPORTED = ("models/model.json", "data/weights/weight_0", "archive_format", "byteorder")
SAVED = ("data.pkl", "byteorder", "data/0", "version")


def archive(path: Path, names: tuple[str, ...]) -> Path:
    """A zip as PyTorch lays them out: every name below one folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as f:
        for name in names:
            f.writestr(f"{path.stem}/{name}", name)
    return path


class Explodes:
    """Whoever unpickles it is told so."""

    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit('unpickled')",))


def test_a_row_may_call_a_file_of_any_name_an_engine_unless_it_is_another_form(
    tmp_path: Path,
) -> None:
    (tmp_path / "net.bin").write_bytes(b"ftrt")
    (tmp_path / "net.pkl").write_bytes(pickle.dumps(1))
    (form,), problem = model_forms.read_row({"engine": "net.bin"}, tmp_path)
    assert (form.format, problem) == (Format.ENGINE, "")
    assert model_forms.read_row({"engine": "net.pkl"}, tmp_path)[1].endswith("which is pickle")
    assert "none of TorchScript" in model_forms.read_row({"torch": "net.bin"}, tmp_path)[1]


@pytest.mark.parametrize(
    ("name", "names", "format_"),
    [
        ("vgg.jit.pt", TORCHSCRIPT, Format.TORCHSCRIPT),
        ("model.ts", TORCHSCRIPT, Format.TORCHSCRIPT),
        ("model.pt", TORCHSCRIPT, Format.TORCHSCRIPT),
        ("model.pt2", EXPORTED, Format.EXPORTED),
        ("misnamed.pt", EXPORTED, Format.EXPORTED),
        ("whole.pt", SAVED, Format.PICKLE),
        ("whole.jit.pt", SAVED, Format.PICKLE),
        ("sly.pt2", (*EXPORTED, "data/constants/opaque_obj_0"), Format.PICKLE),
    ],
)
def test_an_archive_is_what_it_holds_whatever_its_name(
    tmp_path: Path, name: str, names: tuple[str, ...], format_: Format
) -> None:
    archive(tmp_path / name, names)
    assert read_form(name, tmp_path).format is format_


def test_a_file_of_torchs_old_format_is_a_pickle_and_is_not_opened_as_one(tmp_path: Path) -> None:
    (tmp_path / "old.pt").write_bytes(pickle.dumps(Explodes()))
    assert read_form("old.pt", tmp_path).format is Format.PICKLE


def test_an_archive_whose_pickle_explodes_is_told_and_not_opened(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "sly.pt", "w") as f:
        f.writestr("sly/data.pkl", pickle.dumps(Explodes()))
    assert read_form("sly.pt", tmp_path).format is Format.PICKLE


def test_an_engine_is_told_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "m.plan").write_bytes(b"\x80engine")
    assert read_form("m.plan", tmp_path).format is Format.ENGINE


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no file"),
        (b"", "none of TorchScript"),
        (b"not a model", "none of TorchScript"),
        (("data/aotinductor/model/a.so",), "AOTInductor.*exported program or entry point"),
        (("readme.txt",), "archive of no kind that"),
    ],
)
def test_what_is_no_model_is_refused_in_one_line(tmp_path: Path, content: Any, says: str) -> None:
    if isinstance(content, tuple):
        archive(tmp_path / "m.pt", content)
    elif content is not None:
        (tmp_path / "m.pt").write_bytes(content)
    with pytest.raises(ModelFormError, match=says) as refused:
        read_form("m.pt", tmp_path)
    assert "\n" not in str(refused.value)
    with pytest.raises(ModelListError, match=says):
        model_files.load_models(tmp_path / "m.pt")


# --- entry points


def source(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """nets.small:net, which imports a sibling, which imports its package; and a module nobody imports."""
    source(tmp_path / "nets/__init__.py", "")
    source(tmp_path / "nets/small.py", "import torch\nfrom . import parts\ndef net(): ...\n")
    source(tmp_path / "nets/parts.py", "from nets.blocks.conv import Block\n")
    source(tmp_path / "nets/blocks/__init__.py", "WIDTH = 8\n")
    source(tmp_path / "nets/blocks/conv.py", "class Block: ...\n")
    source(tmp_path / "nets/other.py", "raise SystemExit('imported')\n")
    return tmp_path


def digest(base: Path, text: str = "nets.small:net", **more: Any) -> str:
    return read_form(text, base, **more).sha256


@pytest.mark.parametrize(
    "file", ["nets/small.py", "nets/parts.py", "nets/blocks/__init__.py", "nets/blocks/conv.py"]
)
def test_an_entry_point_is_another_one_when_what_it_imports_changes(
    package: Path, file: str
) -> None:
    before = digest(package)
    with (package / file).open("a") as f:
        f.write("# changed\n")
    assert digest(package) != before


def test_it_is_the_same_wherever_it_lies_and_whatever_it_does_not_import(
    package: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = digest(package)
    source(package / "nets/other.py", "changed = 1\n")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (package / "nets").rename(elsewhere / "nets")
    assert digest(elsewhere) == before


def test_two_functions_of_a_module_are_two_models(package: Path) -> None:
    assert digest(package) != digest(package, "nets.small:other")


def test_weights_that_its_row_names_are_part_of_it(package: Path) -> None:
    (package / "w.bin").write_bytes(b"1")
    before = digest(package, weights=[package / "w.bin"])
    (package / "w.bin").write_bytes(b"2")
    assert digest(package) != before != digest(package, weights=[package / "w.bin"])
    with pytest.raises(ModelFormError, match=r"no file of weights .*gone\.bin"):
        digest(package, weights=[package / "gone.bin"])


def test_a_file_by_its_path_is_imported_from_its_own_folder(package: Path) -> None:
    form = read_form("nets/small.py:net", package)
    assert (form.entry, form.folder) == ("small:net", str(package / "nets"))
    assert form.path == str(package / "nets/small.py")


def test_a_module_that_is_not_there_is_named_with_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ModelFormError, match=r"no module 'gone\.away' in .* or "):
        read_form("gone.away:net", tmp_path)


def test_a_module_that_imports_itself_or_cannot_be_parsed_ends(tmp_path: Path) -> None:
    source(tmp_path / "ring.py", "import ring\nimport broken\n")
    source(tmp_path / "broken.py", "def (:\n")
    assert digest(tmp_path, "ring:net") != digest(tmp_path, "broken:net")


# --- rows of model lists


def listed(folder: Path, **row: Any) -> Path:
    path = folder / "list.json"
    path.write_text(json.dumps([{"model_name": "m", "working_directory": ".", **row}]))
    return path


def test_a_row_may_hold_the_same_weights_in_two_forms(tmp_path: Path) -> None:
    models.relu(tmp_path / "relu")
    archive(tmp_path / "m.ts", TORCHSCRIPT)
    path = listed(tmp_path, model_path="relu/model.onnx", test_data_path="relu", torch="m.ts")
    (model,) = model_files.load_models(path)
    assert model.format is Format.ONNX
    assert model.path.endswith("relu/model.onnx")
    assert [f.format for f in model.forms] == [Format.TORCHSCRIPT]
    assert model.eager_form is model.forms[0]


def test_a_row_without_an_onnx_file_needs_no_test_data(package: Path) -> None:
    (model,) = model_files.load_models(
        listed(package, torch="nets.small:net", inputs={"x": {"shape": [1], "type": "int64"}})
    )
    assert model.format is Format.ENTRY_POINT
    assert model.sha256 == model.forms[0].sha256
    assert model.test_data is None
    assert model.inputs["x"].type == "int64"
    assert not model.problem


def test_a_row_with_an_engine_alone_has_nothing_to_be_held_to(tmp_path: Path) -> None:
    (tmp_path / "m.plan").write_bytes(b"engine")
    (model,) = model_files.load_models(listed(tmp_path, engine="m.plan"))
    assert model.format is Format.ENGINE
    assert model.eager_form is None


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"torch": "gone.pt"}, "no file"),
        ({"torch": "m.plan"}, "'torch' names m.plan, which is engine"),
        ({"engine": "m.ts"}, "'engine' names m.ts, which is torchscript"),
        ({"torch": "gone:net"}, "no module 'gone'"),
    ],
)
def test_a_form_that_cannot_be_used_is_the_rows_problem_alone(
    tmp_path: Path, row: dict[str, str], says: str
) -> None:
    archive(tmp_path / "m.ts", TORCHSCRIPT)
    (tmp_path / "m.plan").write_bytes(b"engine")
    (model,) = model_files.load_models(listed(tmp_path, **row))
    assert says in model.problem


@pytest.mark.parametrize(
    "row", [{}, {"weights": []}, {"torch": 1}, {"weights": "w", "torch": "a:b"}]
)
def test_a_row_that_names_no_model_is_an_error(tmp_path: Path, row: dict[str, Any]) -> None:
    with pytest.raises(ModelListError):
        model_files.load_models(listed(tmp_path, **row))


@pytest.mark.parametrize(
    ("text", "name"),
    [("a/vgg16.jit.pt", "vgg16"), ("m.pt2", "m"), ("nets.small:net", "net"), ("x.py:f", "f")],
)
def test_a_single_model_is_called_after_its_file_or_function(text: str, name: str) -> None:
    assert model_forms.is_form(text)
    assert model_forms.model_name(text) == name


@pytest.mark.parametrize("text", ["model_list.json", "models", "m.onnx", "c:/models", "a:b:c"])
def test_what_is_no_form_is_read_as_before(text: str) -> None:
    assert not model_forms.is_form(text)
