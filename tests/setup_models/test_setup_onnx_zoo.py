import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from perf.request import model_list as model_lists
from setup_models.fetch import lock
from tests.setup_models.hub_server import COMMIT, REPOSITORY, put_zoo
from tests.setup_models.serving import Server
from tests.setup_models.tiny import model_folder, tree
from tests.setup_models.zoo_runs import names, one_line, packed, run

SCRIPT = Path(__file__).parents[2] / "setup_models" / "setup_onnx_zoo.py"
MNIST = "validated/vision/classification/mnist/model/mnist-8.tar.gz"


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    return packed(model_folder(tmp_path / "made" / "mnist"))


def run_by_path(script: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The script by its path, as its users call it."""
    known = os.environ | {"XDG_CACHE_HOME": str(folder / "cache"), "PYTHON": sys.executable}
    start = [str(script)] if script.suffix == ".sh" else [sys.executable, str(script)]
    return subprocess.run(
        [*start, *arguments], capture_output=True, text=True, check=False, cwd=folder, env=known
    )


def test_links_txt_as_the_predecessor_had_it(
    server: Server, archive: bytes, tmp_path: Path
) -> None:
    digest = hashlib.sha256(archive).hexdigest()
    (tmp_path / "b.tar.gz").write_bytes(archive)
    (tmp_path / "c.tar.gz").write_bytes(archive)
    url = server.put("/zoo/a.tar.gz", archive, drops=[100])
    (tmp_path / "links.txt").write_text(
        f"# my models\n{url}#sha256={digest}\n\nfile://{tmp_path}/b.tar.gz\nc.tar.gz\n"
    )
    done = run_by_path(SCRIPT, tmp_path)
    assert done.returncode == 0, done.stderr
    assert names(tmp_path) == ["a", "b", "c"]
    (model, *_) = model_lists.load_models(tmp_path / "models" / "model_list.json")
    assert model_lists.find_test_sets(Path(str(model.test_data)))
    assert list((tmp_path / "cache").rglob("*.tar.gz")) == []


def test_a_link_without_a_digest_needs_update_lock_and_is_then_locked(
    server: Server, archive: bytes, tmp_path: Path
) -> None:
    url = server.put("/a.tar.gz", archive)
    assert "no digest is locked for it; add --update-lock" in one_line(run(tmp_path, url))
    assert not (tmp_path / "models").exists()
    assert run(tmp_path, url, "--update-lock").returncode == 0
    assert lock.load(tmp_path / "models")[url].sha256 == hashlib.sha256(archive).hexdigest()
    other = tmp_path / "other"
    (other / "models").mkdir(parents=True)
    (tmp_path / "models" / lock.FILE_NAME).rename(other / "models" / lock.FILE_NAME)
    server.put("/a.tar.gz", archive + b"\n")
    assert "nothing was kept" in one_line(run(other, url))
    assert [path.name for path in (other / "models").iterdir()] == [lock.FILE_NAME]


def test_a_name_comes_from_the_hub_only_with_the_locked_digest(
    server: Server, archive: bytes, tmp_path: Path
) -> None:
    """The shipped digest is the real mnist-8's: another archive under its name is refused."""
    put_zoo(server, {MNIST: archive})
    done = run(tmp_path, "mnist-8", HF_ENDPOINT=server.base)
    assert re.search("bytes came, 26751 were expected; nothing was kept", one_line(done))
    assert (f"/{REPOSITORY}/resolve/main/{MNIST}", None) in server.requests
    assert not (tmp_path / "models").exists()


def test_update_lock_pins_revision_and_digest_of_what_the_hub_has(
    server: Server, archive: bytes, tmp_path: Path
) -> None:
    put_zoo(server, {MNIST: archive})
    done = run(tmp_path, "mnist-*", "--update-lock", HF_ENDPOINT=server.base)
    try:
        import huggingface_hub
    except ImportError:
        assert "perf.sh --setup=dev" in one_line(done)
        return
    assert huggingface_hub.__version__
    assert done.returncode == 0, done.stderr
    assert names(tmp_path) == ["mnist-8"]
    pin = lock.load(tmp_path / "models")["mnist-8"]
    assert pin.revision == COMMIT
    assert pin.sha256 == hashlib.sha256(archive).hexdigest()
    assert pin.opset == 8
    again = tmp_path / "again"
    (again / "models").mkdir(parents=True)
    (tmp_path / "models" / lock.FILE_NAME).rename(again / "models" / lock.FILE_NAME)
    assert run(again, "mnist-8", HF_ENDPOINT=server.base).returncode == 0
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


def test_a_link_of_the_old_zoo_leads_to_where_the_model_lives_now(
    server: Server, tmp_path: Path
) -> None:
    dead = "https://github.com/onnx/models/raw/master/vision/classification/mnist/model/mnist-8.tar.gz"
    message = one_line(run(tmp_path, dead, HF_ENDPOINT=server.base))
    assert f"{server.base}/{REPOSITORY}/resolve/main/{MNIST}: HTTP 404" in message


def test_a_folder_of_downloads(archive: bytes, tmp_path: Path) -> None:
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    (downloads / "one.tar.gz").write_bytes(archive)
    (downloads / "two.tar.gz").write_bytes(archive)
    assert run(tmp_path, downloads).returncode == 0
    assert names(tmp_path) == ["one", "two"]
    assert len(list(downloads.iterdir())) == 2


def test_a_folder_of_unpacked_models_is_listed_where_it_stands(tmp_path: Path) -> None:
    model_folder(tmp_path / "models" / "first")
    model_folder(tmp_path / "models" / "second")
    before = tree(tmp_path / "models")
    assert run(tmp_path, "models").returncode == 0
    after = tree(tmp_path / "models")
    assert after.pop("model_list.json")
    assert after == before
    assert names(tmp_path) == ["first", "second"]


def test_several_models_in_one_archive(tmp_path: Path) -> None:
    nets = tmp_path / "made" / "nets"
    model_folder(nets / "small", "small.onnx")
    model_folder(nets / "large")
    (nets / "large" / "._model.onnx").write_bytes(b"a macOS leftover")
    (tmp_path / "nets.tar.xz").write_bytes(packed(nets, ".tar.xz"))
    assert run(tmp_path, "nets.tar.xz").returncode == 0
    assert names(tmp_path) == ["nets-large", "nets-small"]


def test_the_shell_front_is_the_same_command(
    server: Server, archive: bytes, tmp_path: Path
) -> None:
    front = SCRIPT.with_name("setup_many_models.sh")
    digest = hashlib.sha256(archive).hexdigest()
    first = server.put("/one.tar.gz", archive) + f"#sha256={digest}"
    second = server.put("/two.tar.gz", archive) + f"#sha256={digest}"
    done = run_by_path(front, tmp_path, first, second)
    assert done.returncode == 0, done.stderr
    assert names(tmp_path) == ["one", "two"]
    assert run_by_path(front, tmp_path).returncode == 2


def test_a_python_without_onnx_is_told_which_one_to_take(tmp_path: Path) -> None:
    command = [sys.executable, "-S", str(SCRIPT), "--list"]  # -S: no installed package is found
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert " lacks " in one_line(done)
    assert "./perf.sh --setup" in done.stderr


def test_two_of_one_name_are_refused(archive: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for place in (tmp_path, tmp_path / "a"):
        (place / "x.tar.gz").write_bytes(archive)
    assert "two of them are called x" in one_line(run(tmp_path, "x.tar.gz", "a/x.tar.gz"))
    assert run(tmp_path, "x.tar.gz").returncode == 0
    assert "already there; remove it first" in one_line(run(tmp_path, "a/x.tar.gz"))


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ([], "name some models, or write ./links.txt"),
        (["no-such-model"], "nor a name in the lock"),
        (["http://models.example/a.tar.gz"], "only https:// links"),
        (["ftp://models.example/a.tar.gz"], "only https:// links"),
        (["file:///nowhere/a.tar.gz"], "no such file or folder (/nowhere/a.tar.gz)"),
        (["file://elsewhere/a.tar.gz"], "names a file of this machine"),
        (["https://models.example/a.onnx"], "not the link of an archive"),
        (["https://models.example/a.zip#sha256=12"], "64 lower-case hex digits"),
        (["empty.txt"], "holds no link"),
    ],
)
def test_what_cannot_be_set_up_is_one_line(what: list[str], words: str, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("# none\n")
    assert words in one_line(run(tmp_path, *what))
    assert not (tmp_path / "models").exists()


def test_the_shipped_table_is_whole() -> None:
    shipped = json.loads(lock.SHIPPED.read_text(encoding="utf-8"))["models"]
    assert len(shipped) == 46
    assert len({entry["name"] for entry in shipped}) == 46
    for entry in shipped:
        assert re.fullmatch("[0-9a-f]{64}", entry["sha256"]), entry["name"]
        assert entry["path"].startswith("validated/")
        assert Path(entry["path"]).name == f"{entry['name']}.tar.gz"
        assert entry["size_bytes"] > 20_000
        assert 1 <= entry["opset"] <= 12


def test_a_damaged_lock_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / lock.FILE_NAME).write_text("{}")
    assert f"models/{lock.FILE_NAME}: not a readable lock file" in one_line(
        run(tmp_path, "--list")
    )
