"""A module's session: feeds to tensors, one run or many timed ones, and what its operators computed in."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perf.backends import Tensors, Unsupported
from perf.backends._tensorrt import onnx_header
from perf.backends._torch import values
from perf.backends._torch.setup import TorchSetup, translate_errors
from perf.backends._torch.values import Arguments
from perf.measure.timing import TimedRuns, time_runs
from perf.schema.cell import Cell, Io
from perf.schema.journal import Placement, PrecisionEvidence
from perf.schema.model_form import Format

if TYPE_CHECKING:
    import numpy as np

_ONNX_NAMES = {"float16": "fp16", "bfloat16": "bf16"}


class TorchSession:
    """Satisfies perf.backends.Session for whatever is called as the module was."""

    def __init__(
        self, cell: Cell, call: Callable[..., Any], arguments: Arguments, setup: TorchSetup
    ) -> None:
        self.cached: bool | None = None
        self._cell, self._setup, self._arguments = cell, setup, arguments
        self._call = call
        self._names = tuple(arguments.tensors())
        self._outputs = onnx_output_names(cell)

    def infer(self, feed: Tensors) -> Tensors:
        """One run, host to host; outputs by the names of the ONNX file beside it, where there is one."""
        import torch

        with translate_errors(), torch.inference_mode():
            args, kwargs = self._arguments.call_with(
                [self._setup.move(t) for t in self.tensors(feed)]
            )
            with self._setup.casting():
                result = self._call(*args, **kwargs)
            return self._named(result)

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
        """Samples of runs from arrays to results on the host; with io=device between resident tensors."""
        import torch

        with translate_errors(), torch.inference_mode():
            run = self._make_run(feeds, cell)
            return time_runs(run, self._named, len(feeds), cell, synchronised=True)

    def runner(self, feeds: Sequence[Tensors], cell: Cell) -> Callable[[int], object]:
        """run(i), as it is timed: of feed i, ended on return."""
        import torch

        with translate_errors(), torch.inference_mode():
            run = self._make_run(feeds, cell)

        def run_outside(i: int) -> object:
            with torch.inference_mode():
                return run(i)

        return run_outside

    def placement(self) -> Placement | None:
        """There is one engine, and nothing beside it."""
        return None

    def precision_evidence(self) -> PrecisionEvidence | None:
        """What this engine's operators compute in is not told."""
        return None

    def tensors(self, feed: Tensors) -> list[Any]:
        """A feed as tensors on the host, in the order of the module's arguments."""
        return [values.to_tensor(a) for a in values.order_feed(feed, self._names)]

    def _make_run(self, feeds: Sequence[Tensors], cell: Cell) -> Callable[[int], object]:
        return self._resident_run(feeds) if cell.io is Io.DEVICE else self._host_run(feeds)

    def _host_run(self, feeds: Sequence[Tensors]) -> Callable[[int], object]:
        """run(i): arrays to the device, the module, its results on the host."""
        import torch

        call, setup, fill = self._call, self._setup, self._arguments.call_with
        arrays = [values.order_feed(f, self._names) for f in feeds]
        as_tensor = torch.from_numpy
        if any(values.needs_making(a) for given in arrays for a in given):
            # codes of bfloat16 and the like are no arrays that a program would hold: made beforehand
            arrays = [[values.to_tensor(a) for a in given] for given in arrays]
            as_tensor = _same
        if setup.leaves_alone:
            if self._arguments.flat:
                return lambda i: call(*map(as_tensor, arrays[i]))

            def run_here(i: int) -> object:
                args, kwargs = fill([as_tensor(a) for a in arrays[i]])
                return call(*args, **kwargs)

            return run_here

        def run(i: int) -> object:
            args, kwargs = fill([setup.move(as_tensor(a)) for a in arrays[i]])
            with setup.casting():
                result = call(*args, **kwargs)
            return to_host(result)

        return run

    def _resident_run(self, feeds: Sequence[Tensors]) -> Callable[[int], object]:
        """run(i): the module alone, on tensors that lie on the device in its own type, waited for."""
        setup, bound = self._setup, []
        for feed in feeds:
            args, kwargs = self._arguments.call_with([setup.move(t) for t in self.tensors(feed)])
            bound.append(functools.partial(self._call, *args, **kwargs))
        setup.synchronise()
        wait = setup.waiting()
        if setup.autocast is None and wait is None:
            return lambda i: bound[i]()

        def run(i: int) -> object:
            with setup.casting():
                result = bound[i]()
            if wait is not None:
                wait()
            return result

        return run

    def _named(self, result: Any) -> dict[str, "np.ndarray"]:
        found = values.name_outputs(result)
        names = self._outputs or tuple(found)
        if len(names) != len(found):
            raise Unsupported(
                f"the ONNX file has {len(names)} outputs ({', '.join(names)}), the module {len(found)} "
                f"({', '.join(found)}): they cannot be held against each other"
            )
        return {n: values.to_array(t) for n, t in zip(names, found.values(), strict=True)}


def _same(value: Any) -> Any:
    return value


def onnx_output_names(cell: Cell) -> tuple[str, ...]:
    """The outputs of the ONNX file of the same row, so that all its targets name them alike; else none."""
    if cell.model.format is not Format.ONNX:
        return ()
    return tuple(v.name for v in onnx_header.read(Path(cell.model.path)).outputs)


def to_host(value: Any) -> Any:
    """A result with every tensor in the host's memory; a copy from a GPU waits for it."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.cpu()
    if isinstance(value, dict):
        return {k: to_host(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_host(v) for v in value]
    return value


def feeds_by_shape(cell: Cell) -> list[Tensors]:
    """One feed for each combination of shapes that will be fed: what a compiler has to see beforehand."""
    from perf.measure import tensor_io

    by_shape = {tuple((t.name, t.shape) for t in s.inputs): s for s in reversed(cell.sets)}
    return [tensor_io.load_inputs(s) for s in reversed(by_shape.values())]


def operator_evidence(
    session: TorchSession, feed: Tensors, precision: Any
) -> PrecisionEvidence | None:
    """The share of floating-point operators of one run whose results are of the type asked for."""
    from torch.utils._python_dispatch import TorchDispatchMode

    counts = {True: 0, False: 0}

    class Counter(TorchDispatchMode):  # type: ignore[misc]
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            result = func(*args, **(kwargs or {}))
            dtype = getattr(result, "dtype", None)
            if dtype is not None and dtype.is_floating_point and not _moves_only(func):
                counts[dtype == precision] += 1
            return result

    with Counter():
        TorchSession.infer(session, feed)  # a replay of a graph calls no operator
    total = sum(counts.values())
    if not total:
        return None
    name = str(precision).removeprefix("torch.")
    return PrecisionEvidence(
        _ONNX_NAMES.get(name, name),
        counts[True] / total,
        None,
        "types of eager operators' results",
    )


@functools.cache
def _moves_only(func: Any) -> bool:
    """Whether an operator computes nothing: a view, a copy to another place or type."""
    name = str(func).partition(".")[2].partition(".")[0]
    return bool(getattr(func, "is_view", False)) or name in (
        "_to_copy",
        "copy_",
        "clone",
        "empty",
        "detach",
    )
