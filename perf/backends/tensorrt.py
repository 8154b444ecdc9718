"""The TensorRT execution provider of onnxruntime-gpu, its engines cached, in fp32 or by its fp16 flag."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from perf.backends import (
    FALLBACK_EP_PREFIX,
    Backend,
    ProbeResult,
    Session,
    TargetSpec,
    Unsupported,
    cuda,
)
from perf.backends._ort import session as ort_session
from perf.backends._tensorrt import ep_options, ep_session, onnx_header, values
from perf.schema import shape_profiles
from perf.schema.cell import Cell, Precision

NAME = "TensorrtExecutionProvider"
OURS = frozenset(("build", "gpu_only"))  # options of a cell that are none of the provider's
NEEDS = "tensorrt-cu13>=10.13,<11 and CUDA 13 with cuDNN 9 on the library path"
NEWEST = 10  # the major version that ORT's provider is linked against; 11 has no fp16 builder flag


class LibraryMissingError(Exception):
    """A library that ONNX Runtime's TensorRT provider needs is not there; the message names it."""


@contextlib.contextmanager
def open_(cell: Cell, launch_dir: Path) -> Iterator[Session]:
    """A session on TensorRT, then CUDA, then the CPU; the first session of a cache builds its engines.

    Raises Unsupported for an option that the library does not know, LibraryMissingError where it cannot load.
    """
    asked = providers(cell)
    library = ep_options.library()
    if reason := ep_options.unknown(asked[0][1], library):
        raise Unsupported(reason)
    cuda.preload(cell)
    opening = ort_session.Opening(
        cell.model.path,
        asked,
        device="cuda",
        device_id=cuda.device_number(cell),
        cached=_cached(cell),
    )
    with contextlib.ExitStack() as held:
        try:
            session = held.enter_context(ort_session.open_session(cell, launch_dir, opening))
        except RuntimeError as e:
            if "install TensorRT" not in str(e) or not (why := ep_options.cannot_load(library)):
                raise
            raise LibraryMissingError(f"TensorRT cannot be loaded: {why}; it needs {NEEDS}") from e
        yield ep_session.WatchedSession(session, cell)


def providers(cell: Cell) -> ort_session.Providers:
    """TensorRT, then CUDA for the nodes that it leaves, with the options the user gave CUDA; then the CPU."""
    beneath = {
        k.removeprefix(FALLBACK_EP_PREFIX): v
        for k, v in cell.options.items()
        if k.startswith(FALLBACK_EP_PREFIX)
    }
    device = {"device_id": str(cuda.device_number(cell)), "use_tf32": str(int(cell.tf32))}
    return (
        (NAME, options(cell) | completed_profiles(cell)),
        (cuda.NAME, device | beneath),
        ("CPUExecutionProvider", {}),
    )


def options(cell: Cell) -> dict[str, str]:
    """The provider's options: precision, caches and device are the cell's, the rest what the user gave.

    Explicit profiles come in `cell.options` as trt_profile_min_shapes, _opt_shapes and _max_shapes.
    """
    out = {
        "device_id": str(cuda.device_number(cell)),
        "trt_fp16_enable": str(int(cell.target.precision is Precision.FP16)),
    }
    if cell.cache:
        Path(cell.cache).mkdir(parents=True, exist_ok=True)
        out |= {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": cell.cache,
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": cell.cache,
        }
    mine = {
        k: v
        for k, v in cell.options.items()
        if k not in OURS and not k.startswith(FALLBACK_EP_PREFIX)
    }
    return out | mine


def completed_profiles(cell: Cell) -> dict[str, str]:
    """Explicit profiles of all dynamic inputs, where one was given: ORT refuses them for only some.

    The others get what covers the shapes fed. A profile of a tensor inside the model stays as it is: where a
    graph is cut, a partition's inputs want them too. Several profiles of one input are ORT's own, and left to
    it. Raises Unsupported for a profile that does not serve what is fed, or is of no tensor of the model.
    """
    try:
        given = shape_profiles.from_options(cell.options)
    except ValueError:
        return {}
    if not given:
        return {}
    model = Path(cell.model.path)
    inputs = {v.name: v.dynamic for v in onnx_header.read(model).inputs}
    inner = [p for p in given if p.name not in inputs]
    if inner and (unknown := _absent(model, [p.name for p in inner])):
        raise Unsupported(f"--trt_profile: the model has no tensor {unknown!r}")
    try:
        whole = shape_profiles.merge_profiles(
            [p for p in given if p.name in inputs], values.fed_shapes(cell)
        )
        return dict(shape_profiles.to_options([*(p for p in whole if inputs[p.name]), *inner]))
    except ValueError as e:
        raise Unsupported(str(e)) from e


def _absent(model: Path, names: Sequence[str]) -> str:
    """The first of these names that is nowhere in the model's bytes, "" where all are there."""
    data = model.read_bytes()
    return next((n for n in names if n.encode() not in data), "")


def _cached(cell: Cell) -> bool:
    return bool(cell.cache) and next(Path(cell.cache).glob("*.engine"), None) is not None


def missing(found: ProbeResult) -> str:
    """What CUDA needs, and TensorRT 10, which ORT loads by that version's library name."""
    if reason := cuda.missing(found):
        return reason
    newest = max(
        (_major(v) for n, v in found.versions.items() if _is_tensorrt(n.lower())),
        default=None,
    )
    if newest is not None and newest > NEWEST:
        return f"TensorRT {newest} is there; onnxruntime-gpu needs tensorrt-cu13>=10.13,<11"
    return ort_session.missing_provider(
        found, NAME, "onnxruntime-gpu and tensorrt-cu13>=10.13,<11"
    )


def _is_tensorrt(name: str) -> bool:
    return name.startswith("tensorrt") and "rtx" not in name


def _major(version: str) -> int:
    head = version.split(".")[0]
    return int(head) if head.isdigit() else 0


BACKEND = Backend(
    targets=(
        TargetSpec(NAME, Precision.FP32, ("trt", "ORT-TRTFp32")),
        TargetSpec(NAME, Precision.FP16, ("trt:fp16", "ORT-TRTFp16")),
    ),
    open=open_,
    missing=missing,
    provider=NAME,
    preload=("numpy", "onnxruntime"),
    builds=True,
    needs_gpu=True,
    options_flag="trt_ep_options",
    fallback_options_flag="cuda_ep_options",
    takes_profiles=True,
)
