"""What is known of a reference moves a tolerance by little, whatever is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from perf.conversion.data_sets import Tensors, read_outputs
from perf.conversion.signature import read_signature
from perf.measure import tensor_io
from perf.request import model_list, tolerances
from perf.request.locations import MODEL_LIST
from perf.request.model_list import find_test_sets
from perf.schema.cell import Cell, ModelFile, Precision, ReferenceQuality, TestSet
from perf.schema.fold import Expectation, is_wrong
from perf.worker import validate
from perf.worker.reference_trust import Trust
from tests.inprocess.asking import cell, f32

BUNDLED = {m.name: m for m in model_list.load_models(MODEL_LIST)}
PRECISIONS = (Precision.FP32, Precision.FP16)
X = f32([1.0, -2.0, 3.0])


def shaky(model: ModelFile, expected: Tensors, precision: Precision, folder: Path) -> Cell:
    """A cell whose reference is as uncertain as can be: the most that a floor ever gives."""
    default = tolerances.default_tolerance(precision)
    files = tensor_io.save_tensors(expected, folder)
    quality = tuple(ReferenceQuality(name, noise=1e30) for name in expected)
    given = TestSet("s", (), files, quality=quality)
    tolerance = model.tolerances.get(precision.value, default)
    return replace(cell(model, precision=precision, tolerance=tolerance), sets=(given,))


@pytest.mark.parametrize("name", sorted(BUNDLED))
def test_a_bundled_models_outputs_zeroed_scaled_or_swapped_fail_under_the_greatest_floor(
    name: str, tmp_path: Path
) -> None:
    model = BUNDLED[name]
    signature = read_signature(Path(model.path))
    first, second = (
        read_outputs(s, signature) for s in find_test_sets(Path(model.test_data or ""))[:2]
    )
    exchanged = dict(zip(first, reversed(list(first.values())), strict=True))
    faults: dict[str, Tensors] = {
        "zeroed": {n: np.zeros_like(a) for n, a in first.items()},
        "up": {n: a * f32(1.05) if a.dtype.kind == "f" else a for n, a in first.items()},
        "down": {n: a * f32(0.95) if a.dtype.kind == "f" else a for n, a in first.items()},
        "swapped": exchanged if len(first) > 1 else second,
    }
    for precision in PRECISIONS:
        asked = shaky(model, first, precision, tmp_path)
        allowed = Expectation(percent_mismatch=asked.tolerance.percent_mismatch)
        right = validate.compare_set("s", first, first, asked)
        assert not any(is_wrong(c, allowed) for c in right)
        for fault, got in faults.items():
            found = validate.compare_set("s", got, first, asked)
            assert any(is_wrong(c, allowed) for c in found), (fault, precision)


DRAWN = ReferenceQuality("y", reproducible=False, low=-2.0, high=2.0)
LIKE = f32([[0.0, 1.0]])


@pytest.mark.parametrize(
    ("got", "quality", "says"),
    [
        (f32([[0.1, -1.9]]), DRAWN, ""),
        (f32([[0.1, 1e12]]), DRAWN, "1 of 2 elements are far outside -2 … 2"),
        (f32([[0.1, np.nan]]), DRAWN, "1 of 2 elements are not finite"),
        (f32([0.1, 0.2]), DRAWN, "shape [2], expected [1, 2]"),
        (f32([[0.1]]), DRAWN, "shape [1, 1], expected [1, 2]"),
        (f32([[0.1]]), replace(DRAWN, shape_varies=True), ""),
        (np.array([[1, 2]]), DRAWN, "type int64, expected float32"),
        (np.array([[0.5, 0.2]]), DRAWN, "type float64, expected float32"),
        (None, DRAWN, "no such output"),
    ],
)
def test_an_output_that_chance_decides_is_held_by_shape_type_and_range_where_a_study_had_no_time(
    got: np.ndarray | None, quality: ReferenceQuality, says: str, tmp_path: Path
) -> None:
    files = tensor_io.save_tensors({"y": LIKE}, tmp_path)
    given = TestSet("s", (), files, quality=(quality,))
    asked = replace(cell(BUNDLED["encoder"]), sets=(given,))
    outputs = {} if got is None else {"y": got}
    (found,) = validate.compare_set("s", outputs, {"y": LIKE}, asked)
    assert found.problem.startswith(says)
    assert is_wrong(found, Expectation()) is bool(says)
    assert not found.reproducible


def test_noise_raises_a_tolerance_by_twice_itself_and_to_one_per_cent_of_the_scale_at_most() -> (
    None
):
    for noise, widened in ((0.0, 0.001), (0.002, 0.005), (1.0, 0.03)):
        trust = Trust(ReferenceQuality("y", noise=noise))
        assert trust.widen(0.001, X) == pytest.approx(widened)
    assert (
        Trust(ReferenceQuality("y", noise=1.0)).widen(0.5, X) == 0.5
    )  # what a user allows stands
    integers = np.array([1, 2])
    assert Trust(ReferenceQuality("y", noise=1.0)).widen(0.0, integers) == 0.0
