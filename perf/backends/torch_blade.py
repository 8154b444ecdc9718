"""BladeDISC's torch_blade: TorchScript whose clusters of operators are compiled by DISC or by TensorRT."""

import contextlib
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from perf.backends import Backend, ProbeResult, Session, TargetSpec, Unsupported
from perf.backends._torch import loading
from perf.backends._torch.compiled import CompiledSession
from perf.backends._torch.loading import LoadedModel
from perf.backends._torch.setup import TorchSetup, compiler_caches, set_up, translate_errors
from perf.backends.torch_script import example_call
from perf.schema import shape_profiles
from perf.schema.cell import Cell, Precision
from perf.schema.model_form import Format

NAME = "blade"
OPTIONS = (
    "optimization_pipeline", "enable_onnx_shape_white_list", "fp16_fallback_op_ratio",
    *shape_profiles.KEYS,
)  # fmt: skip
_COMPILERS = {"DISC": "mlir", "TensorRT": "tensorrt"}  # pipeline -> who counts its clusters


@contextlib.contextmanager
def open_with(
    cell: Cell, launch_dir: Path, load: Callable[[str], Any] = importlib.import_module
) -> Iterator[Session]:
    """Optimise the module for the inputs that will be fed; nothing of it can be kept for another launch."""
    assert cell.form is not None  # planning gives this target no other cells
    blade = _imported(load)
    setup = set_up(cell, OPTIONS)
    pipeline = cell.options.get("optimization_pipeline", "DISC")
    if pipeline not in _COMPILERS:
        raise Unsupported(f"optimization_pipeline={pipeline}: use {' or '.join(_COMPILERS)}")
    if pipeline == "TensorRT":  # registers itself as it is imported
        load("torch_blade.tensorrt")
    cache = Path(cell.cache) if cell.cache else launch_dir
    with translate_errors(), compiler_caches(cache):
        loaded = loading.load(cell.form)
        optimised = optimise(blade, cell, loaded, setup, pipeline)
        counter = load(f"torch_blade.{_COMPILERS[pipeline]}")
        session = CompiledSession(
            cell, optimised, loaded.arguments, setup, lambda: operators(counter, optimised)
        )
        session.cached = False
        yield session


def optimise(blade: Any, cell: Cell, loaded: LoadedModel, setup: TorchSetup, pipeline: str) -> Any:
    """What torch_blade makes of a module: traced where it is no TorchScript yet."""
    import torch

    config = blade.config.Config()
    config.optimization_pipeline = pipeline
    config.enable_fp16 = cell.target.precision is Precision.FP32_FP16
    if ratio := cell.options.get("fp16_fallback_op_ratio"):
        config.fp16_fallback_op_ratio = float(ratio)
    shapes = cell.options.get("enable_onnx_shape_white_list", "1")
    config.enable_onnx_shape_white_list = shapes.lower() in ("1", "true")
    args, kwargs = example_call(cell, loaded, setup)
    if kwargs:
        raise Unsupported(
            "torch_blade takes positional inputs alone; the module is called by name"
        )
    if ranges := _tuning_inputs(cell, args):
        config.dynamic_tuning_inputs = ranges
    module = setup.place(loaded.module)
    scripted = isinstance(module, torch.jit.ScriptModule)
    with config, torch.no_grad():
        return blade.optimize(module, allow_tracing=not scripted, model_inputs=args)


def _tuning_inputs(cell: Cell, args: Sequence[Any]) -> Mapping[str, Any] | None:
    """Inputs of the least, the usual and the greatest shapes asked for; None where nobody asked."""
    import torch

    shapes = [{t.name: t.shape for t in s.inputs} for s in cell.sets]
    try:
        asked = shape_profiles.from_options(cell.options)
        profiles = shape_profiles.merge_profiles(asked, shapes) if asked else ()
    except ValueError as e:
        raise Unsupported(str(e)) from e
    if not asked:
        return None
    if len(args) != len(profiles) or not all(isinstance(a, torch.Tensor) for a in args):
        raise Unsupported("min and max shapes go with plain tensors alone; its inputs are nested")

    def of(shape: str) -> tuple[Any, ...]:
        pairs = zip(args, profiles, strict=True)
        return tuple(a.new_zeros(getattr(p, shape)) for a, p in pairs)

    return {"min": of("min"), "max": of("max"), "opts": [of("opt")]}


def operators(counter: Any, optimised: Any) -> Mapping[str, int]:
    """Operators in clusters that were compiled, as torch_blade counts them, and those left to PyTorch."""
    inside = sum(counter.num_compiled_nodes(optimised))
    left = sum(str(n.kind()).startswith("aten::") for n in optimised.graph.nodes())
    return {NAME: inside, "eager": left}


def _imported(load: Callable[[str], Any]) -> Any:
    try:
        return load("torch_blade")
    except (ImportError, OSError) as e:
        raise Unsupported(
            f"torch_blade cannot be imported ({' '.join(str(e).split())[:200]}); {_REMEDY}"
        ) from e


_REMEDY = (
    "BladeDISC has no package in a registry: build it for this PyTorch, or use an image of its project, "
    "and name the interpreter with --env blade=PYTHON"
)


def _missing(found: ProbeResult) -> str:
    built = any(v.startswith(("torch-blade", "torch_blade")) for v in found.versions)
    return "" if built else f"no torch_blade there; {_REMEDY}"


BACKEND = Backend(
    targets=tuple(
        TargetSpec("torch_blade", p, default=p is Precision.FP32)
        for p in (Precision.FP32, Precision.FP16, Precision.FP32_FP16)
    ),
    open=open_with,
    missing=_missing,
    provider=NAME,
    preload=("numpy", "torch"),
    builds=True,
    takes_profiles=True,
    formats=(Format.TORCHSCRIPT, Format.ENTRY_POINT, Format.PICKLE),
    default=False,
)
