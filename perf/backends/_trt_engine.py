"""The engine of a cell by a TensorRT package: which package, and its plan built under a lock or read."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from perf.backends import Unsupported, _trt_builder, _trt_cache
from perf.backends._onnx_header import Header
from perf.backends._trt_values import profiles_for
from perf.core.cell import Cell


def plan(
    cell: Cell, folder: Path, trt: Any, heard: _trt_builder.Heard, model: str, header: Header
) -> tuple[bytes, bool]:
    """The serialized engine, built under its lock where it is not cached yet."""
    shapes = profiles_for(cell, header)
    cache = Path(cell.cache) if cell.cache else folder
    maker = f"{trt.__name__} {trt.__version__}"
    file = _trt_cache.engine_file(cell, cache, maker, model, shapes)
    with _trt_cache.locked(file):
        if file.exists():
            return file.read_bytes(), True
        timings = _trt_cache.timing_cache(cell, file, cell.options)
        recipe = _trt_builder.Recipe(
            model=model,
            precision=cell.target.precision,
            tf32=cell.tf32,
            profiles=shapes,
            workspace_bytes=int(cell.options.get("trt_max_workspace_size", "0")),
            optimization_level=int(cell.options.get("trt_builder_optimization_level", "-1")),
            timing_cache=timings.read_bytes() if timings.exists() else b"",
        )
        built = _trt_builder.build(trt, recipe, heard)
        with _trt_cache.made_aside(file) as aside:
            aside.write_bytes(built.engine)
        with _trt_cache.made_aside(timings) as aside:
            aside.write_bytes(built.timing_cache)
        return built.engine, False


def first(packages: Sequence[str], load: Callable[[str], Any]) -> Any:
    """The first of these packages that is there; raises Unsupported for none."""
    for name in packages:
        with contextlib.suppress(ModuleNotFoundError):
            return load(name)
    raise Unsupported(f"neither trtexec nor one of the packages {', '.join(packages)} is there")


def cuda_runtime(load: Callable[[str], Any]) -> Any:
    """cuda-bindings' runtime module; raises Unsupported where it is not."""
    try:
        return load("cuda.bindings.runtime")
    except ModuleNotFoundError:
        raise Unsupported("cuda-bindings is not installed; pip install cuda-bindings") from None
