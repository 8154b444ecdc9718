"""The CUDA execution provider of onnxruntime-gpu, in fp32 or TF32, and in fp16 on a converted model."""

import os
from contextlib import AbstractContextManager
from pathlib import Path

from perf.backends import Backend, ProbeResult, Session, TargetSpec, Unsupported
from perf.backends._ort.graph_session import GraphSession
from perf.backends._ort.provider import missing_provider
from perf.backends._ort.session import OrtSession, Providers, SessionSpec
from perf.machine.gpus import device_ordinal
from perf.schema.cell import Cell, Precision

NAME = "CUDAExecutionProvider"


def open_session(cell: Cell, launch_dir: Path) -> AbstractContextManager[Session]:
    """A session on the CUDA device `cell.device`, nodes that CUDA lacks on the CPU."""
    preload(cell)
    providers: Providers = ((NAME, cuda_options(cell)), ("CPUExecutionProvider", {}))
    spec = SessionSpec(
        model_path(cell), providers, device="cuda", device_id=device_number(cell), typed=True
    )
    kind = GraphSession if cell.cuda_graph else OrtSession
    return kind.open(cell, launch_dir, spec)


def cuda_options(cell: Cell) -> dict[str, str]:
    """The provider's options: the device and the math mode are the cell's, the rest what the user gave."""
    asked = {"device_id": str(device_number(cell)), "use_tf32": str(int(cell.tf32))}
    graph = {"enable_cuda_graph": "1"} if cell.cuda_graph else {}
    return asked | dict(cell.options) | graph


def device_number(cell: Cell) -> int:
    """The device's number in this process, which may be given one device alone."""
    return device_ordinal(cell.device, os.environ.get("CUDA_VISIBLE_DEVICES"))


def model_path(cell: Cell) -> str:
    """The fp16 artefact for an fp16 target; raises Unsupported where there is none."""
    if cell.target.precision is Precision.FP32:
        return cell.model.path
    if cell.model.path_fp16 is None:
        raise Unsupported(
            "fp16 on the CUDA EP needs a converted model, and none was made or given"
        )
    return cell.model.path_fp16


def preload(cell: Cell) -> None:
    """Load CUDA and cuDNN from pip packages where they are there, and hold the libraries to the math mode."""
    if not cell.tf32:
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"  # cuBLAS and cuDNN read it when they are loaded
    import onnxruntime as ort

    if NAME in ort.get_available_providers() and hasattr(ort, "preload_dlls"):
        ort.preload_dlls()


def missing(found: ProbeResult) -> str:
    """It needs a device that NVML sees, and the GPU build."""
    if not found.gpus:
        return "no device: NVML sees no NVIDIA GPU; run on a machine with one and its driver"
    return missing_provider(found, NAME, "an environment with onnxruntime-gpu[cuda,cudnn]")


BACKEND = Backend(
    targets=(
        TargetSpec(NAME, Precision.FP32, ("cuda", "ORT-CUDAFp32")),
        TargetSpec(NAME, Precision.FP16, ("cuda:fp16", "ORT-CUDAFp16")),
    ),
    open=open_session,
    missing=missing,
    provider=NAME,
    preload=("numpy", "onnxruntime"),
    needs_gpu=True,
    half_artefact=True,
    options_flag="cuda_ep_options",
    cuda_graphs=True,
    watched=lambda _cell: True,
    stream_option="user_compute_stream",
)
