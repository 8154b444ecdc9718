"""torch.compile: Dynamo's graphs of a module, made into kernels by Inductor or another of its back ends."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from perf.backends import Backend, Session, Unsupported
from perf.backends._torch import loading
from perf.backends._torch.compiled import CompiledSession, option_is_on
from perf.backends._torch.session import feeds_by_shape
from perf.backends._torch.setup import (
    compiler_caches,
    keep_headers_out,
    missing,
    require_compiler,
    set_up,
    takes_gpu,
    translate_errors,
)
from perf.backends.torch import reduced_targets
from perf.schema.cell import Cell
from perf.schema.model_form import Format

NAME = "inductor"  # who runs what was compiled, whichever back end Dynamo was given
MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
OPTIONS = ("mode", "dynamic", "fullgraph", "compiler")


@contextlib.contextmanager
def _open(cell: Cell, launch_dir: Path) -> Iterator[Session]:
    """Compile for every shape that will be fed, from the cache where another launch has done so."""
    import torch

    assert cell.form is not None  # planning gives this target no other cells
    setup = set_up(cell, OPTIONS)
    mode = cell.options.get("mode", "default")
    if mode not in MODES:
        raise Unsupported(f"mode={mode}: use one of {', '.join(MODES)}")
    require_compiler()
    cache = Path(cell.cache) if cell.cache else launch_dir
    with translate_errors(), compiler_caches(cache):
        keep_headers_out()
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        loaded = loading.load(cell.form)
        compiled = torch.compile(
            setup.place(loaded.module),
            mode=mode,
            backend=cell.options.get("compiler", "inductor"),
            fullgraph=option_is_on(cell, "fullgraph"),
            dynamic=option_is_on(cell, "dynamic") if "dynamic" in cell.options else None,
        )
        session = CompiledSession(cell, compiled, loaded.arguments, setup, _operators, _graphs)
        for feed in feeds_by_shape(cell):
            session.infer(feed)
        session.cached = _from_cache()
        yield session


def _counters() -> Mapping[str, Mapping[str, int]]:
    import torch

    counters: Mapping[str, Mapping[str, int]] = torch._dynamo.utils.counters
    return counters


def _graphs() -> int:
    return _counters()["stats"]["unique_graphs"]


def _operators() -> Mapping[str, int]:
    """Operators that Dynamo captured; each break of its graph is at least one that Python ran."""
    stats, breaks = _counters()["stats"], _counters()["graph_break"]
    captured = stats["calls_captured"] if stats["unique_graphs"] else 0
    return {NAME: captured, "eager": sum(breaks.values()) or (0 if captured else 1)}


def _from_cache() -> bool | None:
    """Whether no graph had to be compiled; None where Inductor was given none."""
    inductor = _counters()["inductor"]
    hits, misses = inductor["fxgraph_cache_hit"], inductor["fxgraph_cache_miss"]
    bypassed = inductor["fxgraph_cache_bypass"]
    return hits > 0 and not misses and not bypassed if hits + misses + bypassed else None


BACKEND = Backend(
    targets=reduced_targets("torch_compile"),
    open=_open,
    missing=missing,
    provider=NAME,
    preload=(
        "numpy",
        "torch",
    ),  # importing its compiler makes a folder: in a worker, in its cache
    builds=True,
    formats=(Format.ENTRY_POINT, Format.EXPORTED, Format.PICKLE),
    takes_gpu=takes_gpu,
    default=False,  # tens of seconds a model
)
