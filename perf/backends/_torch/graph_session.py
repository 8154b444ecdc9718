"""A module's session whose runs are replays of a CUDA graph, between tensors that stay where they are."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from perf.backends import DeviceMemoryExhausted, Tensors, Unsupported
from perf.backends._replays import describe_refusal, vary_feed
from perf.backends._torch import values
from perf.backends._torch.session import TorchSession, to_host
from perf.backends._torch.setup import TorchSetup, translate_errors
from perf.backends._torch.values import Arguments
from perf.schema.cell import Cell

_WARM_UPS = (
    3  # calls on a stream of their own before the capture, as PyTorch's documentation has it
)


@dataclass(frozen=True)
class FixedTensors:
    """A captured call: the tensors that it reads, and those that it leaves its results in."""

    inputs: Sequence[Any]
    graph: Any
    result: Any


class TorchGraphSession(TorchSession):
    """Satisfies perf.backends.Captured; raises Unsupported where a module cannot be captured."""

    def __init__(
        self, cell: Cell, call: Callable[..., Any], arguments: Arguments, setup: TorchSetup
    ) -> None:
        super().__init__(cell, call, arguments, setup)
        if not setup.on_gpu:
            raise Unsupported("CUDA graphs are of a GPU, and this cell runs on the CPU")
        self._by_shapes: dict[object, FixedTensors] = {}

    def infer(self, feed: Tensors) -> Tensors:
        """One replay, host to host: the feed copied into the tensors that the graph reads."""
        import torch

        with translate_errors(), torch.inference_mode():
            return self._named(self._host_run([feed])(0))

    def compare_replays(self, feed: Tensors) -> Iterator[tuple[str, Tensors, Tensors]]:
        """For three inputs that differ where they can: a name, a replay's outputs, those without a graph."""
        for number, given in enumerate(vary_feed(feed)):
            yield f"replay_{number}", self.infer(given), super().infer(given)

    def _host_run(self, feeds: Sequence[Tensors]) -> Callable[[int], object]:
        """run(i): arrays copied into fixed tensors, a replay, its results on the host."""
        given = [self.tensors(feed) for feed in feeds]
        captured = [self._of_shapes(tensors) for tensors in given]

        def run(i: int) -> object:
            self._copy_in(captured[i], given[i])
            captured[i].graph.replay()
            return to_host(captured[i].result)

        return run

    def _resident_run(self, feeds: Sequence[Tensors]) -> Callable[[int], object]:
        """run(i): a replay alone, waited for; each feed lies in tensors of its own."""
        captured = [self._capture(self.tensors(feed)) for feed in feeds]
        wait = self._setup.waiting()
        assert wait is not None  # a session on a GPU

        def run(i: int) -> object:
            captured[i].graph.replay()
            wait()
            return captured[i].result

        return run

    def _copy_in(self, captured: FixedTensors, tensors: Sequence[Any]) -> None:
        """A feed into the tensors that a graph reads, cast on the way where they are of another type."""
        for fixed, tensor in zip(captured.inputs, tensors, strict=True):
            fixed.copy_(tensor)

    def _of_shapes(self, tensors: Sequence[Any]) -> FixedTensors:
        key = tuple((tuple(t.shape), t.dtype) for t in tensors)
        if key not in self._by_shapes:
            self._by_shapes[key] = self._capture(tensors)
        return self._by_shapes[key]

    def _capture(self, tensors: Sequence[Any]) -> FixedTensors:
        """Call the module on tensors of our own, then capture a call; raises Unsupported."""
        import torch

        inputs = [self._setup.move(t).clone() for t in tensors]
        args, kwargs = self._arguments.call_with(inputs)
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside), self._setup.casting():
            for _ in range(_WARM_UPS):
                self._call(*args, **kwargs)
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        try:  # the same call has just run without a graph: what fails now is the capture
            with translate_errors(), torch.cuda.graph(graph), self._setup.casting():
                result = self._call(*args, **kwargs)
        except (DeviceMemoryExhausted, MemoryError):
            raise
        except Exception as e:  # PyTorch's errors have no common base but this one
            raise Unsupported(describe_refusal(e)) from e
        if any(not t.is_cuda for t in values.name_outputs(result).values()):
            raise Unsupported(describe_refusal(ValueError("it makes an output on the CPU")))
        return FixedTensors(inputs, graph, result)
