"""TensorRT for RTX for real: parser, profiles and builder need no GPU; and what is said without one."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from perf.backends import ProbeResult, tensorrt_rtx
from perf.schema import cell as cells
from tests import models
from tests.fakes.trt_cells import cell

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".envs/rtx/bin/python"  # built by: python -m perf.cli.env build rtx
LIBCUDA = ROOT / "tests/fakes/libcuda.c"
DRIVER = Path("/proc/driver/nvidia/version")
BUILD = """
import importlib, json, sys
from pathlib import Path
from perf.backends._tensorrt import builder
from perf.schema.cell import Precision
from perf.schema.shape_profiles import ShapeProfile
trt = importlib.import_module("tensorrt_rtx_bindings")
results = []
for job in json.loads(sys.argv[1]):
    log = builder.TrtLog(trt)
    profiles = [ShapeProfile(n, *map(tuple, s)) for n, s in job.get("profiles", {}).items()]
    request = builder.BuildRequest(
        job["model"], Precision(job.get("precision", "fp32")), False, profiles,
        workspace_bytes=job.get("workspace", 0), timing_cache=bytes.fromhex(job.get("timings", "")),
        compute_capabilities=job.get("for", ["SM120"]),
    )
    try:
        plan, timings = builder.build(trt, request, log)
    except Exception as e:
        results.append({"error": type(e).__name__, "says": str(e)})
    else:
        results.append({"bytes": len(plan), "timings": timings.hex(), "regime": builder.typing_regime(trt, request.precision)})
Path(sys.argv[2]).write_text(json.dumps(results))
"""
OPEN = """
import sys
from pathlib import Path
from perf.backends import Unsupported, tensorrt_rtx
from perf.schema import cell as cells
try:
    with tensorrt_rtx.BACKEND.open(cells.read_cell(Path(sys.argv[1])), Path(sys.argv[1]).parent):
        print("opened")
except Unsupported as e:
    print("declined:", e)
"""


def build(tmp_path: Path, *jobs: dict[str, Any]) -> list[dict[str, Any]]:
    out = tmp_path / "results.json"
    done = subprocess.run(
        [PYTHON, "-c", BUILD, json.dumps(jobs), str(out)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results: list[dict[str, Any]] = json.loads(out.read_text())
    return results


def model(folder: Path) -> str:
    return str(folder / "model.onnx")


def test_engines_are_built_without_a_gpu_and_say_how_they_are_typed(tmp_path: Path) -> None:
    relu, linear = models.relu(tmp_path / "r"), models.linear(tmp_path / "l")
    profiles = {"x": [[1, 8], [2, 8], [4, 8]]}
    plain, shaped, wide = build(
        tmp_path,
        {"model": model(relu), "workspace": 2**20},
        {"model": model(linear), "profiles": profiles},
        {"model": model(linear), "profiles": profiles, "for": ["SM86", "SM89", "SM120"]},
    )
    assert plain["bytes"] > 1000
    assert shaped["bytes"] > 1000
    assert (
        wide["bytes"] > shaped["bytes"]
    )  # an engine for three boards holds more than one for one
    assert plain["regime"] == "tensorrt_rtx 1.7.1.116, strongly typed model"


def test_a_timing_cache_is_taken_back(tmp_path: Path) -> None:
    job = {"model": model(models.relu(tmp_path / "r"))}
    (first,) = build(tmp_path, job)
    (second,) = build(tmp_path, {**job, "timings": first["timings"]})
    assert second["bytes"] == first["bytes"]
    assert second["timings"]


def test_a_half_precision_model_is_built_as_it_is_typed(tmp_path: Path) -> None:
    halves = [helper.make_node("Relu", ["x"], ["y"])]
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT16, [2, 8]) for n in ("x", "y")]
    made = helper.make_model(
        helper.make_graph(halves, "g", infos[:1], infos[1:]),
        ir_version=8,
        opset_imports=[helper.make_opsetid("", 17)],
    )
    onnx.save(made, tmp_path / "half.onnx")
    (results,) = build(tmp_path, {"model": str(tmp_path / "half.onnx"), "precision": "fp16"})
    assert results["bytes"] > 1000


def test_what_the_parser_and_the_builder_refuse_is_said_in_one_line(tmp_path: Path) -> None:
    linear = models.linear(tmp_path / "l")
    torn = tmp_path / "torn.onnx"
    torn.write_bytes((linear / "model.onnx").read_bytes()[:80])
    unknown = helper.make_model(
        helper.make_graph(
            [helper.make_node("NoSuchOperator", ["x"], ["y"], name="odd")], "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        ),
        ir_version=8, opset_imports=[helper.make_opsetid("", 17)],
    )  # fmt: skip
    onnx.save(unknown, tmp_path / "unknown.onnx")
    results = build(
        tmp_path,
        {"model": model(linear)},
        {"model": str(torn)},
        {"model": str(tmp_path / "unknown.onnx")},
        {"model": str(tmp_path / "nowhere.onnx")},
    )
    assert [t["error"] for t in results] == ["Unsupported", *["BuildFailedError"] * 3]
    assert results[0]["says"] == "input 'x' has no profile; give --trt_profile x=MIN:OPT:MAX"
    assert "NoSuchOperator" in results[2]["says"]
    assert all("\n" not in t["says"] for t in results)


def opened(tmp_path: Path, **variables: str) -> str:
    cells.write_cell(cell(tmp_path), tmp_path / "cell.json")
    done = subprocess.run(
        [PYTHON, "-c", OPEN, str(tmp_path / "cell.json")],
        cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, **variables},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(
    DRIVER.exists(), reason="this machine has a driver: what is tested is its absence"
)
def test_without_a_driver_a_cell_is_declined(tmp_path: Path) -> None:
    """The real package and the real cuda-bindings."""
    assert opened(tmp_path).startswith("declined: no CUDA device: cudaErrorInsufficientDriver")


@pytest.mark.needs("cc", "gcc libc6-dev")
def test_with_a_driver_and_no_device_a_cell_is_declined(tmp_path: Path) -> None:
    """The real package and the real cuda-bindings, over a stub of libcuda."""
    stub = tmp_path / "stub" / "libcuda.so.1"
    stub.parent.mkdir()
    subprocess.run(["cc", "-shared", "-fPIC", "-o", stub, LIBCUDA], check=True)
    done = opened(tmp_path, LD_LIBRARY_PATH=str(stub.parent))
    assert done.startswith("declined: no CUDA device: cudaErrorNoDevice")


@pytest.mark.parametrize("name", ["tensorrt-rtx-cu13-libs", "tensorrt_rtx"])
def test_it_is_found_by_its_distribution(name: str) -> None:
    assert tensorrt_rtx.BACKEND.missing(ProbeResult(versions={name: "1.7"})) == ""
    assert "tensorrt-rtx-cu13-bindings==1.7.1.116" in tensorrt_rtx.BACKEND.missing(ProbeResult())
