from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from perf.conversion import bfloat16, convert
from perf.conversion.artifact import ConversionError, ConversionRequest
from tests.setup_models.tiny import mlp, model_of, save


def test_bf16_rounds_from_fp32_and_says_what_of_it_was_run(tmp_path: Path) -> None:
    source = save(mlp(), tmp_path / "model.onnx")
    report = convert.convert(source, tmp_path / "bf16.onnx", ConversionRequest("bf16"))
    made = onnx.load(str(tmp_path / "bf16.onnx"))
    assert {tensor.data_type for tensor in made.graph.initializer} == {TensorProto.BFLOAT16}
    original = numpy_helper.to_array(mlp().graph.initializer[0])
    weight = next(tensor for tensor in made.graph.initializer if tensor.name == "W")
    rounded = numpy_helper.to_array(weight).astype(np.float32)
    assert np.abs(rounded - original).max() <= np.abs(original).max() * 2**-8
    assert report.check.relative_difference is not None
    assert 1e-4 < report.check.relative_difference < 2e-2
    assert "weights rounded to bf16 and arithmetic in fp32" in report.check.kind
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bf16.onnx", "model.onnx"]
    onnx.checker.check_model(made, full_check=True)


def test_bf16_keeps_in_fp32_what_the_opset_cannot_do(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.ones((2, 2, 1, 1), np.float32), "w")
    shape = numpy_helper.from_array(np.array([1, 2, 2, 2], np.int64), "shape")
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["x4"]),
        helper.make_node("Conv", ["x4", "w"], ["c"], "conv"),
        helper.make_node("Relu", ["c"], ["y"], "relu"),
    ]
    source = save(model_of(nodes, [weight, shape]), tmp_path / "model.onnx")
    report = convert.convert(source, tmp_path / "bf16.onnx", ConversionRequest("bf16"))
    assert "kept fp32, opset 17 has no bf16 for them: Conv" in report.notes
    made = onnx.load(str(tmp_path / "bf16.onnx"))
    types = {tensor.name: tensor.data_type for tensor in made.graph.initializer}
    assert types["w"] == TensorProto.FLOAT


def test_what_gives_no_bf16_stays_fp32_too(tmp_path: Path) -> None:
    shape = numpy_helper.from_array(np.array([1, 8], np.int64), "shape")
    one = numpy_helper.from_array(np.ones(1, np.float32))
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["ones"], "ones", value=one),
        helper.make_node("Add", ["x", "ones"], ["y"], "add"),
    ]
    source = save(model_of(nodes, [shape]), tmp_path / "model.onnx")
    report = convert.convert(source, tmp_path / "bf16.onnx", ConversionRequest("bf16"))
    assert "kept fp32, opset 17 has no bf16 for them: ConstantOfShape" in report.notes
    onnx.checker.check_model(onnx.load(str(tmp_path / "bf16.onnx")), full_check=True)


def test_bf16_refuses_an_opset_that_does_not_know_it(tmp_path: Path) -> None:
    source = save(mlp(opset=12), tmp_path / "model.onnx")
    with pytest.raises(ConversionError, match="bf16 needs opset 13 or later, the model has 12"):
        convert.convert(source, tmp_path / "a.onnx", ConversionRequest("bf16"))


@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=20)
)
def test_bfloat16_is_the_nearest_one(values: list[float]) -> None:
    fp32 = np.array(values, np.float32)
    bits = bfloat16.round_to_bfloat16(fp32)
    found = (bits.astype(np.uint32) << 16).view(np.float32)
    for step in (-1, 1):
        beside = (bits.astype(np.int64) + step).clip(0, 0xFFFF).astype(np.uint32) << 16
        neighbour = beside.view(np.float32)
        both = np.isfinite(found) & np.isfinite(neighbour)
        want = fp32[both].astype(np.float64)
        assert (np.abs(found[both] - want) <= np.abs(neighbour[both] - want)).all()


def test_bfloat16_keeps_what_is_not_finite() -> None:
    bits = bfloat16.round_to_bfloat16(np.array([np.nan, np.inf, -np.inf, 3.4e38], np.float32))
    found = (bits.astype(np.uint32) << 16).view(np.float32)
    assert np.isnan(found[0])
    assert found[1] == np.inf
    assert found[2] == -np.inf
    assert np.isfinite(found[3]) or found[3] == np.inf
