"""Run by PyTorch's interpreter: Torch-TensorRT and BladeDISC as fakes of them, on a real module, on the CPU."""

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from perf.backends import Unsupported, torch_blade, torch_tensorrt
from perf.backends._torch import loading
from perf.backends._torch.setup import TorchSetup
from perf.backends._torch.values import Arguments, name_outputs
from perf.request.model_forms import read_form
from perf.request.tolerances import default_tolerance
from perf.schema import shape_profiles
from perf.schema.cell import (
    Cell,
    Environment,
    Io,
    ModelFile,
    Precision,
    Protocol,
    Target,
    TensorFile,
    TestSet,
)

CPU = TorchSetup(torch.device("cpu"), None, None, False)


def cell(entry: str, precision: Precision = Precision.FP32, **options: str) -> Cell:
    form = read_form(entry, Path.cwd())
    model = ModelFile("m", form.path, form.sha256, "", format=form.format, forms=(form,))
    return Cell(
        id="m", digest="", model=model, target=Target("t", precision, "here", "t"), variant="",
        provider="", environment=Environment("here", sys.executable), options=options,
        session_config={}, graph_optimization="all", io=Io.HOST, tf32=False, protocol=Protocol(),
        tolerance=default_tolerance(precision), inputs_digest="", form=form,
    )  # fmt: skip


def fed(asked: Cell, *shapes: tuple[int, ...]) -> Cell:
    """The cell with a set of inputs of each shape."""
    import numpy as np

    sets = []
    for i, shape in enumerate(shapes):
        np.save(f"in_{i}.npy", np.zeros(shape, np.float32))
        sets.append(TestSet(f"s{i}", (TensorFile("image", f"in_{i}.npy", 1, shape),)))
    return replace(asked, sets=tuple(sets))


@dataclass
class FakeTorchTensorRT:
    """torch_tensorrt 2.13: remembers what it was given, and gives the module back."""

    calls: list[dict[str, Any]] = field(default_factory=list)

    def compile(self, module: Any, **settings: Any) -> Any:
        self.calls.append({"module": module, **settings})
        return module

    def Input(self, **settings: Any) -> Any:  # noqa: N802
        return SimpleNamespace(**settings)


def compiled(asked: Cell) -> dict[str, Any]:
    fake = FakeTorchTensorRT()
    assert asked.form
    torch_tensorrt.compile_module(fake, asked, loading.load(asked.form), CPU, Path("cache"))
    return fake.calls[0]


def check_a_module_is_given_to_dynamo_with_its_inputs_and_a_cache() -> None:
    call = compiled(fed(cell("nets:small_cnn"), (2, 3, 32, 32)))
    assert call["ir"] == "dynamo"
    assert [tuple(t.shape) for t in call["inputs"]] == [(2, 3, 32, 32)]
    assert call["disable_tf32"] is True
    assert call["cache_built_engines"] is True
    assert call["engine_cache_dir"].startswith("cache/")
    assert call["enable_autocast"] is False


def check_shapes_that_differ_become_a_range() -> None:
    call = compiled(fed(cell("nets:small_cnn"), (2, 3, 32, 32), (8, 3, 32, 32)))
    (given,) = call["inputs"]
    assert (given.min_shape[0], given.max_shape[0]) == (2, 8)
    assert given.dtype == torch.float32


def check_a_range_by_place_is_that_of_the_input_there() -> None:
    options = {
        key: f"@0:{n}x3x32x32" for key, n in zip(shape_profiles.KEYS, (1, 2, 8), strict=True)
    }
    asked = fed(cell("nets:small_cnn", Precision.FP32, **options), (2, 3, 32, 32))
    (given,) = compiled(asked)["inputs"]
    assert [s[0] for s in (given.min_shape, given.opt_shape, given.max_shape)] == [1, 2, 8]
    blade = FakeBlade()
    assert asked.form
    torch_blade.optimise(blade, asked, loading.load(asked.form), CPU, "TensorRT")
    ranges = blade.configs[0].dynamic_tuning_inputs
    assert [ranges[k][0].shape[0] for k in ("min", "max")] == [1, 8]
    assert [t.shape[0] for (t,) in ranges["opts"]] == [2]
    unasked = fed(cell("nets:small_cnn"), (2, 3, 32, 32))
    torch_blade.optimise(blade, unasked, loading.load(asked.form), CPU, "TensorRT")
    assert not hasattr(blade.configs[1], "dynamic_tuning_inputs")


def check_int8_has_its_scales_from_a_cache_or_says_what_is_missing() -> None:
    torch.jit.save(torch.jit.trace(torch.nn.ReLU(), torch.rand(2)), "relu.ts")
    Path("scales").write_bytes(b"TRT")
    made: list[str] = []

    def calibrator(path: str) -> str:
        made.append(path)
        return "scales"

    calibrators = SimpleNamespace(CacheCalibrator=calibrator)

    def tried(path: str, entry: str = "relu.ts", **parts: Any) -> Any:
        fake = FakeTorchTensorRT()
        vars(fake).update(parts)
        options = {"calibration_cache": path} if path else {}
        asked = cell(entry, Precision.INT8, **options)
        assert asked.form
        try:
            torch_tensorrt.compile_module(
                fake, asked, loading.load(asked.form), CPU, Path("cache")
            )
        except Unsupported as e:
            return str(e)
        return fake.calls[0]

    call = tried("scales", ptq=calibrators)
    assert call["enabled_precisions"] == {torch.float32, torch.int8}
    assert call["calibrator"] == "scales"
    assert tried("scales", ts=SimpleNamespace(ptq=calibrators))["ir"] == "ts"
    assert made == ["scales", "scales"]
    assert "has no calibrators, which left TensorRT" in tried("scales")
    assert "no such file" in tried("gone", ptq=calibrators)
    assert "int8 needs scales" in tried("", ptq=calibrators)
    assert "TorchScript alone" in tried("scales", "nets:small_cnn", ptq=calibrators)


def check_a_mixed_precision_is_autocast_and_two_types_beside_fp32_are_declined() -> None:
    call = compiled(fed(cell("nets:small_cnn", Precision.FP32_BF16), (2, 3, 32, 32)))
    assert call["enable_autocast"] is True
    assert call["autocast_low_precision_type"] == torch.bfloat16
    declined = ""
    try:
        compiled(fed(cell("nets:small_cnn", Precision.FP32_BF16_FP16), (2, 3, 32, 32)))
    except Unsupported as e:
        declined = str(e)
    assert "casts to one type" in declined


def check_torchscript_is_given_its_precisions() -> None:
    torch.jit.save(torch.jit.trace(torch.nn.ReLU(), torch.rand(2)), "relu.ts")
    call = compiled(cell("relu.ts", Precision.FP32_BF16_FP16))
    assert call["ir"] == "ts"
    assert call["enabled_precisions"] == {torch.float32, torch.bfloat16, torch.float16}
    assert "cache_built_engines" not in call


class Partitioned(torch.nn.Module):  # type: ignore[misc]
    """What a partitioned graph looks like: one part for an engine, one left to PyTorch."""

    def __init__(self) -> None:
        super().__init__()
        self._run_on_acc_0 = torch.fx.symbolic_trace(torch.nn.Sequential(torch.nn.ReLU()))
        self._run_on_gpu_1 = torch.fx.symbolic_trace(
            torch.nn.Sequential(torch.nn.Sigmoid(), torch.nn.Tanh())
        )

    def forward(self, x: torch.Tensor) -> Any:
        return self._run_on_gpu_1(self._run_on_acc_0(x))


class KeepParts(torch.fx.Tracer):  # type: ignore[misc]
    def is_leaf_module(self, module: Any, name: str) -> bool:
        return name.startswith("_run_on")


def check_operators_are_counted_by_who_runs_them() -> None:
    parts = Partitioned()
    graph = torch.fx.GraphModule(parts, KeepParts().trace(parts))
    assert torch_tensorrt.operators(graph) == {"tensorrt": 1, "eager": 2}
    alone = torch.fx.symbolic_trace(torch.nn.Sequential(torch.nn.ReLU()))
    assert torch_tensorrt.operators(alone) == {"tensorrt": 0, "eager": 1}


class FakeBlade:
    """torch_blade: its Config is a context, and optimize takes what its source takes."""

    def __init__(self) -> None:
        self.configs: list[Any] = []
        self.config = SimpleNamespace(Config=self._config)

    def _config(self) -> Any:
        class Config:
            entered = False

            def __enter__(self) -> None:
                self.entered = True

            def __exit__(self, *_: object) -> None:
                self.entered = False

        self.configs.append(Config())
        return self.configs[-1]

    def optimize(self, model: Any, allow_tracing: bool, model_inputs: Any) -> Any:
        assert self.configs[-1].entered
        return torch.jit.trace(model, model_inputs) if allow_tracing else model


def check_blade_is_configured_as_asked_and_its_clusters_counted() -> None:
    blade = FakeBlade()
    asked = fed(
        cell("nets:small_cnn", Precision.FP32_FP16, fp16_fallback_op_ratio="0.25"), (2, 3, 32, 32)
    )
    assert asked.form
    made = torch_blade.optimise(blade, asked, loading.load(asked.form), CPU, "TensorRT")
    (config,) = blade.configs
    assert config.optimization_pipeline == "TensorRT"
    assert config.enable_fp16 is True
    assert config.fp16_fallback_op_ratio == 0.25
    counter = SimpleNamespace(num_compiled_nodes=lambda _script: [5, 2])
    told = torch_blade.operators(counter, made)
    assert told["blade"] == 7
    assert told["eager"] > 0


def check_arguments_and_results_are_named_and_put_back_where_they_were() -> None:
    nested = Arguments(([torch.zeros(1), {"m": torch.ones(2)}], 0.5), {"k": torch.ones(3)}, ("x",))
    assert list(nested.tensors()) == ["x[0]", "x[1].m", "k"]
    args, kwargs = nested.call_with([torch.full((1,), float(i)) for i in range(3)])
    assert args[0][0].item() == 0.0
    assert args[0][1]["m"].item() == 1.0
    assert args[1] == 0.5
    assert kwargs["k"].item() == 2.0
    assert list(name_outputs({"a": torch.ones(1), "b": [torch.ones(1)]})) == ["a", "b[0]"]
    assert list(name_outputs(torch.ones(1))) == ["output"]


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    for name, check in sorted(globals().copy().items()):
        if name.startswith("check_"):
            check()
            print("ok", name.removeprefix("check_").replace("_", " "))
