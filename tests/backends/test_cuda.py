"""What the CUDA and TensorRT backends ask of ONNX Runtime, and say is missing: no engine is loaded here."""

import os
from pathlib import Path

import pytest

from perf.backends import ProbeResult, Unsupported, cuda, tensorrt
from perf.schema.cell import Cell, Precision
from perf.schema.shape_profiles import parse_profiles, to_options
from tests.inprocess.asking import cell, model_file

GPU = ("NVIDIA H100 80GB HBM3",)
BUILT = ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider")


def asking(precision: Precision = Precision.FP32, **more: object) -> Cell:
    model = model_file(Path("/nowhere/m"), path_fp16=more.pop("path_fp16", None))
    return cell(model, cuda.NAME, precision=precision, **more)


@pytest.mark.parametrize("tf32", [False, True])
def test_the_math_mode_and_the_device_are_asked_for(tf32: bool) -> None:
    asked = asking(tf32=tf32, device=1, options={"cudnn_conv_algo_search": "HEURISTIC"})
    assert cuda.cuda_options(asked) == {
        "device_id": "1", "use_tf32": str(int(tf32)), "cudnn_conv_algo_search": "HEURISTIC",
    }  # fmt: skip


def test_libraries_are_held_to_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    cuda.preload(asking(tf32=True))
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "1"
    cuda.preload(asking(tf32=False))
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"


def test_fp16_on_cuda_is_a_converted_model() -> None:
    assert cuda.model_path(asking()) == "/nowhere/m/model.onnx"
    assert cuda.model_path(asking(Precision.FP16, path_fp16="/half.onnx")) == "/half.onnx"
    with pytest.raises(Unsupported, match="converted model"):
        cuda.model_path(asking(Precision.FP16))


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
def test_tensorrt_gets_its_precision_caches_and_profiles(
    tmp_path: Path, precision: Precision
) -> None:
    profiles = to_options(parse_profiles(["x=1x3:4x3:8x3"]))
    cache = tmp_path / "cache"
    options = tensorrt.options(asking(precision, cache=str(cache), options=profiles))
    assert options["trt_fp16_enable"] == ("1" if precision is Precision.FP16 else "0")
    assert options["trt_engine_cache_path"] == options["trt_timing_cache_path"] == str(cache)
    assert options["trt_profile_max_shapes"] == "x:8x3"
    assert cache.is_dir()


def test_what_tensorrt_leaves_runs_on_cuda_with_cuda_s_options() -> None:
    """The second provider, as seed 004's table has it; given in --cuda_ep_options."""
    asked = asking(options={"beneath.cudnn_conv_algo_search": "DEFAULT", "trt_dla_enable": "0"})
    (first, mine), (second, beneath), (last, _) = tensorrt.providers(asked)
    assert (first, second, last) == BUILT
    assert "trt_dla_enable" in mine
    assert not any("cudnn" in k for k in mine)
    assert beneath == {
        "device_id": "0", "use_tf32": "0", "cudnn_conv_algo_search": "DEFAULT",
    }  # fmt: skip


def test_without_a_cache_no_engine_is_kept() -> None:
    assert not any("cache" in k for k in tensorrt.options(asking()))


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (ProbeResult(providers=BUILT), "no device"),
        (
            ProbeResult(providers=("CPUExecutionProvider",), gpus=GPU),
            "built without CUDAExecutionProvider",
        ),
        (ProbeResult(providers=BUILT, gpus=GPU), ""),
    ],
)
def test_cuda_says_what_is_missing(found: ProbeResult, says: str) -> None:
    reason = cuda.missing(found)
    assert says in reason if says else reason == ""


@pytest.mark.parametrize(
    ("versions", "says"),
    [
        ({"tensorrt": "11.4.0.106"}, "TensorRT 11 is there"),
        ({"tensorrt-cu13": "10.16.1.11"}, ""),
        ({"tensorrt-rtx-cu13-libs": "11.7"}, ""),
        ({}, ""),
    ],
)
def test_tensorrt_says_what_is_missing(versions: dict[str, str], says: str) -> None:
    reason = tensorrt.missing(ProbeResult(providers=BUILT, gpus=GPU, versions=versions))
    assert says in reason if says else reason == ""
    assert "no device" in tensorrt.missing(ProbeResult(providers=BUILT, versions=versions))
