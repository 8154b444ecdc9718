"""The notebook of batch tables, its code run as it stands, on smaller models."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.asking import ROOT
from tests.frameworks.workplace import interpreter

pytestmark = pytest.mark.frameworks
NOTEBOOK = ROOT / "docs" / "notebooks" / "batch_tables.ipynb"
BROUGHT = "from IPython.display import Markdown"  # by JupyterLab, and not by us
SHOWN = "Markdown = print"


def test_its_tables_are_made_and_hold_what_was_measured(tmp_path: Path) -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(not c.get("outputs") for c in cells)
    code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    quick = code.replace('    f"{NETWORKS}.classifiers:densenet201",\n', "")
    quick = quick.replace("dense_prediction:yolov5s", "detectors:retinanet")
    quick = quick.replace("dense_prediction:segresnet", "classifiers:crnn")
    assert quick.count("\n") == code.count("\n") - 1
    assert code.count(BROUGHT) == 1
    quick = quick.replace(BROUGHT, SHOWN)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{quick}\nprint(findings)"], cwd=tmp_path, capture_output=True,
        text=True, timeout=550, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg",
             "MPLCONFIGDIR": str(tmp_path / "matplotlib"), "EP_PERF_TORCH_PYTHON": interpreter("torch")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [x for x in done.stdout.splitlines() if x.startswith("|")]
    assert "Torch fp32 (items/sec)" in lines[0]
    rows = [[c.strip() for c in x.strip("|").split("|")] for x in lines[2:6]]
    assert [r[:2] for r in rows] == [
        ["crnn", "1"],
        ["crnn", "4"],
        ["retinanet", "1"],
        ["retinanet", "4"],
    ]
    assert all(float(r[2].strip("*")) > 0 for r in rows)
    assert "### retinanet, Batch Size=4" in done.stdout
    assert "knee" in done.stdout
