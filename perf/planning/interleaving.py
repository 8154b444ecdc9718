"""Neighbours in time: both sides of an A/B run until they are decided, and a canary beside every launch."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from perf.core.evidence import Rule, Undecided, decide
from perf.core.options import Options
from perf.core.record import LaunchKind
from perf.planning import sides
from perf.planning.flow import Progress

RULE = Rule()


@dataclass(frozen=True)
class Couple:
    """The same question to both sides."""

    a: Progress
    b: Progress

    @property
    def open(self) -> bool:
        """Whether both sides can be launched, and more pairs can still settle it."""
        if not (self.a.alive and self.b.alive):
            return False
        first, second = _samples(self.a), _samples(self.b)
        pairs = [(first[n], second[n]) for n in sorted(first.keys() & second.keys())]
        return isinstance(decide(pairs, RULE), Undecided)


def couples(ab: Sequence[str], progress: Sequence[Progress]) -> list[Couple]:
    """A model's cells of both sides, paired by io mode."""
    first, second = (
        [p for p in progress if sides.means(name, p.planned.offer, p.cell)] for name in ab
    )
    return [Couple(a, b) for a in first for b in second if a.cell.io == b.cell.io]


def rounds(
    options: Options, model: str, progress: Sequence[Progress], spent: Callable[[], bool]
) -> Iterator[tuple[int, Progress]]:
    """Round numbers and the cell to launch next; ends when all is decided, `spent`, or at --launches.

    A couple's launches follow each other in random order; every second round has the order of the one
    before reversed, so that neither side is early more often.
    """
    chance = random.Random(f"{options.seed}:{model}:ab")
    going = couples(options.ab, progress)
    orders: list[tuple[Couple, list[Progress]]] = []
    for number in range(options.launches):
        if number % 2:
            orders = [(c, order[::-1]) for c, order in reversed(orders)]
        else:
            orders = [(c, chance.sample((c.a, c.b), 2)) for c in chance.sample(going, len(going))]
        orders = [(c, order) for c, order in orders if c.open]
        if not orders or spent():
            return
        yield from ((number, p) for _, order in orders for p in order if p.alive)
        going = [c for c, _ in orders]


def with_canaries(
    launches: Iterator[tuple[int, Progress]], canaries: Sequence[Progress]
) -> Iterator[tuple[int, Progress]]:
    """Before each launch, one of its target's canary, numbered on its own."""
    by_target = {c.cell.target.label: c for c in canaries}
    for number, p in launches:
        canary = by_target.get(p.cell.target.label)
        if canary is not None and canary.alive:
            yield sum(x.kind is LaunchKind.MEASURE for x in canary.launches), canary
        yield number, p


def _samples(p: Progress) -> dict[int, tuple[int, ...]]:
    return {x.round: x.timed.samples_ns for x in p.launches if x.timed}
