"""What run.json of a merged run says of how it came about: shards, what is missing, what was flagged."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Fate(StrEnum):
    """Why a cell that was planned has not come back, as NotRun tells it."""

    HOST_LOST = "host lost"
    PREEMPTED = "preempted"
    NOT_RETURNED = "not returned"


@dataclass(frozen=True)
class MergedRun:
    """How a run was put together; the same for the same parts, in whatever order they came."""

    shards: tuple[str, ...] = ()  # those that came back: 3/8
    missing: int = 0  # planned cells that did not
    fates: Mapping[str, Fate] = field(default_factory=dict)  # model -> why its cells are missing
    replicas: tuple[str, ...] = ()  # cells of which more than one record came
    flagged: Mapping[str, str] = field(default_factory=dict)  # host's key -> what is wrong with it
