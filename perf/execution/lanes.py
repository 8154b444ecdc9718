"""Measuring lanes: one launch at a time on each device, and what those of other devices do to it."""

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, TypeVar, assert_never

from perf.execution.launcher import Launcher
from perf.measure.timing import MOST
from perf.planning.launch import LaunchRequest, LaunchResult
from perf.schema.journal import Timed
from perf.stats.sequential_test import (
    Decision,
    Evidence,
    Improved,
    Pair,
    Regressed,
    StoppingRule,
    Unchanged,
    Undecided,
    Unsettled,
    decide,
)

Answer = TypeVar("Answer")
Launches: TypeAlias = Generator[LaunchRequest, LaunchResult, Answer]
# Each pair costs a launch alone and one beside for every device: the trial must not outlast what it saves.
RULE = StoppingRule(cap=15, confirm=False, runs=MOST)
LEAST_OVERLAP = 0.5  # of its timed runs' time, for a launch to have been beside another


def carry_out(launcher: Launcher, lanes: Iterable[Launches[None]]) -> None:
    """Carry lanes' launches out: in each the next after the one before, lanes beside each other.

    A launch that two ask for is made once. Raises Interrupted.
    """
    waiting: dict[Path, list[Launches[None]]] = {}
    for lane in lanes:
        _go_on(launcher, lane, None, waiting)
    while waiting:
        result = launcher.wait()
        for lane in waiting.pop(result.request.folder):
            _go_on(launcher, lane, result, waiting)


def _go_on(
    launcher: Launcher,
    lane: Launches[None],
    result: LaunchResult | None,
    waiting: dict[Path, list[Launches[None]]],
) -> None:
    """Give a lane what it waited for, and start what it asks for next."""
    while True:
        try:
            request = next(lane) if result is None else lane.send(result)
        except StopIteration:
            return
        asked = waiting.setdefault(request.folder, [])
        asked.append(lane)
        if len(asked) > 1:
            return
        result = launcher.start(request)
        if result is None:
            return
        del waiting[request.folder]


@dataclass
class LaneTrial:
    """Pairs of launches of each device: alone, and beside those of the others."""

    pairs: dict[str, list[Pair]] = field(default_factory=dict)  # by what it is called

    def add(self, device: str, pair: Pair) -> None:
        """Take in one more pair."""
        self.pairs.setdefault(device, []).append(pair)

    @property
    def is_open(self) -> bool:
        """Whether more pairs may settle it, and no device has shown an effect yet."""
        found = self._decisions.values()
        slowed = any(isinstance(d, Regressed | Improved | Unsettled) for d in found)
        return not slowed and any(isinstance(d, Undecided) for d in found)

    @property
    def has_no_effect(self) -> bool:
        """Whether on every device an effect beyond the threshold is ruled out."""
        found = self._decisions.values()
        return bool(found) and all(isinstance(d, Unchanged) for d in found)

    @property
    def _decisions(self) -> Mapping[str, Decision]:
        return {device: decide(pairs, RULE) for device, pairs in self.pairs.items()}

    def __str__(self) -> str:
        told = [f"{device} {_describe(d)}" for device, d in self._decisions.items()]
        return "; ".join(told) or "no launch of it passed"


def _describe(decision: Decision) -> str:
    match decision:
        case Undecided(evidence):
            spelled = _spell(evidence) if evidence else "too few pairs"
            return f"not known to {100 * RULE.threshold:g} %: {spelled}"
        case Unsettled(evidence):
            return f"not known to {100 * RULE.threshold:g} %: {_spell(evidence)}"
        case Regressed(evidence) | Improved(evidence) | Unchanged(evidence):
            return _spell(evidence)
        case _:
            assert_never(decision)


def _spell(evidence: Evidence) -> str:
    ratio, error = evidence.p10.log_ratio, evidence.p10.error
    return f"{100 * ratio:+.1f} ± {100 * RULE.z * error:.1f} % in {evidence.pairs_used} pairs"


def was_beside(timed: Timed, others: Iterable[Timed]) -> bool:
    """Whether timed runs of another launch went on for most of the time of this one's."""
    took_s = timed.ended_s - timed.begun_s
    shared_s = (
        min(timed.ended_s, other.ended_s) - max(timed.begun_s, other.begun_s) for other in others
    )
    return took_s > 0 and max(shared_s, default=0.0) >= LEAST_OVERLAP * took_s


def devices_of(gpus: Iterable[str]) -> Sequence[str]:
    """UUIDs that are there, each once, in the order they come in."""
    return tuple(dict.fromkeys(g for g in gpus if g))
