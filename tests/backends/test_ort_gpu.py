"""The real onnxruntime-gpu without CUDA, TensorRT or a GPU: what it does then, and what is made of that.

Its environment is built by `make test` (tests/environments.toml). Where a board must be seen for a cell to
be tried at all, a fake of NVML (a library we do not own) shows one.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from perf.backends import tensorrt
from perf.schema.record import FellBack, Raised, Skipped
from tests.asking import ROOT, Said, ask

GPU_BUILD = ROOT / ".envs/ort_gpu/bin/python"
NVML = str(ROOT / "tests" / "fakes" / "nvml")
MODEL = Path(onnxruntime.__file__).parent / "datasets" / "mul_1.onnx"
ASK = """
import json, sys, warnings
import onnxruntime as ort
told = []
for providers, fallback, config, added in json.loads(sys.argv[1]):
    options = ort.SessionOptions()
    for key, value in config.items():
        options.add_session_config_entry(key, value)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            if added:
                options.add_provider(added, {})
            s = ort.InferenceSession(sys.argv[2], options, providers=providers, enable_fallback=fallback)
            told.append([s.get_providers(), len(warned)])
        except Exception as e:
            told.append([type(e).__name__, str(e)])
print("\\n" + json.dumps({"there": ort.get_available_providers(), "device": ort.get_device(), "told": told}))
"""
CPU, CUDA, TRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
STRICT = {"session.disable_cpu_ep_fallback": "1"}


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """What one process of the real package answers to every request of the table, in its order."""
    requests: list[tuple[list[str], int, dict[str, str], str]] = [
        ([CUDA, CPU], 0, {}, ""),
        ([TRT, CPU], 1, {}, ""),
        ([TRT, CPU], 0, {}, ""),
        ([CUDA], 0, STRICT, ""),
        ([], 0, {}, CUDA),
        (["OpenVINOExecutionProvider", CPU], 0, {}, ""),
    ]
    done = subprocess.run(
        [GPU_BUILD, "-c", ASK, json.dumps(requests), str(MODEL)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {**said, "stdout": done.stdout, "stderr": done.stderr}


def test_what_it_lists_proves_nothing(told: dict[str, Any]) -> None:
    assert told["there"] == [TRT, CUDA, CPU]
    assert told["device"] == "GPU"


def test_cuda_without_its_libraries_is_the_cpu_without_a_warning(told: dict[str, Any]) -> None:
    assert told["told"][0] == [[CPU], 0]
    assert "libcublasLt.so.13: cannot open" in told["stderr"]


def test_tensorrt_falls_back_on_stdout_where_that_is_allowed_and_raises_where_not(
    told: dict[str, Any],
) -> None:
    assert told["told"][1][0] == [CPU]
    assert "*** EP Error ***" in told["stdout"]
    error, text = told["told"][2]
    assert error == "RuntimeError"
    assert "Please install TensorRT libraries" in text


def test_the_loud_ways(told: dict[str, Any]) -> None:
    assert told["told"][3][0] == "Fail"
    assert told["told"][4][0] == "InvalidArgument"


def test_a_provider_that_is_not_in_the_build_is_a_warning(told: dict[str, Any]) -> None:
    providers, warnings = told["told"][5]
    assert providers == [CPU]
    assert warnings == 1


@pytest.fixture(scope="module")
def said(shared_home: Path) -> Said:
    """A run on it, on a machine whose NVML shows a board."""
    return run(shared_home, "cuda", "cuda:fp16", "trt")


def run(home: Path, *words: str) -> Said:
    targets = [f"{t}{p}" for t in (CUDA, TRT) for p in ("", "_fp16")]
    (home / "environments.toml").write_text(
        f'[current]\npython = "current"\n\n[gpu]\npython = "{GPU_BUILD}"\ntargets = {json.dumps(targets)}\n'
    )
    quick = ("-i", "zoo", "-t", "4", "--launches", "1", "-r", "both", "--models", "relu")
    boards = {"PYTHONPATH": NVML, "CUDA_VISIBLE_DEVICES": "0"}
    return ask(home, *quick, "-e", *words, env=boards)


def test_libraries_that_are_missing_are_no_latency_of_cuda(said: Said) -> None:
    for target, nodes in ((CUDA, 1), (f"{CUDA}_fp16", 3)):
        record = said.records[f"relu::{target}"]
        assert record.outcome == FellBack(
            f"none of {nodes} nodes ran on {CUDA} ({nodes} on {CPU})"
        )
        assert said.cells[record.cell.id]["p50_ms"] is None
        assert said.table("latency")[0][f"{target} mean (ms)"] == ""


def test_the_library_that_tensorrt_lacks_is_named_in_one_line(said: Said) -> None:
    outcome = said.records[f"relu::{TRT}"].outcome
    assert isinstance(outcome, Raised)
    assert outcome.message.startswith("TensorRT cannot be loaded: lib")
    assert "cannot open shared object file" in outcome.message
    assert "tensorrt-cu13>=10.13,<11" in outcome.message
    assert "\n" not in outcome.message


def test_an_option_that_tensorrt_does_not_know_is_one_clear_line(home: Path) -> None:
    said = run(home, "trt", "--trt_ep_options", "trt_min_subgraphs_size=3")
    assert said.records[f"relu::{TRT}"].outcome == Skipped(
        "option 'trt_min_subgraphs_size' is not known to the TensorRT EP of this onnxruntime; nearest are "
        "trt_min_subgraph_size, trt_dump_subgraphs"
    )


def test_the_options_are_the_library_s_own(tmp_path: Path) -> None:
    """Those that ORT's bindings read from Python are all found in the provider's file."""
    capi = next(GPU_BUILD.parents[1].glob("lib/python*/site-packages/onnxruntime/capi"))
    mine = tensorrt.library_options(capi / tensorrt.LIBRARY)
    bindings = tensorrt.library_options(next(capi.glob("onnxruntime_pybind11_state*.so")))
    assert len(bindings) > 30
    assert bindings <= mine
    assert {"trt_fp16_enable", "trt_profile_opt_shapes", "trt_timing_cache_path"} <= mine
    for nothing in (None, tmp_path / "lib.so"):
        (tmp_path / "lib.so").write_bytes(b"\x7fELF")
        assert tensorrt.unknown_option(["trt_anything"], nothing) == ""
