import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from perf.conversion import artifact, convert, cpu_reference, data_sets
from perf.conversion.artifact import Check, ConversionError, ConversionRequest, Precision
from perf.conversion.errors import UserError
from tests.setup_models.tiny import mlp, model_of, save, tree


def calibration(folder: Path, sets: int = 2) -> Path:
    for number in range(sets):
        x = np.random.default_rng(number).normal(size=(1, 8)).astype(np.float32)
        data_sets.write_set(folder / f"test_data_set_{number}", {"x": x}, {})
    return folder


def initializer_types(path: Path) -> set[int]:
    return {tensor.data_type for tensor in onnx.load(str(path)).graph.initializer}


def test_fp16_keeps_the_ends_halves_the_weights_and_is_close(tmp_path: Path) -> None:
    source = save(mlp(), tmp_path / "m" / "model.onnx")
    before = tree(source.parent)
    report = convert.convert(source, tmp_path / "cache" / "fp16.onnx", ConversionRequest())
    made = cpu_reference.open_session(tmp_path / "cache" / "fp16.onnx")
    assert [(each.name, each.type) for each in made.get_inputs()] == [("x", "tensor(float)")]
    assert [(each.name, each.type) for each in made.get_outputs()] == [("y", "tensor(float)")]
    assert initializer_types(tmp_path / "cache" / "fp16.onnx") == {TensorProto.FLOAT16}
    assert report.check.relative_difference is not None
    assert 0 < report.check.relative_difference < 5e-3
    assert report.size_bytes < source.stat().st_size
    onnx.checker.check_model(onnx.load(str(tmp_path / "cache" / "fp16.onnx")))
    assert tree(source.parent) == before
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["fp16.onnx"]


def test_the_command_reports_and_its_report_names_the_artefact_by_key(tmp_path: Path) -> None:
    source = save(mlp(), tmp_path / "model.onnx")
    report = tmp_path / "r" / "report.json"
    command = [
        sys.executable,
        "-m",
        "perf.conversion.convert",
        str(source),
        str(tmp_path / "a.onnx"),
    ]
    command += ["--op_block_list", "Relu", "--node_block_list", "mm0", "--report", str(report)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    told = json.loads(report.read_text())
    assert told["key"] == artifact.artifact_key(
        told["source_sha256"], "fp16", "onnxruntime", told["converter_version"], ["Relu"], ["mm0"]
    )
    assert "Relu" in told["op_block_list"]
    assert told["check"]["outputs"]["y"] == told["check"]["relative_difference"]
    made = onnx.load(str(tmp_path / "a.onnx"))
    types = {tensor.name: tensor.data_type for tensor in made.graph.initializer}
    assert types == {"W": TensorProto.FLOAT, "b": TensorProto.FLOAT16, "V": TensorProto.FLOAT16}


@pytest.mark.parametrize(
    ("body", "words"),
    [(None, "no such file"), (b"garbage", "not a readable ONNX model"), (b"", "empty")],
)
def test_a_failed_conversion_is_one_line_and_no_file(
    body: bytes | None, words: str, tmp_path: Path
) -> None:
    source = tmp_path / "model.onnx"
    if body is not None:
        source.write_bytes(body)
    report = tmp_path / "report.json"
    command = [
        sys.executable,
        "-m",
        "perf.conversion.convert",
        str(source),
        str(tmp_path / "out" / "a.onnx"),
    ]
    done = subprocess.run(
        [*command, "--report", str(report)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
    assert json.loads(report.read_text()) == {
        "failed": done.stderr.removeprefix("error: ").strip()
    }
    assert list((tmp_path / "out").glob("*")) == []


def shared_resize() -> onnx.ModelProto:
    """Two Resize on one `scales` that is computed: onnxruntime's converter emits its Cast twice."""
    scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["x4"]),
        helper.make_node("Add", ["scales", "zero"], ["s"], "make_scales"),
        helper.make_node("Resize", ["x4", "", "s"], ["a"], "r0", mode="nearest"),
        helper.make_node("Resize", ["x4", "", "s"], ["b"], "r1", mode="nearest"),
        helper.make_node("Add", ["a", "b"], ["y"], "sum"),
    ]
    zero = numpy_helper.from_array(np.zeros(4, np.float32), "zero")
    shape = numpy_helper.from_array(np.array([1, 2, 2, 2], np.int64), "shape")
    return model_of(nodes, [scales, zero, shape])


def test_a_cast_that_the_converter_emits_twice_is_dropped(tmp_path: Path) -> None:
    source = save(shared_resize(), tmp_path / "model.onnx")
    report = convert.convert(source, tmp_path / "a.onnx", ConversionRequest())
    assert "1 duplicate Casts dropped" in report.notes
    assert report.check.relative_difference is not None
    assert report.check.relative_difference < 1e-3


def tiny_variance() -> onnx.ModelProto:
    """A batch norm whose variance, a Constant, is below fp16's smallest number."""
    values = {"scale": 1e-5, "bias": 0.0, "mean": 0.0, "var": 1e-9}
    nodes = [
        helper.make_node(
            "Constant", [], [name], value=numpy_helper.from_array(np.full(8, value, np.float32))
        )
        for name, value in values.items()
    ]
    nodes.append(
        helper.make_node("BatchNormalization", ["x", *values], ["y"], "bn", epsilon=1e-12)
    )
    return model_of(nodes, [])


def test_an_artefact_that_computes_something_else_is_not_offered(tmp_path: Path) -> None:
    source = save(tiny_variance(), tmp_path / "model.onnx")
    with pytest.raises(ConversionError, match=r"differ from fp32's by .* block its worst ops"):
        convert.convert(source, tmp_path / "a.onnx", ConversionRequest())
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_a_block_list_saves_a_constant_that_fp16_has_no_room_for(tmp_path: Path) -> None:
    source = save(tiny_variance(), tmp_path / "model.onnx")
    request = ConversionRequest(op_block_list=("BatchNormalization",))
    report = convert.convert(source, tmp_path / "a.onnx", request)
    assert "4 Constants made initializers" in report.notes
    assert report.check.relative_difference is not None
    assert report.check.relative_difference < 1e-2


def test_a_constant_that_is_an_output_stays_one(tmp_path: Path) -> None:
    value = numpy_helper.from_array(np.array([1.5, 2.5], np.float32))
    nodes = [
        helper.make_node("Constant", [], ["c"], value=value),
        helper.make_node("Relu", ["x"], ["y"]),
    ]
    model = model_of(nodes, [])
    model.graph.output.append(helper.make_tensor_value_info("c", TensorProto.FLOAT, [2]))
    report = convert.convert(
        save(model, tmp_path / "model.onnx"), tmp_path / "a.onnx", ConversionRequest()
    )
    assert report.check.outputs["c"] == 0.0


def test_a_model_that_is_half_already_is_refused(tmp_path: Path) -> None:
    source = save(mlp(), tmp_path / "model.onnx")
    convert.convert(source, tmp_path / "fp16.onnx", ConversionRequest())
    with pytest.raises(ConversionError, match="already holds half-precision tensors"):
        convert.convert(tmp_path / "fp16.onnx", tmp_path / "again.onnx", ConversionRequest())


def test_a_dynamic_model_without_data_is_loaded_and_says_that_it_was_not_run(
    tmp_path: Path,
) -> None:
    model = mlp(batch="length")
    source = save(model, tmp_path / "model.onnx")
    report = convert.convert(source, tmp_path / "a.onnx", ConversionRequest())
    assert report.check.kind == "loaded on the CPU EP"
    assert report.check.relative_difference is None
    assert "--shape x=<length>x8" in report.check.inputs


def test_a_folder_without_test_sets_is_checked_on_seeded_inputs(tmp_path: Path) -> None:
    source = save(mlp(), tmp_path / "model.onnx")
    report = convert.convert(source, tmp_path / "a.onnx", ConversionRequest(calibration=tmp_path))
    assert report.check.inputs.startswith("seeded inputs")
    assert report.check.relative_difference is not None


def test_test_sets_that_do_not_fit_the_model_are_named(tmp_path: Path) -> None:
    source = save(mlp(), tmp_path / "model.onnx")
    wrong = np.zeros((1, 5), np.float32)
    data_sets.write_set(tmp_path / "sets" / "test_data_set_0", {"x": wrong}, {})
    with pytest.raises(ConversionError, match="fp32 itself does not run on test_data_set_0"):
        convert.convert(
            source, tmp_path / "a.onnx", ConversionRequest(calibration=tmp_path / "sets")
        )


def test_int8_is_calibrated_on_the_test_sets(tmp_path: Path) -> None:
    source = save(mlp(), tmp_path / "model.onnx")
    sets = calibration(tmp_path / "sets", 3)
    report = convert.convert(
        source, tmp_path / "int8.onnx", ConversionRequest("int8", calibration=sets)
    )
    assert "calibrated on 3 test sets" in report.notes
    made = onnx.load(str(tmp_path / "int8.onnx"))
    assert TensorProto.INT8 in {tensor.data_type for tensor in made.graph.initializer}
    assert report.check.relative_difference is not None
    assert 0 < report.check.relative_difference < 0.2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["int8.onnx", "model.onnx", "sets"]


def test_int8_without_test_sets_says_what_it_needs(tmp_path: Path) -> None:
    source = save(mlp(), tmp_path / "model.onnx")
    with pytest.raises(ConversionError, match="give --calibration FOLDER"):
        convert.convert(source, tmp_path / "a.onnx", ConversionRequest("int8"))
    with pytest.raises(ConversionError, match=r"no test_data_set_\* folder to calibrate on"):
        convert.convert(
            source, tmp_path / "a.onnx", ConversionRequest("int8", calibration=tmp_path)
        )


def test_int8_leaves_blocked_nodes_alone_and_refuses_when_none_is_left(tmp_path: Path) -> None:
    source = save(mlp(), tmp_path / "model.onnx")
    sets = calibration(tmp_path / "sets")
    blocked = ConversionRequest(
        "int8", node_block_list=("mm0", "mm1", "add0", "relu0"), calibration=sets
    )
    with pytest.raises(ConversionError, match="nothing was quantised"):
        convert.convert(source, tmp_path / "a.onnx", blocked)


def test_external_data_is_read_and_the_artefact_is_whole(tmp_path: Path) -> None:
    source = tmp_path / "m" / "model.onnx"
    source.parent.mkdir()
    onnx.save(mlp(), str(source), save_as_external_data=True, location="w.data", size_threshold=0)
    report = convert.convert(source, tmp_path / "a.onnx", ConversionRequest())
    assert report.check.relative_difference is not None
    assert report.check.relative_difference < 5e-3
    (source.parent / "w.data").unlink()
    with pytest.raises(UserError, match=r"its external data file w\.data is missing"):
        convert.main([str(source), str(tmp_path / "b.onnx")])
    assert not (tmp_path / "b.onnx").exists()


def test_the_other_converter_converts_or_says_how_to_get_it(tmp_path: Path) -> None:
    source = save(mlp(), tmp_path / "model.onnx")
    request = ConversionRequest(converter="onnxconverter-common")
    try:
        import onnxconverter_common
    except ImportError:
        with pytest.raises(ConversionError, match=r"onnxconverter-common.*perf\.sh --setup=dev"):
            convert.convert(source, tmp_path / "a.onnx", request)
        return
    report = convert.convert(source, tmp_path / "a.onnx", request)
    assert report.converter_version == onnxconverter_common.__version__
    assert report.check.relative_difference is not None
    assert report.check.relative_difference < 5e-3


names = st.lists(st.text(max_size=5), max_size=3)


@given(st.text(), names, names, names)
def test_the_key_changes_with_every_part_and_not_with_order(
    source: str, ops: list[str], nodes: list[str], more: list[str]
) -> None:
    key = artifact.artifact_key(source, "fp16", "onnxruntime", "1.0", ops, nodes)
    assert len(key) == 32
    assert key == artifact.artifact_key(
        source, "fp16", "onnxruntime", "1.0", [*reversed(ops), *ops], nodes
    )
    others = {
        artifact.artifact_key(source, each, "onnxruntime", "1.0", ops, nodes)
        for each in get_args(Precision)
    }
    assert len(others) == 3
    assert key != artifact.artifact_key(source + "x", "fp16", "onnxruntime", "1.0", ops, nodes)
    assert key != artifact.artifact_key(source, "fp16", "onnxruntime", "1.1", ops, nodes)
    assert key != artifact.artifact_key(source, "fp16", "onnxconverter-common", "1.0", ops, nodes)
    same_ops = set(more) <= set(ops)
    assert (
        key == artifact.artifact_key(source, "fp16", "onnxruntime", "1.0", [*ops, *more], nodes)
    ) is same_ops


@pytest.mark.parametrize(
    ("relative", "rms", "far"),
    [(0.4, 9.0, False), (0.6, 9.0, True), (1e5, 1e-9, False), (float("inf"), float("inf"), True)],
)
def test_only_a_difference_that_is_large_and_not_rounding_counts(
    relative: float, rms: float, far: bool
) -> None:
    assert Check("", "", relative, rms).too_far("fp16") is far


def test_what_is_nan_on_one_side_only_is_infinitely_far() -> None:
    good = np.array([1.0, np.nan, np.inf])
    assert cpu_reference.output_distance(good.copy(), good) == cpu_reference.Distance(0.0, 0.0)
    bad = cpu_reference.output_distance(np.array([np.nan, np.nan, np.inf]), good)
    assert bad is not None
    assert bad.relative == float("inf")
    assert cpu_reference.output_distance(np.zeros(2), np.zeros(3)) is None
