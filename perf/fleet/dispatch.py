"""Hands shards to an engine, again where they were lost, until all are complete or given up.

The engine queues, places and starts; what is finished is read from the shards' own folders alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from perf.schema.merged_run import Fate


class ShardState(Enum):
    """What an engine says of a shard's task; the value is how people are told."""

    IN_FLIGHT = "waits or runs"
    ENDED = "ended by itself"
    REFUSED = "ended with an error"  # exit status 1, 2 or 3: the same would come of it again
    HOST_LOST = "lost its host"
    PREEMPTED = "was preempted"
    CANCELLED = "was cancelled"  # by a person
    UNKNOWN = "is not known any more"


FATES: Mapping[ShardState, Fate] = {
    ShardState.HOST_LOST: Fate.HOST_LOST,
    ShardState.PREEMPTED: Fate.PREEMPTED,
}
RESUBMITTED = frozenset(
    {ShardState.ENDED, ShardState.HOST_LOST, ShardState.PREEMPTED, ShardState.UNKNOWN}
)


class EngineUnreachable(Exception):
    """An engine does not answer for now; the message is its own."""


class Engine(Protocol):
    """What queues tasks and starts them on hosts: Slurm, Ray, or one that is simulated."""

    def submit(self, shards: Sequence[int]) -> None:
        """Hand in a task for each shard; raises EngineUnreachable."""
        ...

    def poll(self) -> Mapping[int, ShardState]:
        """The latest of each shard's tasks; raises EngineUnreachable."""
        ...


@dataclass
class Dispatcher:
    """Shards on their way: asked after now and then, handed in again where it is worth it."""

    engine: Engine
    shards: Sequence[int]
    is_complete: Callable[[int, ShardState], bool]
    retries: int
    say: Callable[[str], None]
    fates: dict[int, ShardState] = field(default_factory=dict)  # of those that were given up
    complete: set[int] = field(default_factory=set)
    attempts: dict[int, int] = field(default_factory=dict)
    _unreachable: bool = False

    def begin(self) -> None:
        """Hand in what no task is in flight for; raises EngineUnreachable."""
        known = self.engine.poll()
        fresh = [s for s in self.shards if not self._is_done(s, known.get(s, ShardState.UNKNOWN))]
        if fresh:
            self.engine.submit(fresh)

    def step(self) -> bool:
        """Ask once, and hand in again what was lost; whether any shard is still on its way."""
        try:
            known = self.engine.poll()
            lost = [
                s for s in self._open() if not self._is_done(s, known.get(s, ShardState.UNKNOWN))
            ]
            again = [s for s in lost if self._is_worth_it(s, known.get(s, ShardState.UNKNOWN))]
            if again:
                self.engine.submit(again)
        except EngineUnreachable as e:
            if not self._unreachable:
                self.say(f"{e}; asking again until it answers")
            self._unreachable = True
            return True
        self._unreachable = False
        return bool(self._open())

    def _open(self) -> list[int]:
        return [s for s in self.shards if s not in self.complete and s not in self.fates]

    def _is_done(self, shard: int, state: ShardState) -> bool:
        """Whether a shard needs no task: one is in flight, or it is complete."""
        if state is ShardState.IN_FLIGHT:
            return True
        if self.is_complete(shard, state):
            self.complete.add(shard)
        return shard in self.complete

    def _is_worth_it(self, shard: int, state: ShardState) -> bool:
        """Whether to hand a shard in again that ended short of complete; tells what becomes of it."""
        tried = self.attempts.get(shard, 0)
        if state not in RESUBMITTED or tried >= self.retries:
            self.fates[shard] = state
            self.say(f"shard {shard} {state.value} and is not complete: given up")
            return False
        self.attempts[shard] = tried + 1
        self.say(f"shard {shard} {state.value}: handed in again ({tried + 1} of {self.retries})")
        return True


def fates_by_model(
    given_up: Mapping[int, ShardState], models: Mapping[int, Sequence[str]]
) -> Mapping[str, Fate]:
    """Why the cells of models are missing, by what became of their shards."""
    return {
        model: FATES.get(state, Fate.NOT_RETURNED)
        for shard, state in given_up.items()
        for model in models.get(shard, ())
    }
