"""A cell's history on one machine: its figures, the steps in them, and what differed where each began."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from perf.history.index import HistoryIndex, IndexedCell, IndexedRun
from perf.schema import outcomes
from perf.stats.change_points import find_steps

MOST_RUNS = 200  # of one history: the newest


@dataclass(frozen=True)
class Point:
    """A cell in one run."""

    run: IndexedRun
    cell: IndexedCell


@dataclass(frozen=True)
class Step:
    """Where a cell's latency, or its outcome, became another."""

    before: Point  # the last of what was
    after: Point  # the first of what is
    change: (
        float | None
    )  # ratio of the medians of the runs after and before; None: its outcome changed
    differs: tuple[str, ...]  # what else differs between the two runs

    @property
    def is_bad(self) -> bool:
        """Slower, or no longer passing."""
        if self.change is None:
            return self.before.cell.status == outcomes.PASS
        return self.change > 1


@dataclass(frozen=True)
class Trend:
    """One cell on one machine, oldest run first."""

    cell: str
    machine: str
    points: tuple[Point, ...]
    steps: tuple[Step, ...]

    @property
    def medians_ms(self) -> tuple[float | None, ...]:
        """p50 of each run; None where it has none."""
        return tuple(p.cell.p50_ms for p in self.points)


def find_trends(index: HistoryIndex, cell: str = "") -> tuple[Trend, ...]:
    """Every cell's trend, or one cell's, a trend for each machine: figures of two are never put together."""
    runs = {r.run_id: r for r in index.runs()}
    groups: dict[tuple[str, str], list[Point]] = {}
    for c in index.cells(cell):
        run = runs[c.run_id]
        groups.setdefault((c.cell, run.machine), []).append(Point(run, c))
    return tuple(
        Trend(name, machine, tuple(points[-MOST_RUNS:]), _steps(points[-MOST_RUNS:]))
        for (name, machine), points in groups.items()
    )


def describe_step(step: Step) -> str:
    """A step as one line: by how much, in which run, and what differed from the run before."""
    what = f"{step.before.cell.outcome} -> {step.after.cell.outcome}"
    if step.change is not None:
        what = f"{100 * (step.change - 1):+.1f} %"
    why = "; ".join(step.differs) or "nothing that is known differs"
    return f"{what} in {step.after.run.run_id} (before: {step.before.run.run_id}): {why}"


def list_differences(before: Point, after: Point) -> tuple[str, ...]:
    """What may explain a step: versions of the engine and its parts, driver, kernel, commit, the question."""
    facts = [
        *_differences(before.cell.versions, after.cell.versions),
        *_differences(before.run.facts, after.run.facts),
    ]
    if before.cell.digest != after.cell.digest and not facts:
        facts.append("the cell was asked otherwise (model, inputs, options or protocol)")
    return tuple(facts)


def _differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    names = dict.fromkeys([*before, *after])
    return [
        f"{n} {before.get(n, 'none')[:12]} -> {after.get(n, 'none')[:12]}"
        for n in names
        if before.get(n) != after.get(n)
    ]


def _steps(points: Sequence[Point]) -> tuple[Step, ...]:
    """Steps of latency by their statistics, and changes between passing and failing, in the order of runs."""
    found = [
        (i + 1, Step(a, b, None, list_differences(a, b)))
        for i, (a, b) in enumerate(pairwise(points))
        if (a.cell.status, b.cell.status)
        in ((outcomes.PASS, outcomes.FAIL), (outcomes.FAIL, outcomes.PASS))
    ]
    timed = [(i, p, ms) for i, p in enumerate(points) if (ms := p.cell.p50_ms)]
    logs = [math.log(ms) for _, _, ms in timed]
    cuts = find_steps(logs)
    for begin, at, end in zip((0, *cuts), cuts, (*cuts[1:], len(logs)), strict=False):
        was, now = statistics.median(logs[begin:at]), statistics.median(logs[at:end])
        a, b = timed[at - 1][1], timed[at][1]
        found.append((timed[at][0], Step(a, b, math.exp(now - was), list_differences(a, b))))
    return tuple(step for _, step in sorted(found, key=lambda x: x[0]))
