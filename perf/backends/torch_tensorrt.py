"""Torch-TensorRT: the parts of a module that TensorRT can run, as engines inside the module."""

import contextlib
import importlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from perf.backends import Backend, ProbeResult, Session, TargetSpec, Unsupported
from perf.backends._torch import loading
from perf.backends._torch.compiled import CompiledSession, count_calls, option_is_on
from perf.backends._torch.loading import LoadedModel
from perf.backends._torch.session import feeds_by_shape
from perf.backends._torch.setup import TorchSetup, compiler_caches, set_up, translate_errors
from perf.backends._torch.values import order_feed, to_tensor
from perf.backends.torch_script import example_call
from perf.schema import shape_profiles
from perf.schema.cell import Cell, Precision
from perf.schema.model_form import Format
from perf.schema.shape_profiles import ShapeProfile

NAME = "tensorrt"
CALIBRATION = "calibration_cache"  # a file that int8's scales are read from
OPTIONS = (
    "min_block_size", "optimization_level", "require_full_compilation", "workspace_size", CALIBRATION,
    *shape_profiles.KEYS,
)  # fmt: skip
_INSIDE, _LEFT = "_run_on_acc", "_run_on_gpu"  # submodules of a partitioned graph
_MIXED = {
    Precision.FP32_FP16: ("float16",),
    Precision.FP32_BF16: ("bfloat16",),
    Precision.FP32_BF16_FP16: ("bfloat16", "float16"),
}


@contextlib.contextmanager
def open_with(
    cell: Cell, launch_dir: Path, load: Callable[[str], Any] = importlib.import_module
) -> Iterator[Session]:
    """Compile, with engines from the cell's cache where another launch has built them."""
    assert cell.form is not None  # planning gives this target no other cells
    torch_tensorrt = _imported(load)
    setup = set_up(cell, OPTIONS)
    if not setup.on_gpu:
        raise Unsupported("TensorRT needs a GPU, and none is used here")
    cache = Path(cell.cache) if cell.cache else launch_dir
    with translate_errors(), compiler_caches(cache):
        loaded = loading.load(cell.form)
        had = any(cache.rglob("*.blob")) or any(cache.rglob("engine_cache/*/*"))
        compiled = compile_module(torch_tensorrt, cell, loaded, setup, cache)
        session = CompiledSession(
            cell, compiled, loaded.arguments, setup, lambda: operators(compiled)
        )
        session.cached = had
        yield session


def compile_module(
    torch_tensorrt: Any, cell: Cell, loaded: LoadedModel, setup: TorchSetup, cache: Path
) -> Any:
    """A module with engines in it: by Dynamo's front end, or for scripts by TorchScript's."""
    scripted = cell.form is not None and cell.form.format is Format.TORCHSCRIPT
    args, kwargs = example_call(cell, loaded, setup)
    inputs = _inputs(torch_tensorrt, cell, loaded, setup) or list(args)
    mixed = [_dtype(name) for name in _MIXED.get(cell.target.precision, ())]
    common = {
        "inputs": inputs,
        "disable_tf32": not cell.tf32,
        "min_block_size": int(cell.options.get("min_block_size", "5")),
        "require_full_compilation": option_is_on(cell, "require_full_compilation"),
        "workspace_size": int(cell.options.get("workspace_size", "0")),
    }
    module = setup.place(loaded.module)
    if cell.target.precision is Precision.INT8:
        return _calibrated(torch_tensorrt, cell, module, common, scripted=scripted)
    if scripted:
        weights = setup.weights or _dtype("float32")
        return torch_tensorrt.compile(
            module, ir="ts", enabled_precisions={weights, *mixed}, **common
        )
    if len(mixed) > 1:
        raise Unsupported(
            f"{cell.target.precision.value}: Torch-TensorRT casts to one type beside fp32; name TorchScript, "
            "or ask for fp32+fp16 or fp32+bf16"
        )
    level = cell.options.get("optimization_level")
    return torch_tensorrt.compile(
        loaded.program if loaded.program is not None else module,
        ir="dynamo",
        kwarg_inputs=kwargs or None,
        enable_autocast=bool(mixed),
        **({"autocast_low_precision_type": mixed[0]} if mixed else {}),
        **({"optimization_level": int(level)} if level is not None else {}),
        cache_built_engines=True,
        reuse_cached_engines=True,
        immutable_weights=False,  # else engines are not cached
        engine_cache_dir=str(cache / "engine_cache"),
        timing_cache_path=str(cache / "timing.cache"),
        **common,
    )


def _calibrated(
    torch_tensorrt: Any, cell: Cell, module: Any, common: Mapping[str, Any], *, scripted: bool
) -> Any:
    """A script's engines in int8, its scales from a cache that an earlier calibration wrote."""
    cache = cell.options.get(CALIBRATION, "")
    if not cache:
        raise Unsupported(
            f"int8 needs scales: give --ep_options torch_tensorrt:{CALIBRATION}=FILE"
        )
    if not Path(cache).is_file():
        raise Unsupported(f"{CALIBRATION}={cache}: no such file")
    maker = _calibrator_of(torch_tensorrt)
    if maker is None:
        version = getattr(torch_tensorrt, "__version__", "")
        raise Unsupported(
            f"torch_tensorrt {version} has no calibrators, which left TensorRT with version 11: quantise the "
            "model (nvidia-modelopt), and name fp32"
        )
    if not scripted:
        raise Unsupported(
            "a calibration cache goes with TorchScript alone: name a .ts or .jit.pt file"
        )
    precisions = {_dtype("float32"), _dtype("int8")}
    return torch_tensorrt.compile(
        module, ir="ts", enabled_precisions=precisions, calibrator=maker(cache), **common
    )


def _calibrator_of(torch_tensorrt: Any) -> Any:
    """What reads a calibration cache, which has lain in two places; None where it is gone."""
    for at in (torch_tensorrt, getattr(torch_tensorrt, "ts", None)):
        if found := getattr(getattr(at, "ptq", None), "CacheCalibrator", None):
            return found
    return None


def operators(compiled: Any) -> Mapping[str, int]:
    """Operators inside engines and those left to PyTorch, by the submodules of a partitioned graph."""
    import torch

    if isinstance(compiled, torch.jit.ScriptModule):
        return _script_operators(compiled)
    inside = left = 0
    for node in compiled.graph.nodes:
        if node.op == "call_module" and _INSIDE in node.name:
            inside += max(1, _engine_operators(getattr(compiled, str(node.target), None)))
        elif node.op == "call_module" and _LEFT in node.name:
            left += count_calls(getattr(compiled, str(node.target)).graph)
        elif node.op in ("call_module", "call_function", "call_method"):
            left += "execute_engine" not in str(node.target)
            inside += "execute_engine" in str(node.target)
    return {NAME: inside, "eager": left}


def _script_operators(script: Any) -> Mapping[str, int]:
    """A script's nodes that compute: calls of engines, and the operators beside them."""
    kinds = [str(n.kind()) for n in script.graph.nodes()]
    inside = sum(k == "tensorrt::execute_engine" for k in kinds)
    return {NAME: inside, "eager": sum(k.startswith("aten::") for k in kinds)}


def _engine_operators(module: Any) -> int:
    graph = getattr(module, "graph", None)
    return count_calls(graph) if graph is not None else 0


def _inputs(torch_tensorrt: Any, cell: Cell, loaded: LoadedModel, setup: TorchSetup) -> list[Any]:
    """Input specifications with the shapes asked for or fed; none where one shape alone is fed."""
    shapes = [{t.name: t.shape for t in s.inputs} for s in cell.sets]
    try:
        asked = shape_profiles.from_options(cell.options)
        profiles = shape_profiles.merge_profiles(asked, shapes)
    except ValueError as e:
        raise Unsupported(str(e)) from e
    if not asked and all(p.min == p.max for p in profiles):
        return []
    (feed, *_) = feeds_by_shape(cell)
    tensors = [
        setup.move(to_tensor(a)) for a in order_feed(feed, tuple(loaded.arguments.tensors()))
    ]
    return [_input(torch_tensorrt, p, t) for p, t in zip(profiles, tensors, strict=True)]


def _input(torch_tensorrt: Any, profile: ShapeProfile, like: Any) -> Any:
    if profile.min == profile.max:
        return torch_tensorrt.Input(shape=profile.opt, dtype=like.dtype)
    return torch_tensorrt.Input(
        min_shape=profile.min, opt_shape=profile.opt, max_shape=profile.max, dtype=like.dtype
    )


def _dtype(name: str) -> Any:
    import torch

    return getattr(torch, name)


def _imported(load: Callable[[str], Any]) -> Any:
    try:
        return load("torch_tensorrt")
    except (ImportError, OSError) as e:
        raise Unsupported(
            f"torch_tensorrt cannot be imported ({' '.join(str(e).split())[:200]}); it needs TensorRT's "
            "libraries, which NVIDIA's packages bring: name an interpreter that has both, --env NAME=PYTHON"
        ) from e


def _missing(found: ProbeResult) -> str:
    if "torch-tensorrt" in found.versions or "torch_tensorrt" in found.versions:
        return ""
    return "no torch-tensorrt there: an environment of yours may have it (--env NAME=PYTHON)"


_PRECISIONS = (
    Precision.FP32, Precision.TF32, Precision.FP16, Precision.BF16, Precision.FP32_FP16,
    Precision.FP32_BF16, Precision.FP32_BF16_FP16, Precision.INT8,
)  # fmt: skip
BACKEND = Backend(
    targets=tuple(
        TargetSpec("torch_tensorrt", p, default=p is Precision.FP32) for p in _PRECISIONS
    ),
    open=open_with,
    missing=_missing,
    provider=NAME,
    preload=("numpy", "torch"),
    builds=True,
    needs_gpu=True,
    takes_profiles=True,
    formats=(Format.ENTRY_POINT, Format.EXPORTED, Format.TORCHSCRIPT, Format.PICKLE),
    default=False,
)
