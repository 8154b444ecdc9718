"""Models with inferred shapes beside a cache, their external data copied, their own folder left alone."""

import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import helper

from perf.conversion import cpu_reference, external_data, infer_shapes
from perf.conversion.errors import UserError
from tests.setup_models.tiny import mlp, model_of, save, tree


@pytest.mark.parametrize("name", ["perf.conversion.infer_shapes", "setup_models.shapes"])
def test_the_artefact_has_shapes_and_the_model_is_left_alone(name: str, tmp_path: Path) -> None:
    source, path = save(mlp(), tmp_path / "m" / "model.onnx"), tmp_path / "cache" / "shaped.onnx"
    before = tree(source.parent)
    subprocess.run([sys.executable, "-m", name, source, path], check=True)
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in onnx.load(str(path)).graph.value_info
    }
    assert shapes["h"] == ["batch", 16]
    cpu_reference.open_session(path)
    assert tree(source.parent) == before


def test_external_data_is_beside_the_artefact_which_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "m" / "model.onnx"
    source.parent.mkdir()
    onnx.save(mlp(), str(source), save_as_external_data=True, location="w.data", size_threshold=0)
    first = infer_shapes.get_or_infer(source, tmp_path / "cache")
    cpu_reference.open_session(first)
    inode = first.stat().st_ino
    assert infer_shapes.get_or_infer(source, tmp_path / "cache").stat().st_ino == inode
    onnx.save(mlp(width=9), str(source))
    other = infer_shapes.get_or_infer(source, tmp_path / "cache")
    monkeypatch.setattr(infer_shapes, "converter_version", lambda _: "another")
    assert len({first, other, infer_shapes.get_or_infer(source, tmp_path / "cache")}) == 3


def test_what_is_refused_is_one_line_and_no_file(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["x", "nowhere"], ["y"], "lost")]
    source = save(model_of(nodes), tmp_path / "m" / "model.onnx")
    for folder, says in (("m", "lies in the model's own folder"), ("cache", "inference failed")):
        with pytest.raises(UserError, match=says) as refusal:
            infer_shapes.main([str(source), str(tmp_path / folder / "s.onnx")])
        assert "\n" not in str(refusal.value)
    assert not list(tmp_path.rglob("s.onnx"))


@pytest.mark.parametrize(
    "pieces", [[], [(0, b"a")], [(0, b"a"), (9 << 20, b"b")], [(5 << 20, b"")]]
)
def test_a_copy_has_holes_for_zeros(pieces: list[tuple[int, bytes]], tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "folder" / "copy"
    with source.open("wb") as file:
        for at, text in pieces:
            file.seek(at)
            file.write(text)
        file.truncate(max((at + len(text) for at, text in pieces), default=0))
    (tmp_path / "link").symlink_to("source")
    external_data.copy_sparse(tmp_path / "link", copy)
    assert not copy.is_symlink()
    assert copy.read_bytes() == source.read_bytes()
    assert copy.stat().st_blocks * 512 < 3 << 20
