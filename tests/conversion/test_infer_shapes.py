from pathlib import Path

import onnx
import pytest
from onnx import helper

from perf.conversion import cpu_reference, infer_shapes
from perf.conversion.errors import UserError, run_command
from tests.setup_models.tiny import mlp, model_of, save, tree


def test_the_artefact_has_shapes_and_the_model_is_left_alone(tmp_path: Path) -> None:
    source = save(mlp(), tmp_path / "m" / "model.onnx")
    before = tree(source.parent)
    assert (
        run_command(infer_shapes.main, [str(source), str(tmp_path / "cache" / "shaped.onnx")]) == 0
    )
    made = onnx.load(str(tmp_path / "cache" / "shaped.onnx"))
    found = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in made.graph.value_info
    }
    assert found["h"] == ["batch", 16]
    cpu_reference.open_session(tmp_path / "cache" / "shaped.onnx")
    assert tree(source.parent) == before


def test_external_data_is_beside_the_artefact(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    source = tmp_path / "m" / "model.onnx"
    onnx.save(mlp(), str(source), save_as_external_data=True, location="w.data", size_threshold=0)
    infer_shapes.infer_shapes(source, tmp_path / "cache" / "shaped.onnx")
    cpu_reference.open_session(tmp_path / "cache" / "shaped.onnx")


def test_the_models_own_folder_is_never_written_to(tmp_path: Path) -> None:
    source = save(mlp(), tmp_path / "model.onnx")
    with pytest.raises(UserError, match="lies in the model's own folder"):
        infer_shapes.infer_shapes(source, tmp_path / "shaped.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_a_failed_inference_is_one_line_and_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = [helper.make_node("Reshape", ["x", "nowhere"], ["y"], "lost")]
    source = save(model_of(nodes, []), tmp_path / "m" / "model.onnx")
    assert run_command(infer_shapes.main, [str(source), str(tmp_path / "cache" / "s.onnx")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "cache" / "s.onnx").exists()


def test_the_key_changes_with_source_and_version() -> None:
    assert (
        len(
            {
                infer_shapes.shapes_key("a", "1"),
                infer_shapes.shapes_key("b", "1"),
                infer_shapes.shapes_key("a", "2"),
            }
        )
        == 3
    )
