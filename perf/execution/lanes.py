"""Measuring lanes: one launch at a time on each device, and what those of other devices do to it."""

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias, TypeVar, assert_never

from perf.execution.launcher import Launcher
from perf.planning.launch import LaunchRequest, LaunchResult
from perf.schema.journal import MOST_RUNS, Timed
from perf.schema.record import Launch
from perf.stats.sequential_test import (
    Decision,
    Evidence,
    Improved,
    Pair,
    Regressed,
    Samples,
    StoppingRule,
    Unchanged,
    Undecided,
    Unsettled,
    decide,
)

Answer = TypeVar("Answer")
Launches: TypeAlias = Generator[LaunchRequest, LaunchResult, Answer]
ROUNDS = 8  # of launches on the other devices; the first may come before the long launch's runs
RULE = StoppingRule(cap=ROUNDS, confirm=False, runs=MOST_RUNS)
GAP_S = 0.3  # between rounds: in which the long launch is alone
FEWEST = 10  # runs in a stretch of time, for it to say something


def carry_out(launcher: Launcher, lanes: Iterable[Launches[None]]) -> list[LaunchResult]:
    """Carry lanes' launches out: in each the next after the one before, lanes beside each other.

    A launch that two ask for is made once. Answers those that ended meanwhile, and that no lane had asked
    for. Raises Interrupted.
    """
    others = []
    waiting: dict[Path, list[Launches[None]]] = {}
    for lane in lanes:
        _go_on(launcher, lane, None, waiting)
    while waiting:
        result = launcher.wait()
        if result.request.folder not in waiting:
            others.append(result)
            continue
        for lane in waiting.pop(result.request.folder):
            _go_on(launcher, lane, result, waiting)
    return others


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


@dataclass(frozen=True)
class Round:
    """Launches on the other devices, begun together while a long launch went on."""

    launches: Sequence[Launch]

    @property
    def began_s(self) -> float:
        """When the first of them began."""
        return min(x.began_s for x in self.launches)

    @property
    def ended_s(self) -> float:
        """When the last of them had ended."""
        return max(x.began_s + x.ending.wall_s for x in self.launches)

    @property
    def runs_s(self) -> tuple[float, float] | None:
        """From when to when all of them were timed; None where they were not at one time."""
        timed = [x.timed for x in self.launches]
        if not all(timed):
            return None
        begun_s = max(t.begun_s for t in timed if t)
        ended_s = min(t.ended_s for t in timed if t)
        return (begun_s, ended_s) if begun_s < ended_s else None


@dataclass
class LaneTrial:
    """Pairs of stretches of a long launch's runs: alone, and while others start or run."""

    pairs: dict[str, list[Pair]] = field(default_factory=dict)  # by what went on where

    def add(self, device: str, timed: Timed, rounds: Sequence[Round]) -> None:
        """Take in a long launch's runs, held against those in the gap before each round."""
        starts = self.pairs.setdefault(f"{device} while another starts", [])
        runs = self.pairs.setdefault(f"{device} while another runs", [])
        for before, now in pairwise(rounds):
            if now.runs_s is None:
                continue
            gap = runs_between(timed, before.ended_s, now.began_s)
            stretches = ((starts, (now.began_s, now.runs_s[0])), (runs, now.runs_s))
            for pairs, stretch in stretches:
                beside = runs_between(timed, *stretch)
                if min(len(gap), len(beside)) >= FEWEST:
                    pairs.append((gap, beside))

    @property
    def has_no_effect(self) -> bool:
        """Whether an effect beyond the threshold is ruled out for each device, whatever others do."""
        found = self._decisions.values()
        return bool(found) and all(isinstance(d, Unchanged) for d in found)

    @property
    def _decisions(self) -> Mapping[str, Decision]:
        return {what: decide(pairs, RULE) for what, pairs in self.pairs.items()}

    def __str__(self) -> str:
        told = [f"{what} {_describe(d)}" for what, d in self._decisions.items()]
        return "; ".join(told) or "no launch of it was seen beside another"


def runs_between(timed: Timed, begun_s: float, ended_s: float) -> Samples:
    """A launch's runs that lie in a stretch of time; nothing but runs is assumed to fill its own."""
    stretch = (timed.ended_s - timed.begun_s) * 1e9 / (sum(timed.samples_ns) or 1)
    found, at_s = [], timed.begun_s
    for sample in timed.samples_ns:
        until_s = at_s + sample * stretch / 1e9
        if begun_s <= at_s and until_s <= ended_s:
            found.append(sample)
        at_s = until_s
    return found


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


def devices_of(gpus: Iterable[str]) -> Sequence[str]:
    """UUIDs that are there, each once, in the order they come in."""
    return tuple(dict.fromkeys(g for g in gpus if g))
