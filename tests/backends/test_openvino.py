"""What OpenVINO is asked for, and what it says without its build; the contract runs it."""

import json
import subprocess
from pathlib import Path

from perf.backends import ProbeResult, openvino
from perf.schema import cell as cells
from perf.schema.cell import Protocol
from tests import models
from tests.inprocess.asking import cell, model_file

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".envs/openvino/bin/python"  # built by: python -m perf.cli.env build openvino
OPEN = """
import json, sys
from pathlib import Path
from perf.backends import openvino
from perf.schema import cell as cells
cell = cells.read_cell(Path(sys.argv[1]))
try:
    with openvino.BACKEND.open(cell, Path(sys.argv[1]).parent):
        print(json.dumps("opened"))
except Exception as e:
    print(json.dumps(str(e)))
"""


def test_an_option_that_it_does_not_know_is_an_error(tmp_path: Path) -> None:
    model = model_file(models.linear(tmp_path / "m"))
    wanted = cell(model, openvino.BACKEND.provider, options={"no_such_option": "1"})
    cells.write_cell(wanted, tmp_path / "cell.json")
    argv = [str(PYTHON), "-c", OPEN, str(tmp_path / "cell.json")]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    reason = json.loads(done.stdout.splitlines()[-1])
    assert "no_such_option" in reason or "Invalid OpenVINO EP option" in reason


def test_it_computes_in_fp32_and_with_as_many_threads_as_the_cell_says() -> None:
    plain = cell(model_file(Path("/nowhere/m")), openvino.BACKEND.provider)
    assert openvino.options(plain) == {"device_type": "CPU", "precision": "FP32"}
    two = cell(plain.model, protocol=Protocol(intra_op_threads=2), options={"device_type": "GPU"})
    assert openvino.options(two) == {
        "device_type": "GPU", "precision": "FP32", "num_of_threads": "2",
    }  # fmt: skip


def test_without_its_build_it_says_so() -> None:
    found = ProbeResult(providers=("CPUExecutionProvider",))
    assert "onnxruntime-openvino" in openvino.BACKEND.missing(found)
    assert openvino.BACKEND.missing(ProbeResult((openvino.BACKEND.provider,))) == ""
