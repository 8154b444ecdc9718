"""A TensorRT engine that was serialized elsewhere, run by the tensorrt package of the same version."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from perf.backends import Backend, ModelInputs, ProbeResult, Session, TargetSpec
from perf.backends._tensorrt import builder, dtypes, onnx_header
from perf.backends._tensorrt.cuda_runtime import Cuda
from perf.backends._tensorrt.onnx_header import Header, HeaderValue
from perf.backends._tensorrt.python_session import (
    EngineFailedError,
    PackageSession,
    import_cuda_runtime,
    import_tensorrt,
)
from perf.machine.gpus import device_ordinal
from perf.schema.cell import Cell, Precision
from perf.schema.model_form import Format, InputSpec, ModelForm

PACKAGES = ("tensorrt", "tensorrt_bindings")


@contextlib.contextmanager
def open_engine(cell: Cell, launch_dir: Path) -> Iterator[Session]:
    """Deserialize the engine and make its buffers; it computes in what it was built to."""
    assert cell.form is not None  # planning gives this target no other cells
    trt, runtime = import_tensorrt(PACKAGES), import_cuda_runtime()
    cuda = Cuda(runtime, device_ordinal(cell.device, os.environ.get("CUDA_VISIBLE_DEVICES")))
    try:
        engine = deserialized(trt, cell.form.path)
        yield PackageSession(cell, trt, cuda, engine, header_of(trt, engine, cell), True)
    finally:
        cuda.close()


def describe(form: ModelForm) -> ModelInputs:
    """What an engine takes, as it says itself; a dimension that may vary is open."""
    trt = import_tensorrt(PACKAGES)
    inputs, _ = _tensors(trt, deserialized(trt, form.path))
    return ModelInputs(tuple(InputSpec(v.name, v.onnx_type, v.dims) for v in inputs))


def deserialized(trt: Any, path: str) -> Any:
    """An engine from its file; raises EngineFailedError with what TensorRT says of it."""
    log = builder.TrtLog(trt)
    engine = trt.Runtime(log.logger).deserialize_cuda_engine(Path(path).read_bytes())
    if engine is None:
        why = log.errors_text() or "the engine could not be read"
        raise EngineFailedError(
            f"{path}: {why}; an engine runs on the TensorRT version and the kind of GPU that it was built for"
        )
    return engine


def header_of(trt: Any, engine: Any, cell: Cell) -> Header:
    """The names and types of its outputs: those of the ONNX file beside it, else the engine's own."""
    if cell.model.format is Format.ONNX:
        return onnx_header.read(Path(cell.model.path))
    return Header(*_tensors(trt, engine))


def _tensors(trt: Any, engine: Any) -> tuple[tuple[HeaderValue, ...], tuple[HeaderValue, ...]]:
    """An engine's inputs and outputs, in its own order."""
    from perf.measure import tensor_io

    inputs: list[HeaderValue] = []
    outputs: list[HeaderValue] = []
    for i in range(engine.num_io_tensors):
        name = engine.get_tensor_name(i)
        kind = dtypes.numpy_of_engine_type(engine.get_tensor_dtype(name).name)
        dims = tuple(None if n < 0 else int(n) for n in engine.get_tensor_shape(name))
        value = HeaderValue(name, tensor_io.ONNX_OF[kind], dims)
        taken = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        (inputs if taken else outputs).append(value)
    return tuple(inputs), tuple(outputs)


def _missing(found: ProbeResult) -> str:
    if any(v.startswith("tensorrt") and "rtx" not in v for v in found.versions):
        return ""
    return (
        "no tensorrt package there; install tensorrt of the version that built the engine, "
        "and cuda-bindings"
    )


BACKEND = Backend(
    targets=(
        TargetSpec("tensorrt", Precision.FP32, ("tensorrt_engine",)),
        TargetSpec("tensorrt", Precision.FP16, ("tensorrt_engine_fp16",), default=False),
        TargetSpec("tensorrt", Precision.INT8, ("tensorrt_engine_int8",), default=False),
    ),
    open=open_engine,
    missing=_missing,
    needs_gpu=True,
    formats=(Format.ENGINE,),
    describe=describe,
)
