"""torch.export and AOTInductor: a whole program compiled ahead of time into a package of its own."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from perf.backends import Backend, Session, Unsupported
from perf.backends._tensorrt.engine_cache import hold_engine_lock
from perf.backends._torch import loading
from perf.backends._torch.loading import LoadedModel
from perf.backends._torch.session import TorchSession
from perf.backends._torch.setup import (
    TorchSetup,
    compiler_caches,
    keep_headers_out,
    missing,
    require_compiler,
    set_up,
    takes_gpu,
    translate_errors,
)
from perf.backends.torch import reduced_targets
from perf.backends.torch_script import example_call
from perf.schema import atomic_file
from perf.schema.cell import Cell, Precision
from perf.schema.model_form import Format

PACKAGE = "model.pt2"


@contextlib.contextmanager
def _open(cell: Cell, launch_dir: Path) -> Iterator[Session]:
    """Load the package, made under its lock where it is not in the cell's cache yet."""
    import torch

    assert cell.form is not None  # planning gives this target no other cells
    setup = set_up(cell, ("max_autotune",))
    cache = Path(cell.cache) if cell.cache else launch_dir
    cache.mkdir(parents=True, exist_ok=True)
    with translate_errors(), compiler_caches(cache):
        keep_headers_out()
        loaded = loading.load(cell.form)
        with hold_engine_lock(cache / PACKAGE):
            cached = (cache / PACKAGE).exists()
            if not cached:
                require_compiler()
                _compile(cell, loaded, setup, cache / PACKAGE)
        run = torch._inductor.aoti_load_package(str(cache / PACKAGE))
        session = TorchSession(cell, run, loaded.arguments, setup)
        session.cached = cached
        yield session


def _compile(cell: Cell, loaded: LoadedModel, setup: TorchSetup, package: Path) -> None:
    import torch

    program = exported(cell, loaded, setup)
    configs = {"max_autotune": cell.options.get("max_autotune", "0") in ("1", "true")}
    with atomic_file.draft_of(package, durable=False) as aside:
        whole = aside.with_name(aside.name + ".pt2")  # its name must end so
        torch._inductor.aoti_compile_and_package(
            program, package_path=str(whole), inductor_configs=configs
        )
        whole.replace(aside)


def exported(cell: Cell, loaded: LoadedModel, setup: TorchSetup) -> Any:
    """The module as one program; a batch that differs between the sets fed is left open in it."""
    import torch

    if cell.target.precision in (Precision.FP32_FP16, Precision.FP32_BF16):
        raise Unsupported(
            "a program is exported in its own types: autocast does not reach into it"
        )
    if loaded.program is not None:
        if setup.weights is not None or setup.on_gpu:
            raise Unsupported(
                "an exported program keeps the types and the device that it was exported with: name an entry "
                "point, which is exported anew"
            )
        return loaded.program
    args, kwargs = example_call(cell, loaded, setup)
    with torch.no_grad():
        return torch.export.export(
            setup.place(loaded.module), args, kwargs, dynamic_shapes=_open_dims(cell, loaded)
        )


def _open_dims(cell: Cell, loaded: LoadedModel) -> Any:
    """Dimensions in which the sets that will be fed differ; None where they are all alike."""
    import torch

    shapes = [[t.shape for t in s.inputs] for s in cell.sets]
    if all(s == shapes[0] for s in shapes):
        return None
    names = tuple(loaded.arguments.tensors())
    differing = [
        {d: torch.export.Dim.AUTO for d in range(len(each[0])) if len({s[d] for s in each}) > 1}
        for each in zip(*shapes, strict=True)
    ]
    if tuple(loaded.arguments.names[: len(names)]) != names:
        raise Unsupported(
            "its inputs are nested, and the sets fed differ in shape: feed one shape"
        )
    return dict(zip(names, differing, strict=True))


BACKEND = Backend(
    targets=reduced_targets("torch_export"),
    open=_open,
    missing=missing,
    preload=("numpy", "torch"),
    builds=True,
    formats=(Format.EXPORTED, Format.ENTRY_POINT, Format.PICKLE),
    takes_gpu=takes_gpu,
    default=False,  # tens of seconds a model
)
