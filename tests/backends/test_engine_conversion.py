"""`models convert --to engine` with a fake of the tensorrt package: what it writes is an engine that runs."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from perf.backends import tensorrt_engine
from perf.cli import convert_model
from perf.conversion.errors import UserError
from perf.schema.cell import Cell
from perf.schema.model_form import Format, ModelForm
from tests.fakes.tensorrt_fake import FakeCudart, FakeTensorRT
from tests.fakes.trt_cells import cell, feeds

SHAPES = ("--min_shapes", "x:1x3", "--opt_shapes", "x:1x3", "--max_shapes", "x:4x3")


def converted(asked: Cell, plan: Path, trt: FakeTensorRT | None, *words: str) -> int:
    cuda: Any = trt.cuda if trt else None
    with patch.dict(
        sys.modules, {"tensorrt": trt, "tensorrt_bindings": None, "cuda.bindings.runtime": cuda}
    ):
        return convert_model.main(["--to", "engine", asked.model.path, str(plan), *words])


def test_the_engine_that_was_written_runs_as_a_model(tmp_path: Path) -> None:
    asked, plan, trt = cell(tmp_path), tmp_path / "out" / "toy.plan", FakeTensorRT(FakeCudart())
    assert converted(asked, plan, trt, *SHAPES) == 0
    form = ModelForm(Format.ENGINE, str(plan), "0" * 64)
    alone = replace(asked.model, path=str(plan), format=Format.ENGINE, forms=(form,))
    asked = replace(asked, model=alone, form=form, cache="")
    (feed,) = feeds(asked)
    with (
        patch.dict(sys.modules, {"tensorrt": trt, "cuda.bindings.runtime": trt.cuda}),
        tensorrt_engine.open_engine(asked, tmp_path) as session,
    ):
        np.testing.assert_array_equal(session.infer(feed)["scores"], feed["x"] * 2)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "shape of input 'x' is open: give it by --min_shapes, --opt_shapes, --max_shapes"),
        (SHAPES[:2], "go together"),
        ([w.replace("x:", "z:") for w in SHAPES], "no input 'z'"),
    ],
)
def test_shapes_that_cannot_be_meant_are_one_line(
    tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    with pytest.raises(UserError, match=says) as refused:
        converted(cell(tmp_path), tmp_path / "toy.plan", FakeTensorRT(FakeCudart()), *words)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "toy.plan").exists()


def test_an_engine_in_int8_has_its_scales_from_a_cache(tmp_path: Path) -> None:
    asked, plan, trt = cell(tmp_path), tmp_path / "toy.plan", FakeTensorRT(FakeCudart())
    cache = tmp_path / "scales.cache"
    cache.write_bytes(b"TRT-10160-EntropyCalibration2\nx: 3c010a14\n")
    words = ("--precision", "int8", "--calibration_cache", str(cache))
    assert converted(asked, plan, trt, *SHAPES, *words) == 0
    (config,) = trt.configs
    assert "INT8" in config.flags
    scales = config.int8_calibrator
    assert scales.read_calibration_cache() == cache.read_bytes()
    assert (scales.get_batch_size(), scales.get_batch(["x"])) == (1, None)


@pytest.mark.parametrize(
    ("words", "eleven", "says"),
    [
        (("--precision", "int8"), False, "int8 and --calibration_cache FILE go together"),
        (("--calibration_cache", "scales"), False, "int8 and --calibration_cache FILE go together"),
        (("--precision", "int8", "--calibration_cache", "gone"), False, "gone: No such file"),
        (("--precision", "int8", "--calibration_cache", "empty"), False, "it is empty"),
        (("--precision", "int8", "--calibration_cache", "scales"), True, "no calibrators, which left"),
    ],
)  # fmt: skip
def test_int8_without_scales_is_one_line(
    tmp_path: Path, words: tuple[str, ...], eleven: bool, says: str
) -> None:
    (tmp_path / "scales").write_bytes(b"TRT-10160")
    (tmp_path / "empty").touch()
    found = [str(tmp_path / w) if w in ("scales", "gone", "empty") else w for w in words]
    trt, plan = FakeTensorRT(FakeCudart(), eleven=eleven), tmp_path / "toy.plan"
    with pytest.raises(UserError, match=says) as refused:
        converted(cell(tmp_path), plan, trt, *SHAPES, *found)
    assert "\n" not in str(refused.value)
    assert not plan.exists()


def test_without_the_package_it_says_where_to_give_the_command(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"no tensorrt package.* PYTHON -m perf\.cli\.convert_model"
    ):
        converted(cell(tmp_path), tmp_path / "toy.plan", None, *SHAPES)


def test_a_model_that_is_none_is_one_line(tmp_path: Path) -> None:
    asked = cell(tmp_path)
    Path(asked.model.path).write_bytes(b"no model")
    with pytest.raises(UserError, match=r"toy\.onnx: "):
        converted(asked, tmp_path / "toy.plan", FakeTensorRT(FakeCudart()))
