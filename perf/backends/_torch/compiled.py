"""Sessions of modules that a compiler took apart: which operators it took, none of them while timed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from perf.backends import Tensors
from perf.backends._torch.session import TorchSession
from perf.backends._torch.setup import TorchSetup
from perf.backends._torch.values import Arguments
from perf.measure.timing import TimedRuns
from perf.schema.cell import Cell
from perf.schema.journal import Placement


class RecompiledError(Exception):
    """Something was compiled inside the timed loop: its samples are not those of a run."""


class CompiledSession(TorchSession):
    """A module whose operators a compiler took; `share` says how many of them, by engine."""

    def __init__(
        self,
        cell: Cell,
        call: Callable[..., Any],
        arguments: Arguments,
        setup: TorchSetup,
        share: Callable[[], Mapping[str, int]],
        made: Callable[[], int] = lambda: 0,
    ) -> None:
        super().__init__(cell, call, arguments, setup)
        self._share, self._made = share, made

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
        """Timed runs; raises RecompiledError where the compiler made another graph between them."""
        before = self._made()
        runs = super().time(feeds, cell)
        if self._made() != before:
            raise RecompiledError(
                "the module was compiled again inside the timed loop: give dynamic=1, or one shape alone"
            )
        return runs

    def placement(self) -> Placement | None:
        """Operators by who runs them: the compiler's engine, or PyTorch for what it left."""
        nodes = {engine: count for engine, count in self._share().items() if count}
        return Placement("compiler", nodes, {}, dict.fromkeys(nodes, 1)) if nodes else None


def count_calls(graph: Any) -> int:
    """Operators in an FX graph."""
    return sum(n.op in ("call_function", "call_method", "call_module") for n in graph.nodes)


def option_is_on(cell: Cell, name: str, *, default: bool = False) -> bool:
    """An option of two values."""
    return cell.options.get(name, "1" if default else "0").lower() in ("1", "true", "on")
