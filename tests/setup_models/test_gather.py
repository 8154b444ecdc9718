from pathlib import Path

import pytest

from perf.request import model_list as model_lists
from tests.setup_models.tiny import model_folder, tree
from tests.setup_models.zoo_runs import one_line, packed, run


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    return packed(model_folder(tmp_path / "made" / "mnist"))


def broken(kind: str, folder: Path, archive: bytes) -> str:
    """Put something that cannot be set up into the folder; what to call it."""
    match kind:
        case "truncated":
            (folder / "x.tar.gz").write_bytes(archive[: len(archive) // 2])
        case "no model":
            (folder / "made2").mkdir()
            (folder / "made2" / "readme.txt").write_text("nothing")
            (folder / "x.tar.gz").write_bytes(packed(folder / "made2"))
        case "no test data":
            bare = model_folder(folder / "made2")
            for file in (bare / "test_data_set_0").iterdir():
                file.unlink()
            (folder / "x.tar.gz").write_bytes(packed(bare))
        case "damaged model":
            bad = model_folder(folder / "made2")
            (bad / "model.onnx").write_bytes(b"\xff\xff")
            (folder / "x.tar.gz").write_bytes(packed(bad))
        case "shared data":
            both = model_folder(folder / "made2")
            (both / "other.onnx").write_bytes((both / "model.onnx").read_bytes())
            (folder / "x.tar.gz").write_bytes(packed(both))
        case "same names":
            model_folder(folder / "made2" / "a" / "net", "net.onnx")
            model_folder(folder / "made2" / "b" / "net", "net.onnx")
            (folder / "x.tar.gz").write_bytes(packed(folder / "made2"))
        case _:
            raise AssertionError(kind)
    return "x.tar.gz"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("truncated", "truncated or damaged"),
        ("no model", "no .onnx file in it"),
        ("no test data", "comes without test data; to make some: add --make_test_data"),
        ("damaged model", "not a readable ONNX model"),
        ("shared data", "share one set of test data"),
        ("same names", "two models would be called x-net"),
    ],
)
def test_one_bad_thing_among_good_ones_leaves_the_folder_as_it_was(
    kind: str, words: str, archive: bytes, tmp_path: Path
) -> None:
    (tmp_path / "good.tar.gz").write_bytes(archive)
    assert run(tmp_path, "good.tar.gz").returncode == 0
    before = tree(tmp_path / "models")
    (tmp_path / "also.tar.gz").write_bytes(archive)
    assert words in one_line(run(tmp_path, "also.tar.gz", broken(kind, tmp_path, archive)))
    assert tree(tmp_path / "models") == before


def test_test_data_is_made_where_asked_for(archive: bytes, tmp_path: Path) -> None:
    broken("no test data", tmp_path, archive)
    done = run(tmp_path, "x.tar.gz", "--make_test_data")
    assert done.returncode == 0, done.stderr
    (model,) = model_lists.load_models(tmp_path / "models" / "model_list.json")
    assert len(model_lists.find_test_sets(Path(str(model.test_data)))) == 2
