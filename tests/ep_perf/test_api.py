"""Runs made and read from Python, and the notebook that shows it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ep_perf
from perf.request.bad_request import BadRequestError
from perf.schema.record import Mismatched, Passed
from tests import models
from tests.asking import ROOT

NOTEBOOK = ROOT / "docs" / "notebooks" / "measure_and_read.ipynb"


def quick(model: str, **flags: Any) -> ep_perf.LoadedRun:
    return ep_perf.run(
        model, targets="cpu", input_data="zoo", test_times=4, launches=2, warmup=1, **flags
    )


def test_a_run_comes_back_as_records_and_frames(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    models.linear(home / "models" / "wrong", error=1.0)
    run = quick("models", label="mine", strict=True)
    assert run.label == "mine"
    by_model = {r.cell.model.name: r.outcome for r in run.records}
    assert isinstance(by_model["relu"], Passed)
    assert isinstance(by_model["wrong"], Mismatched)
    assert list(dict.fromkeys(run.cells["cell"])) == [r.cell.id for r in run.records]
    relu = run.samples[run.samples["model"] == "relu"]
    assert len(relu) == 2 * 4
    (row,) = (r for r in run.rows if r.model == "relu")
    assert row.p50_ms == pytest.approx(relu["ms"].median(), rel=1e-3)
    assert set(run.launches["kind"]) == {"check", "measure"}
    again = ep_perf.load()
    assert (again.run_id, again.records) == (run.run_id, run.records)


def test_what_cannot_be_run_is_an_error_with_the_runs_own_line(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    with pytest.raises(
        ep_perf.RunFailedError, match=r"nowhere\.onnx: no such model list"
    ) as raised:
        quick("nowhere.onnx")
    assert raised.value.status == 2
    with pytest.raises(BadRequestError, match="holds 0 runs"):
        ep_perf.load()
    with pytest.raises(AttributeError, match="has no attribute 'lode'"):
        ep_perf.lode  # noqa: B018


def test_the_notebook_runs(home: Path) -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    assert all(not c.get("outputs") for c in cells)
    script = "\n".join(code).replace('MODEL = "model_list.json"', 'MODEL = "models"')
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=home, capture_output=True, text=True, timeout=300,
        check=False, env={**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg",
                          "MPLCONFIGDIR": str(home / "matplotlib")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
