"""What the CUDA backend asks of ONNX Runtime, and says is missing: no engine is loaded here."""

import os
from pathlib import Path

import pytest

from perf.backends import ProbeResult, Unsupported, cuda
from perf.schema.cell import Cell, Precision
from tests.inprocess.asking import cell, model_file

GPU = ("NVIDIA H100 80GB HBM3",)


def cuda_cell(precision: Precision = Precision.FP32, **more: object) -> Cell:
    model = model_file(Path("/nowhere/m"), path_fp16=more.pop("path_fp16", None))
    return cell(model, cuda.NAME, precision=precision, **more)


@pytest.mark.parametrize("tf32", [False, True])
def test_the_math_mode_and_the_device_are_asked_for_and_libraries_held_to_them(
    monkeypatch: pytest.MonkeyPatch, tf32: bool
) -> None:
    wanted = cuda_cell(tf32=tf32, device=1, options={"cudnn_conv_algo_search": "HEURISTIC"})
    assert cuda.cuda_options(wanted) == {
        "device_id": "1", "use_tf32": str(int(tf32)), "cudnn_conv_algo_search": "HEURISTIC",
    }  # fmt: skip
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    cuda.preload(wanted)
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == str(int(tf32))


def test_fp16_on_cuda_is_a_converted_model() -> None:
    assert cuda.model_path(cuda_cell()) == "/nowhere/m/model.onnx"
    assert cuda.model_path(cuda_cell(Precision.FP16, path_fp16="/half.onnx")) == "/half.onnx"
    with pytest.raises(Unsupported, match="converted model"):
        cuda.model_path(cuda_cell(Precision.FP16))


def test_cuda_says_what_is_missing() -> None:
    built = (cuda.NAME, "CPUExecutionProvider")
    assert "no device" in cuda.missing(ProbeResult(providers=built))
    assert f"built without {cuda.NAME}" in cuda.missing(ProbeResult(built[1:], gpus=GPU))
    assert cuda.missing(ProbeResult(built, gpus=GPU)) == ""
