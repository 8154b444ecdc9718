"""fp64 gives what fp32 gives, to fp32's digits, and says where it cannot."""

import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from perf.conversion.cpu_reference import open_session, run_session
from perf.conversion.data_sets import read_inputs
from perf.conversion.double_precision import DoubleModel
from perf.conversion.node_evaluator import CannotEvaluate
from perf.conversion.signature import read_signature
from perf.request.locations import models_folder
from tests.setup_models.tiny import mlp, model_of

# What each is here for: Conv, pooling and LRN; LSTM; attention; quantised; If and Loop; NonMaxSuppression
NAMES = (
    "squeezenet",
    "inception_v1",
    "text_recogniser",
    "encoder",
    "int8_qdq",
    "loop_if",
    "detector",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_bundled_model_in_double_agrees_with_fp32_to_its_last_digits(name: str) -> None:
    folder = models_folder() / name
    path = folder / "model.onnx"
    feed = dict(read_inputs(folder / "test_data_set_0", read_signature(path)))
    fp32 = run_session(open_session(path), feed)
    fp64 = DoubleModel(onnx.load(str(path))).run(feed, time.monotonic() + 120)
    for output, want in fp32.items():
        got = fp64[output]
        assert got.dtype == (np.float64 if want.dtype == np.float32 else want.dtype)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * max(np.abs(want).max(), 1e-9))


def test_digits_that_fp32_loses_are_there_in_double() -> None:
    nodes = [
        helper.make_node("Add", ["x", "c"], ["a"]),
        helper.make_node("Sub", ["a", "c"], ["y"]),
    ]
    model = model_of(nodes, {"c": np.array([1e8], np.float32)})
    x = np.random.default_rng(0).normal(size=(1, 8)).astype(np.float32)
    assert not run_session(open_session(model.SerializeToString()), {"x": x})["y"].any()
    fp64 = DoubleModel(model).run({"x": x}, time.monotonic() + 60)["y"]
    np.testing.assert_allclose(fp64, x, rtol=0, atol=1e-7)


def test_a_cast_to_float_keeps_double() -> None:
    nodes = [helper.make_node("Cast", ["x"], ["a"], to=TensorProto.DOUBLE), helper.make_node("Exp", ["a"], ["b"]),
             helper.make_node("Cast", ["b"], ["y"], to=TensorProto.FLOAT)]  # fmt: skip
    x = np.full((1, 8), 0.1, np.float32)
    fp64 = DoubleModel(model_of(nodes)).run({"x": x}, time.monotonic() + 60)["y"]
    np.testing.assert_allclose(fp64, np.exp(x.astype(np.float64)), rtol=1e-14)


def test_no_kernel_and_no_time_are_told() -> None:
    other = model_of([helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")])
    other.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    x = np.ones((1, 8), np.float32)
    with pytest.raises(CannotEvaluate, match="no kernel in double for Gelu 'y'"):
        DoubleModel(other).run({"x": x}, time.monotonic() + 60)
    with pytest.raises(CannotEvaluate, match="out of time at node 1 of 4"):
        DoubleModel(mlp()).run({"x": x}, time.monotonic() - 1)


@pytest.mark.parametrize(
    "attributes",
    [
        {"pads": [1, 2, 0, 1], "strides": [2, 1], "dilations": [1, 2]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"auto_pad": "SAME_LOWER", "strides": [2, 3]},
        {"auto_pad": "VALID"},
        {"group": 2, "pads": [1, 1, 1, 1]},
    ],
    ids=lambda a: ",".join(map(str, a)),
)
def test_convolutions_in_double_are_those_of_the_cpu_ep(attributes: dict[str, object]) -> None:
    weight = np.random.default_rng(1).normal(
        size=(6, 4 // int(str(attributes.get("group", 1))), 3, 3)
    )
    bias = np.random.default_rng(2).normal(size=6).astype(np.float32)
    model = model_of([helper.make_node("Conv", ["x", "w", "b"], ["y"], **attributes)],
                     {"w": weight.astype(np.float32), "b": bias}, x=(2, 4, 9, 8))  # fmt: skip
    x = np.random.default_rng(3).normal(size=(2, 4, 9, 8)).astype(np.float32)
    want = run_session(open_session(model.SerializeToString()), {"x": x})["y"]
    got = DoubleModel(model).run({"x": x}, time.monotonic() + 60)["y"]
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)
    assert got.dtype == np.float64
