"""TorchScript: a module traced or scripted, frozen, and run by PyTorch's own interpreter and fusers."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from perf.backends import Backend, Session, Unsupported
from perf.backends._torch import loading
from perf.backends._torch.loading import LoadedModel
from perf.backends._torch.session import TorchSession, feeds_by_shape
from perf.backends._torch.setup import (
    TorchSetup,
    is_on_gpu,
    missing,
    set_up,
    takes_gpu,
    translate_errors,
)
from perf.backends._torch.values import order_feed, to_tensor
from perf.backends.torch import reduced_targets
from perf.schema.cell import Cell
from perf.schema.model_form import Format

PIPELINES = ("none", "freeze", "inference")
MODES = ("trace", "script")


@contextlib.contextmanager
def _open(cell: Cell, launch_dir: Path) -> Iterator[Session]:
    assert cell.form is not None  # planning gives this target no other cells
    setup = set_up(cell, ("mode", "optimization_pipeline"))
    with translate_errors():
        loaded = loading.load(cell.form)
        script = scripted(cell, loaded, setup)
        yield TorchSession(cell, optimised(cell, script), loaded.arguments, setup)


def scripted(cell: Cell, loaded: LoadedModel, setup: TorchSetup) -> Any:
    """A module as TorchScript on its device; raises Unsupported for a file that is asked to be made anew."""
    import torch

    assert cell.form is not None
    mode = cell.options.get("mode", "")
    if cell.form.format is Format.TORCHSCRIPT:
        if mode:
            raise Unsupported(
                f"mode={mode}: {cell.form.path} is TorchScript already; leave it out"
            )
        return setup.place(loaded.module)
    if mode and mode not in MODES:
        raise Unsupported(f"mode={mode}: use {' or '.join(MODES)}")
    module = setup.place(loaded.module)
    if mode == "script":
        return torch.jit.script(module)
    args, kwargs = example_call(cell, loaded, setup)
    with torch.inference_mode(False), torch.no_grad(), setup.casting():
        return torch.jit.trace(
            module, args, example_kwarg_inputs=kwargs or None, strict=False, check_trace=False
        )


def example_call(
    cell: Cell, loaded: LoadedModel, setup: TorchSetup
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A call with the first inputs that will be fed; with the module's own examples where there are none."""
    tensors = loaded.arguments.tensors()
    given = list(tensors.values())
    if feeds := feeds_by_shape(cell)[:1]:
        given = [to_tensor(a) for a in order_feed(feeds[0], tuple(tensors))]
    return loaded.arguments.call_with([setup.move(t) for t in given])


def optimised(cell: Cell, script: Any) -> Any:
    """What `optimization_pipeline` makes of a script: nothing, frozen weights, or what inference allows."""
    import torch

    pipeline = cell.options.get("optimization_pipeline", "freeze")
    if pipeline not in PIPELINES:
        raise Unsupported(f"optimization_pipeline={pipeline}: use one of {', '.join(PIPELINES)}")
    if pipeline == "none":
        return script
    frozen = torch.jit.freeze(script.eval())
    return torch.jit.optimize_for_inference(frozen) if pipeline == "inference" else frozen


BACKEND = Backend(
    targets=reduced_targets("torch_script"),
    open=_open,
    missing=missing,
    preload=("numpy", "torch"),
    formats=(Format.TORCHSCRIPT, Format.ENTRY_POINT, Format.EXPORTED, Format.PICKLE),
    takes_gpu=takes_gpu,
    watched=is_on_gpu,
)
