"""A session whose runs are replays of a CUDA graph, between buffers that stay where they are."""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from perf.backends import DeviceMemoryExhausted, Tensors, Unsupported
from perf.backends._ort import values
from perf.backends._ort.session import (
    OrtSession,
    SessionSpec,
    create_session,
    graph_options,
    translate_errors,
)
from perf.backends._replays import describe_refusal, vary_feed
from perf.schema.cell import Cell, Io

if TYPE_CHECKING:
    import numpy as np

_CAPTURING = re.compile(r"stream ?is ?capturing|StreamCapture")
_NOT_CAPTURED = re.compile(r"cannot use the graph capture feature", re.I)


@dataclass(frozen=True)
class FixedBuffers:
    """Tensors on the device at addresses that a graph was captured with, and how that graph is run."""

    inputs: Mapping[str, Any]
    binding: Any
    options: Any


class GraphSession(OrtSession):
    """Satisfies perf.backends.Session; raises Unsupported where a model cannot be captured."""

    def __init__(self, session: Any, cell: Cell, launch_dir: Path, spec: SessionSpec) -> None:
        super().__init__(session, cell, launch_dir, spec)
        self._numbers = itertools.count(1)  # of graphs; ORT's own is 0
        self._by_shapes: dict[object, FixedBuffers] = {}

    @classmethod
    @contextmanager
    def open(cls, cell: Cell, launch_dir: Path, spec: SessionSpec) -> Iterator[Self]:
        """Create the session; ORT refuses a model whose nodes are not all on the device."""
        with translate_errors(spec.device):
            try:
                session = create_session(cell, spec)
            except Exception as e:  # ORT's exceptions have no common base but this one
                if _NOT_CAPTURED.search(str(e)):
                    raise Unsupported(describe_refusal(e)) from e
                raise
        yield cls(session, cell, launch_dir, spec)

    def infer(self, feed: Tensors) -> Tensors:
        """One replay, host to host: the feed copied into the buffers that the graph reads."""
        self._last_feed = feed
        with translate_errors(self._spec.device):
            return self._name_outputs(self._copying_runner([feed])(0))

    def runner(self, feeds: Sequence[Tensors], cell: Cell) -> Callable[[int], Any]:
        """run(i): with io=host its feed copied in, a replay, its outputs copied out; else a replay alone."""
        if cell.io is Io.HOST:
            return self._copying_runner(feeds)
        bound = [self._capture(self._group_sequences(f)) for f in feeds]
        replay = self._session.run_with_iobinding

        def run(i: int) -> Any:
            replay(bound[i].binding, bound[i].options)
            bound[i].binding.synchronize_outputs()
            return bound[i].binding

        return run

    def compare_replays(self, feed: Tensors) -> Iterator[tuple[str, Tensors, Tensors]]:
        """For three inputs that differ where they can: a name, a replay's outputs, those without a graph."""
        for number, given in enumerate(vary_feed(feed)):
            with translate_errors(self._spec.device):
                without = self._name_outputs(self._host_runner([given])(0))
            yield f"replay_{number}", self.infer(given), without

    def _copying_runner(self, feeds: Sequence[Tensors]) -> Callable[[int], Sequence[Any]]:
        import numpy as np

        grouped = [self._group_sequences(f) for f in feeds]
        buffers = [self._buffers_of_shapes(g) for g in grouped]
        arrays = [{n: np.ascontiguousarray(a) for n, a in g.items()} for g in grouped]
        replay = self._session.run_with_iobinding

        def run(i: int) -> Sequence[Any]:
            self._copy_in(buffers[i], arrays[i])
            replay(buffers[i].binding, buffers[i].options)
            outputs: Sequence[Any] = buffers[i].binding.copy_outputs_to_cpu()
            return outputs

        return run

    def _copy_in(self, buffers: FixedBuffers, arrays: "Mapping[str, np.ndarray]") -> None:
        for name, array in arrays.items():
            buffers.inputs[name].update_inplace(array)

    def _buffers_of_shapes(self, feed: "Mapping[str, Any]") -> FixedBuffers:
        """Those that feeds of the same shapes share."""
        shapes = tuple(
            (n, getattr(a, "shape", None), str(getattr(a, "dtype", ""))) for n, a in feed.items()
        )
        if shapes not in self._by_shapes:
            self._by_shapes[shapes] = self._capture(feed)
        return self._by_shapes[shapes]

    def _capture(self, feed: Mapping[str, Any]) -> FixedBuffers:
        """Buffers of a feed's shapes, with the feed in them, and a graph captured between them."""
        from onnxruntime import OrtValue

        where, number = self._spec.device, self._spec.device_id
        binding = self._session.io_binding()
        inputs = {n: values.to_device_value(n, a, where, number) for n, a in feed.items()}
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        for name, output in zip(self._output_types, self._host_runner([feed])(0), strict=True):
            kind = self._output_types[name]
            if not kind.startswith("tensor(") or "string" in kind or self._coded:
                raise Unsupported(f"output {name!r} is {kind}: no graph's buffer holds it")
            binding.bind_ortvalue_output(name, OrtValue.ortvalue_from_numpy(output, where, number))
        captured = FixedBuffers(inputs, binding, graph_options(next(self._numbers)))
        try:  # the same feed has just run without a graph: what fails now is the capture
            with translate_errors(where):
                self._session.run_with_iobinding(binding, captured.options)
        except Exception as e:  # ORT's kernels tell a refused capture as std::bad_alloc, too
            is_memory = isinstance(e, DeviceMemoryExhausted | MemoryError)
            if is_memory and not _CAPTURING.search(str(e)):
                raise
            raise Unsupported(describe_refusal(e)) from e
        return captured
