"""An engine serialized elsewhere: what it takes, how it is run, and what is said where it cannot be."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from perf.backends import ProbeResult, Unsupported, tensorrt_engine
from perf.backends._tensorrt.python_session import EngineFailedError
from perf.schema.cell import Cell
from perf.schema.model_form import Format, InputSpec, ModelForm
from tests.fakes.tensorrt_fake import FakeCudart, FakeTensorRT
from tests.fakes.trt_cells import cell, feeds


@contextmanager
def installed(trt: FakeTensorRT | None) -> Iterator[None]:
    """The fake packages in the real ones' place, or none."""
    cuda: Any = trt.cuda if trt else None
    with patch.dict(sys.modules, {"tensorrt": trt, "cuda.bindings.runtime": cuda}):
        yield


def engine(tmp_path: Path) -> tuple[Cell, FakeTensorRT]:
    """A cell of a plan alone: its model has no ONNX file that a target could read names from."""
    made = cell(tmp_path)
    plan = tmp_path / "toy.plan"
    plan.write_bytes(json.dumps({"model": made.model.path}).encode())
    form = ModelForm(Format.ENGINE, str(plan), "0" * 64)
    alone = replace(made.model, path=str(plan), format=Format.ENGINE, forms=(form,))
    return replace(made, model=alone, form=form, cache=""), FakeTensorRT(FakeCudart())


def test_it_runs_and_names_its_outputs_itself(tmp_path: Path) -> None:
    asked, trt = engine(tmp_path)
    (feed,) = feeds(asked)
    with installed(trt), tensorrt_engine.open_engine(asked, tmp_path) as session:
        got = session.infer(feed)
        runs = session.time([feed], asked)
    assert list(got) == ["same", "scores"]
    np.testing.assert_array_equal(got["scores"], feed["x"] * 2)
    assert len(runs.timed.samples_ns) == 20
    np.testing.assert_array_equal(runs.last["scores"], feed["x"] * 2)
    assert trt.cuda.held == {}
    assert trt.configs == []  # nothing was built


def test_beside_an_onnx_file_outputs_have_that_files_names_and_types(tmp_path: Path) -> None:
    asked, trt = engine(tmp_path)
    both = replace(asked.model, path=str(tmp_path / "toy.onnx"), format=Format.ONNX)
    beside = replace(asked, model=both)
    with installed(trt), tensorrt_engine.open_engine(beside, tmp_path) as session:
        assert list(session.infer(feeds(asked)[0])) == ["same", "scores"]


def test_its_inputs_are_told_by_the_engine_with_what_may_vary_left_open(tmp_path: Path) -> None:
    asked, trt = engine(tmp_path)
    assert asked.form
    with installed(trt):
        told = tensorrt_engine.describe(asked.form)
    assert told.specs == (InputSpec("x", 1, (None, 3)), InputSpec("ids:0", 7, (2,)))
    assert told.examples == {}


def test_an_engine_of_another_version_says_so_and_gives_memory_back(tmp_path: Path) -> None:
    asked, trt = engine(tmp_path)
    trt.refuses = "deserialize"
    with (
        pytest.raises(EngineFailedError, match="built by another version; an engine runs on"),
        installed(trt),
        tensorrt_engine.open_engine(asked, tmp_path),
    ):
        pass
    assert trt.cuda.held == {}


def test_without_the_package_it_declines(tmp_path: Path) -> None:
    asked, _ = engine(tmp_path)
    with (
        pytest.raises(Unsupported, match="tensorrt"),
        installed(None),
        tensorrt_engine.open_engine(asked, tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    ("versions", "can"),
    [({"tensorrt-cu13": "10"}, True), ({"tensorrt_rtx": "1"}, False), ({}, False)],
)
def test_a_package_of_tensorrt_serves_it_and_rtx_does_not(
    versions: dict[str, str], can: bool
) -> None:
    assert (tensorrt_engine.BACKEND.missing(ProbeResult(versions=versions)) == "") is can
