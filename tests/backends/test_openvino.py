"""OpenVINO for real, in the environment that the harness builds for it."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perf.backends import ProbeResult, openvino
from perf.measure import tensor_io
from perf.schema import cell as cells
from perf.schema.cell import Cell, Io
from tests import models
from tests.inprocess.asking import cell, model_file, stored_sets

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".envs/openvino/bin/python"  # built by: python -m perf.cli.env build openvino
WORK = """
import json, sys
from pathlib import Path
from perf.backends import openvino
from perf.measure import tensor_io
from perf.schema import cell as cells, codec
cell = cells.read_cell(Path(sys.argv[1]))
feeds = [tensor_io.load_inputs(s) for s in cell.sets]
with openvino.BACKEND.open(cell, Path(sys.argv[1]).parent) as session:
    outputs = [session.infer(f)["y"].tolist() for f in feeds]
    placed, timed = session.placement(), session.time(feeds, cell).timed
told = {"outputs": outputs, "placed": codec.encode(placed), "timed": codec.encode(timed)}
Path(sys.argv[2]).write_text(json.dumps(told))
"""


def asking(tmp_path: Path, **more: Any) -> Cell:
    folder = models.linear(tmp_path / "m")
    asked = cell(model_file(folder), openvino.BACKEND.provider, **more)
    return replace(asked, sets=stored_sets(folder, tmp_path / "o"))


def work(asked: Cell, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    cells.write_cell(asked, tmp_path / "cell.json")
    argv = [str(PYTHON), "-c", WORK, str(tmp_path / "cell.json"), str(tmp_path / "told.json")]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("io", list(Io))
def test_it_runs_on_openvino_and_is_right(tmp_path: Path, io: Io) -> None:
    asked = asking(tmp_path, io=io)
    ended = work(asked, tmp_path)
    assert ended.returncode == 0, ended.stderr
    told = json.loads((tmp_path / "told.json").read_text())
    for one, got in zip(asked.sets, told["outputs"], strict=True):
        np.testing.assert_allclose(got, tensor_io.load_expected(one)["y"], rtol=1e-5, atol=1e-6)
    assert (
        set(told["placed"]["nodes"])
        == set(told["placed"]["host_time_us"])
        == {openvino.BACKEND.provider}
    )
    assert (len(told["timed"]["samples_ns"]), told["timed"]["io"]) == (5, io.value)


def test_an_option_that_it_does_not_know_is_an_error(tmp_path: Path) -> None:
    ended = work(asking(tmp_path, options={"no_such_option": "1"}), tmp_path)
    assert ended.returncode == 1
    assert "no_such_option" in ended.stderr or "Invalid OpenVINO EP option" in ended.stderr


def test_without_its_build_it_says_so() -> None:
    assert "onnxruntime-openvino" in openvino.BACKEND.missing(
        ProbeResult(providers=("CPUExecutionProvider",))
    )
    assert openvino.BACKEND.missing(ProbeResult(providers=(openvino.BACKEND.provider,))) == ""
