"""Names, links, archives and folders made ready by one command, as the predecessor's users call it."""

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from perf.conversion.errors import run_command
from perf.request.model_list import find_test_sets, load_models
from setup_models import setup_onnx_zoo
from setup_models.fetch import zoo
from tests.inprocess.asking import put
from tests.setup_models.conftest import COMMIT, REPOSITORY, Server
from tests.setup_models.tiny import model_folder, tree

SCRIPT = Path(__file__).parents[2] / "setup_models" / "setup_onnx_zoo.py"
MNIST = "validated/vision/classification/mnist/model/mnist-8.tar.gz"


def packed(folder: Path) -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as tar:
        tar.add(folder, folder.name)
    return body.getvalue()


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    return packed(model_folder(tmp_path / "made" / "mnist"))


def run(folder: Path, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in this process, in `folder`, with a cache of its own."""
    out, err, arguments = io.StringIO(), io.StringIO(), list(map(str, words))
    own = {"XDG_CACHE_HOME": str(folder / "cache")} | environment
    with (
        contextlib.chdir(folder),
        mock.patch.dict(os.environ, own),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        status = run_command(setup_onnx_zoo.main, arguments)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


def run_by_path(
    start: list[object], folder: Path, **more: str
) -> subprocess.CompletedProcess[str]:
    """The script by its path, as its users call it."""
    own = os.environ | {"XDG_CACHE_HOME": str(folder / "cache"), "PYTHON": sys.executable} | more
    command = list(map(str, start))
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, env=own
    )


def names(folder: Path) -> list[str]:
    return sorted(model.name for model in load_models(folder / "models" / "model_list.json"))


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_links_txt_of_the_predecessor(server: Server, archive: bytes, tmp_path: Path) -> None:
    digest = hashlib.sha256(archive).hexdigest()
    for name in ("b.tar.gz", "c.tar.gz"):
        (tmp_path / name).write_bytes(archive)
    url = server.put("/zoo/a.tar.gz", archive, drops=[100])
    links = f"# my models\n{url}#sha256={digest}\n\nfile://{tmp_path}/b.tar.gz\nc.tar.gz\n"
    (tmp_path / "links.txt").write_text(links)
    done = run_by_path([sys.executable, SCRIPT], tmp_path)
    assert done.returncode == 0, done.stderr
    assert names(tmp_path) == ["a", "b", "c"]
    (model, *_) = load_models(tmp_path / "models" / "model_list.json")
    assert find_test_sets(Path(str(model.test_data)))
    assert list((tmp_path / "cache").rglob("*.tar.gz")) == []


def test_a_link_needs_a_digest(server: Server, archive: bytes, tmp_path: Path) -> None:
    url = server.put("/a.tar.gz", archive)
    assert "no digest is locked for it; add --update-lock" in one_line(run(tmp_path, url))
    assert not (tmp_path / "models").exists()
    assert run(tmp_path, url, "--update-lock").returncode == 0
    assert zoo.load_pins(tmp_path / "models")[url].sha256 == hashlib.sha256(archive).hexdigest()
    other = tmp_path / "other"
    (other / "models").mkdir(parents=True)
    (tmp_path / "models" / zoo.FILE_NAME).rename(other / "models" / zoo.FILE_NAME)
    server.put("/a.tar.gz", archive + b"\n")
    assert "nothing was kept" in one_line(run(other, url))
    assert [path.name for path in (other / "models").iterdir()] == [zoo.FILE_NAME]


def test_a_name_needs_the_locked_digest(server: Server, archive: bytes, tmp_path: Path) -> None:
    """The shipped digest is the real mnist-8's: another archive under its name needs --update-lock."""
    server.put_zoo({MNIST: archive})
    refusal = one_line(run(tmp_path, "mnist-8", HF_ENDPOINT=server.base))
    assert "bytes came, 26751 were expected; nothing was kept" in refusal
    assert (f"/{REPOSITORY}/resolve/main/{MNIST}", None) in server.requests
    assert not (tmp_path / "models").exists()
    done = run(tmp_path, "mnist-*", "--update-lock", HF_ENDPOINT=server.base)
    assert done.returncode == 0, done.stderr
    pin = zoo.load_pins(tmp_path / "models")["mnist-8"]
    digest = hashlib.sha256(archive).hexdigest()
    assert (pin.revision, pin.sha256, pin.opset) == (COMMIT, digest, 8)
    (tmp_path / "again").mkdir()
    (tmp_path / "models" / zoo.FILE_NAME).rename(tmp_path / "again" / zoo.FILE_NAME)
    again = run(tmp_path, "mnist-8", "--models", "again", HF_ENDPOINT=server.base)
    assert again.stdout.startswith("mnist-8: ready\n")
    assert server.requests[-1][0] == f"/{REPOSITORY}/resolve/{COMMIT}/{MNIST}"


def test_the_list_shows_names_sizes_and_opsets(tmp_path: Path) -> None:
    done = run(tmp_path, "--list", "mnist-*", "bertsquad-10")
    assert done.returncode == 0
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines == [
        ["model", "MiB", "opset", "digest"],
        ["mnist-8", "0.0", "8", "locked"],
        ["bertsquad-10", "384.7", "10", "locked"],
    ]
    assert "no zoo model is called nothing" in one_line(run(tmp_path, "--list", "nothing"))


def test_a_link_of_the_old_zoo_leads_to_the_hub(server: Server, tmp_path: Path) -> None:
    dead = "https://github.com/onnx/models/raw/master/vision/classification/mnist/model/mnist-8.tar.gz"
    message = one_line(run(tmp_path, dead, HF_ENDPOINT=server.base))
    assert f"{server.base}/{REPOSITORY}/resolve/main/{MNIST}: HTTP 404" in message


def test_folders_of_archives_and_of_models_and_an_archive_of_several(
    archive: bytes, tmp_path: Path
) -> None:
    downloads, nets = tmp_path / "downloads", tmp_path / "made" / "nets"
    downloads.mkdir()
    for name in ("one", "two"):
        (downloads / f"{name}.tar.gz").write_bytes(archive)
        model_folder(tmp_path / "unpacked" / f"{name} unpacked")
    before = tree(tmp_path / "unpacked")
    model_folder(nets / "small", "small.onnx")
    model_folder(nets / "large")
    (nets / "large" / "._model.onnx").write_bytes(b"a macOS leftover")
    (tmp_path / "nets.tgz").write_bytes(packed(nets))
    assert run(tmp_path, downloads, "unpacked", "nets.tgz").returncode == 0
    unpacked = ["nets-large", "nets-small", "one", "one unpacked", "two", "two unpacked"]
    assert names(tmp_path) == unpacked
    assert tree(tmp_path / "unpacked") == before  # listed where they stand
    assert len(list(downloads.iterdir())) == 2
    assert run(tmp_path, "unpacked/one unpacked", "--models", "again").returncode == 0


def test_the_shell_front_is_the_same_command(archive: bytes, tmp_path: Path) -> None:
    front = SCRIPT.with_name("setup_many_models.sh")
    assert run_by_path([front], tmp_path).returncode == 2
    (tmp_path / "a").mkdir()
    for place in (tmp_path, tmp_path / "a"):
        (place / "x.tar.gz").write_bytes(archive)
    refusal = one_line(run_by_path([front, "x.tar.gz", "a/x.tar.gz"], tmp_path))
    assert "two of them are called x" in refusal
    done = run_by_path([front, "x.tar.gz"], tmp_path)
    assert (done.returncode, names(tmp_path)) == (0, ["x"]), done.stderr
    assert "already there; remove it first" in one_line(run(tmp_path, "a/x.tar.gz"))


def test_a_python_without_onnx_is_told_which_one_to_take(tmp_path: Path) -> None:
    # -S: no installed package is found
    done = run_by_path([sys.executable, "-S", SCRIPT, "--list"], tmp_path)
    assert " lacks " in one_line(done)
    assert "./perf.sh --setup" in done.stderr


@pytest.mark.parametrize(
    ("module", "what"),
    [("huggingface_hub", "mnist-8"), ("httpx2", f"https://a.example/a.zip#sha256={'0' * 64}")],
)
def test_without_the_extra_it_is_named(module: str, what: str, tmp_path: Path) -> None:
    code = f"import runpy, sys; sys.modules[{module!r}] = None; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    message = one_line(run_by_path([sys.executable, "-c", code, SCRIPT, what], tmp_path))
    assert f"the {module} package; `./perf.sh --setup=dev` fixes it" in message


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("", "name some models, or write ./links.txt"),
        ("no-such-model", "nor a name in the lock"),
        ("http://models.example/a.tar.gz", "only https:// links"),
        ("ftp://models.example/a.tar.gz", "only https:// links"),
        ("file:///nowhere/a.tar.gz", "no such file or folder (/nowhere/a.tar.gz)"),
        ("file://elsewhere/a.tar.gz", "names a file of this machine"),
        ("https://models.example/a.onnx", "not the link of an archive"),
        ("https://models.example/a.zip#sha256=12", "64 lower-case hex digits"),
        ("empty.txt", "holds no link"),
        ("a.onnx", "not an archive; for a single model: python -m setup_models.add"),
    ],
)
def test_what_cannot_be_set_up_is_one_line(what: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("# none\n")
    (tmp_path / "a.onnx").write_text("")
    assert says in one_line(run(tmp_path, *what.split()))
    assert not (tmp_path / "models").exists()


def test_the_shipped_table_is_whole_and_a_damaged_lock_is_named(tmp_path: Path) -> None:
    shipped = json.loads(zoo.SHIPPED.read_text(encoding="utf-8"))["models"]
    assert len({entry["name"] for entry in shipped}) == len(shipped) == 46
    for entry in shipped:
        assert re.fullmatch("[0-9a-f]{64}", entry["sha256"]), entry["name"]
        assert entry["path"].startswith("validated/")
        assert Path(entry["path"]).name == f"{entry['name']}.tar.gz"
        assert entry["size_bytes"] > 20_000
        assert 1 <= entry["opset"] <= 12
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / zoo.FILE_NAME).write_text("{}")
    message = one_line(run(tmp_path, "--list"))
    assert f"models/{zoo.FILE_NAME}: not a readable lock file" in message


def broken(kind: str, folder: Path) -> bytes:
    """An archive of something that cannot be set up."""
    whole = model_folder(folder)
    model = whole / "model.onnx"
    match kind:
        case "no model":
            model.unlink()
        case "no test data":
            for file in (whole / "test_data_set_0").iterdir():
                file.unlink()
        case "damaged model":
            model.write_bytes(b"\xff\xff")
        case "shared data":
            (whole / "other.onnx").write_bytes(model.read_bytes())
        case "same names":
            model.unlink()
            model_folder(whole / "a" / "net", "net.onnx")
            model_folder(whole / "b" / "net", "net.onnx")
    return packed(whole)[: 300 if kind == "truncated" else None]


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("truncated", "truncated or damaged"),
        ("no model", "no .onnx file in it"),
        ("no test data", "comes without test data; to make some: add --make_test_data"),
        ("damaged model", "truncated, or not an ONNX model"),
        ("shared data", "share one set of test data"),
        ("same names", "two models would be called x-net"),
    ],
)
def test_one_bad_thing_leaves_the_folder_as_it_was(kind: str, says: str, tmp_path: Path) -> None:
    for name in ("good.tar.gz", "also.tar.gz"):
        (tmp_path / name).write_bytes(packed(model_folder(tmp_path / "made" / "mnist")))
    assert run(tmp_path, "good.tar.gz").returncode == 0
    before = tree(tmp_path / "models")
    (tmp_path / "x.tar.gz").write_bytes(broken(kind, tmp_path / "made" / "x"))
    assert says in one_line(run(tmp_path, "also.tar.gz", "x.tar.gz"))
    assert tree(tmp_path / "models") == before


def test_test_data_is_made_where_asked_for(tmp_path: Path) -> None:
    (tmp_path / "x.tar.gz").write_bytes(broken("no test data", tmp_path / "made" / "x"))
    done = run(tmp_path, "x.tar.gz", "--make_test_data")
    assert done.returncode == 0, done.stderr
    (model,) = load_models(tmp_path / "models" / "model_list.json")
    assert len(find_test_sets(Path(str(model.test_data)))) == 2


def test_stored_data_that_cannot_be_fed_are_told_and_not_called_ready(tmp_path: Path) -> None:
    for name in ("good", "wide"):
        model_folder(tmp_path / "zoo" / name)
    put(tmp_path / "zoo" / "wide", 0, "input_0", np.ones((1, 8)), "x")
    done = run(tmp_path, "zoo")
    assert done.returncode == 0, done.stderr
    good, wide, *_ = done.stdout.splitlines()
    assert good == "good: ready"
    assert wide.startswith("wide: ")
    assert "'x' is float32 in the model, float64 in the test data" in wide


def test_models_in_capitals_ort_and_npz_data_are_found(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "zoo" / "loud", "Model.ONNX")
    shutil.rmtree(folder / "test_data_set_0")
    np.savez(folder / "test_data_0.npz", inputs=np.ones((1, 1, 8), np.float32))
    (folder / "Model.ort").write_bytes(b"made of it, no model of its own")
    done = run(tmp_path, "zoo")
    assert done.stdout.splitlines()[0] == "loud: ready"
    assert names(tmp_path) == ["loud"]
