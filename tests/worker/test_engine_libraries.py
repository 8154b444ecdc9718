"""What a run says of its engine's bytes: the real onnxruntime, a file that was exchanged, and a build tree."""

import json
from pathlib import Path

import onnxruntime

from perf.request.model_file import digest_file
from perf.results import run_names
from perf.worker.engine_libraries import digest_libraries
from tests.asking import ask

CAPI = Path(onnxruntime.__file__).parent / "capi"
NAME = next(CAPI.glob("onnxruntime_pybind11_state*.so")).name


def installed(folder: Path) -> Path:
    """A distribution as pip leaves it, whose record has the digest of other bytes; its library."""
    (folder / "onnxruntime_x-1.dist-info").mkdir(parents=True)
    library = folder / "onnxruntime/capi/libonnxruntime.so.1"
    library.parent.mkdir(parents=True)
    library.write_text("bytes")
    (folder / "onnxruntime_x-1.dist-info/METADATA").write_text("Name: onnxruntime-x\nVersion: 1\n")
    digest = "sha256=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    record = (
        f"onnxruntime/capi/libonnxruntime.so.1,{digest},5\nonnxruntime_x-1.dist-info/RECORD,,\n"
    )
    (folder / "onnxruntime_x-1.dist-info/RECORD").write_text(record)
    return library


def test_a_run_names_the_digest_of_its_engines_library(home: Path) -> None:
    said = ask(home, "-i", "zoo", "-r", "validate", "--models", "relu")
    host = json.loads((run_names.find_run(said.results).root / "host.json").read_text())
    assert host["libraries"]["current"][NAME] == digest_file(CAPI / NAME)
    rows = {r["Spec"]: r["Version"] for r in said.table("system_info")}
    assert rows[f"current: sha256 of {NAME}"] == digest_file(CAPI / NAME)


def test_a_large_library_is_not_read_again_while_it_is_as_it_was_installed(tmp_path: Path) -> None:
    installed(tmp_path)
    assert digest_libraries([str(tmp_path)]) == {"libonnxruntime.so.1": "0" * 64}


def test_one_that_was_exchanged_is_told_by_its_own_bytes(tmp_path: Path) -> None:
    library = installed(tmp_path)
    for text in ("other bytes", "fives"):  # of another size; of the same, and written since
        library.write_text(text)
        assert digest_libraries([str(tmp_path)]) == {"libonnxruntime.so.1": digest_file(library)}


def test_a_build_tree_is_no_distribution_and_is_told_too(tmp_path: Path) -> None:
    library = tmp_path / "build/onnxruntime/capi/onnxruntime_pybind11_state.so"
    library.parent.mkdir(parents=True)
    library.write_text("built")
    told = digest_libraries([str(tmp_path)], tmp_path / "build/onnxruntime")
    assert told == {library.name: digest_file(library)}


def test_copies_under_several_names_are_told_once(tmp_path: Path) -> None:
    installed(tmp_path)
    info = tmp_path / "onnxruntime_x-1.dist-info/RECORD"
    (tmp_path / "onnxruntime/capi/libonnxruntime.so").write_text("bytes")
    info.write_text(
        info.read_text().replace("AAAA,5\n", "AAAA,5\nonnxruntime/capi/libonnxruntime.so,,\n")
    )
    (tmp_path / "onnxruntime/capi/libonnxruntime.so.1").write_text("bytes")
    assert list(digest_libraries([str(tmp_path)])) == ["libonnxruntime.so"]
