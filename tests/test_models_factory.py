"""The factory that other tests build on: its references are what an engine computes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from tests import models


@pytest.mark.parametrize(
    "factory", [models.identity, models.relu, models.linear, models.two_outputs, models.lookup]
)
def test_references_are_right(tmp_path: Path, factory: Callable[[Path], Path]) -> None:
    folder = factory(tmp_path / "model")
    onnx.checker.check_model(str(folder / "model.onnx"), full_check=True)
    engine = ort.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    sets = sorted(folder.glob("test_data_set_*"))
    assert len(sets) == 2
    for home in sets:
        feed, expected = (
            {t.name: numpy_helper.to_array(t) for t in map(onnx.load_tensor, map(str, paths))}
            for paths in (sorted(home.glob("input_*.pb")), sorted(home.glob("output_*.pb")))
        )
        assert list(expected) == [value.name for value in engine.get_outputs()]
        for key, output in zip(expected, engine.run(None, feed), strict=True):
            np.testing.assert_allclose(output, expected[key], rtol=1e-5, atol=1e-6)


def test_error_makes_the_reference_wrong(tmp_path: Path) -> None:
    right, wrong = (
        numpy_helper.to_array(onnx.load_tensor(str(folder / "test_data_set_0" / "output_0.pb")))
        for folder in (models.linear(tmp_path / "a"), models.linear(tmp_path / "b", error=0.5))
    )
    np.testing.assert_allclose(wrong - right, 0.5, rtol=1e-5)
