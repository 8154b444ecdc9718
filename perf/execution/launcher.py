"""What carries launches out, seen from the run: in processes of their own, or in this one."""

from collections.abc import Iterable
from typing import Protocol

from perf.planning.launch import LaunchRequest, LaunchResult
from perf.schema.record import Launch


class Interrupted(Exception):
    """A signal asked the run to end; the argument is the signal's number."""


class Launcher(Protocol):
    """Carries launches out: in processes of their own, or in this one."""

    jobs: int  # set-up launches that it can have in flight
    batch: int  # models to set up before the first of them is measured

    @property
    def in_flight(self) -> int:
        """How many launches run now."""
        ...

    def start(self, request: LaunchRequest) -> LaunchResult | None:
        """Begin a launch; its result at once where there is nothing to wait for."""
        ...

    def wait(self) -> LaunchResult:
        """The next launch to end, folded and durable; raises Interrupted."""
        ...

    def pause(self, seconds: float) -> None:
        """Sleep; raises Interrupted where a signal came before or meanwhile."""
        ...

    def continue_after(self, launches: Iterable[Launch]) -> None:
        """Number launches on after those of an earlier part of the run."""
        ...
