"""What fp16 does to a model is told in two arithmetics, also where the CPU EP hides it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from perf.conversion import convert
from perf.conversion.artifact import ConversionRequest
from perf.conversion.data_sets import write_set
from perf.conversion.half_precision import ROUNDED, SEQUENTIAL, HalfRun
from tests.setup_models.tiny import mlp, model_of, save


def converted(model: onnx.ModelProto, x: Any, folder: Path) -> dict[str, HalfRun]:
    """The two arithmetics of the model's fp16 artefact, on one input."""
    source = save(model, folder / "net.onnx")
    write_set(folder / "sets" / "test_data_set_0", {"x": np.asarray(x, np.float32)}, {})
    request = ConversionRequest(calibration=folder / "sets")
    report = convert.convert(source, folder / "net16.onnx", request)
    assert report.check.relative_difference is not None
    assert "computes in fp32" in report.check.kind
    return {run.arithmetic: run for run in report.check.arithmetics}


def node(
    kind: str, inputs: Sequence[str], name: str, output: str = "y", **attributes: Any
) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output], name, **attributes)


def test_a_value_that_fp16_cannot_hold_is_told_although_the_cpu_ep_gives_the_right_output(
    tmp_path: Path,
) -> None:
    nodes = [node("Mul", ["x", "c"], "up", "a"), node("Div", ["a", "c"], "down")]
    found = converted(model_of(nodes, {"c": np.float32(30000)}, (1, 3)), [[3, 4, 5]], tmp_path)
    for arithmetic in (ROUNDED, SEQUENTIAL):
        assert found[arithmetic].overflows == ("Mul 'up'",)
        assert found[arithmetic].relative_difference is None
        assert "not finite" in found[arithmetic].note


SUMS = {
    "MatMul": ([node("MatMul", ["x", "w"], "sum")], {"w": [[60000], [60000], [-60000]]}),
    "Gemm": ([node("Gemm", ["x", "w"], "sum")], {"w": [[60000], [60000], [-60000]]}),
    "ReduceSum": ([node("Mul", ["x", "w"], "up", "a"), node("ReduceSum", ["a"], "sum", keepdims=0)],
                  {"w": [[60000, 60000, -60000]]}),
}  # fmt: skip


@pytest.mark.parametrize("op", SUMS)
def test_an_overflow_inside_a_sum_is_told_of_the_fp16_accumulator_alone(
    op: str, tmp_path: Path
) -> None:
    """60000 + 60000 - 60000 is 60000 where the accumulator is fp32, and infinite in fp16."""
    nodes, weights = SUMS[op]
    model = model_of(nodes, {n: np.array(w, np.float32) for n, w in weights.items()}, (1, 3))
    found = converted(model, [[1, 1, 1]], tmp_path)
    assert (found[ROUNDED].overflows, found[ROUNDED].relative_difference) == ((), 0.0)
    assert found[SEQUENTIAL].overflows == (f"a sum in {op} 'sum'",)


def test_convolutions_sum_in_fp16_too(tmp_path: Path) -> None:
    kernel = np.array([60000, 60000, -60000], np.float32).reshape(1, 3, 1, 1)
    found = converted(
        model_of([node("Conv", ["x", "w"], "sum")], {"w": kernel}, (1, 3, 2, 2)),
        np.ones((1, 3, 2, 2)),
        tmp_path,
    )
    assert (found[ROUNDED].overflows, found[SEQUENTIAL].overflows) == (
        (),
        ("a sum in Conv 'sum'",),
    )


def test_large_products_are_searched_for_overflow_too(tmp_path: Path) -> None:
    """Too many products to add one by one: those whose bound is beyond fp16 are."""
    weight = np.full((512, 256), 0.01, np.float32)
    weight[:, 3] = np.where(np.arange(512) < 256, 400, -400)
    x = np.ones((128, 512))
    found = converted(
        model_of([node("MatMul", ["x", "w"], "sum")], {"w": weight}, (128, 512)), x, tmp_path
    )
    assert found[ROUNDED].overflows == ()
    assert found[SEQUENTIAL].overflows == ("a sum in MatMul 'sum'",)
    assert "large products" in found[SEQUENTIAL].note


def test_a_model_that_fits_in_fp16_differs_by_its_rounding_alone(tmp_path: Path) -> None:
    found = converted(mlp(), np.random.default_rng(0).normal(size=(1, 8)), tmp_path)
    for run in found.values():
        assert run.overflows == ()
        assert run.relative_difference is not None
        assert 0 < run.relative_difference < 1e-2
