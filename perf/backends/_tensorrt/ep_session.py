"""What the TensorRT EP's engine cache tells: that nothing was rebuilt while timed, and layers' precision."""

import contextlib
import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from perf.backends import Session, Tensors
from perf.backends._tensorrt import builder
from perf.schema.cell import Cell
from perf.schema.journal import Placement, PrecisionEvidence, Timed


class RebuiltError(Exception):
    """An engine was built inside the timed loop: its samples are not those of a run."""


class WatchedSession:
    """A session of the TensorRT EP whose cache is watched; satisfies perf.backends.Session."""

    def __init__(
        self,
        session: Session,
        cell: Cell,
        load: Callable[[str], Any] = importlib.import_module,
    ) -> None:
        self._session, self._cell, self._load = session, cell, load
        self.cached = session.cached

    def infer(self, feed: Tensors) -> Tensors:
        """One run."""
        return self._session.infer(feed)

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> Timed:
        """Timed runs, every shape run once before; raises RebuiltError where the EP built an engine between.

        The EP rebuilds an engine, and writes it to its cache, when a shape is outside what it was built for.
        """
        for feed in feeds:
            self._session.infer(feed)
        before = engines(cell.cache)
        timed = self._session.time(feeds, cell)
        if changed := [n for n, seen in engines(cell.cache).items() if before.get(n) != seen]:
            raise RebuiltError(
                f"engine {changed[0]} was built inside the timed loop; give --trt_profile for every dynamic "
                "input, wide enough for every shape that is fed"
            )
        return timed

    def placement(self) -> Placement | None:
        """As ORT assigned the nodes."""
        return self._session.placement()

    def precision_evidence(self) -> PrecisionEvidence | None:
        """By the inspector on the engines in the cache, where the tensorrt package is there to read them.

        Engines tell their layers' types only where they were built so (trt_detailed_build_log may do it).
        """
        if not self._cell.profile or not self._cell.cache:
            return None
        with contextlib.suppress(ModuleNotFoundError):
            return inspected(self._load("tensorrt"), self._cell)
        return None


def engines(cache: str) -> Mapping[str, tuple[int, int]]:
    """The engines and profiles in a cache, each with when it was written and its size."""
    files = [p for k in ("*.engine", "*.profile") for p in Path(cache).glob(k)] if cache else []
    return {p.name: (p.stat().st_mtime_ns, p.stat().st_size) for p in files}


def inspected(trt: Any, cell: Cell) -> PrecisionEvidence | None:
    """All layers of all engines in a cell's cache; None where no engine can be read or none tells types."""
    from perf.measure import layer_precision

    heard = builder.Heard(trt)
    runtime = trt.Runtime(heard.logger)
    layers: list[Any] = []
    for file in sorted(Path(cell.cache).glob("*.engine")):
        engine = runtime.deserialize_cuda_engine(file.read_bytes())
        if engine is None:
            print(f"precision not attested: {file.name}: {heard.problem()}", flush=True)
            return None
        inspector = engine.create_engine_inspector()
        told = json.loads(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
        layers += told.get("Layers", [])
    asked = cell.target.precision
    regime = builder.regime(trt, asked)
    return layer_precision.precision_of_engine(
        json.dumps(layers), "", asked.value, regime, tf32=cell.tf32
    )
