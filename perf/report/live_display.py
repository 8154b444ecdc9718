"""Two lines on a terminal while a run goes on: how far it is, how long it takes, what is done since when."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

REDRAW_S = 0.5
LEAST_SHARE = (
    0.25  # of what was expected for cells that have not ended: the run cannot be nearer its end
)


class LiveDisplay:
    """The wrapper draws it itself, between its waits: there is no thread, and nothing in a worker's way."""

    def __init__(self, planned: int, expected_s: Mapping[str, float]) -> None:
        from rich.console import Console  # a run without a terminal does not load it
        from rich.live import Live

        self._console = Console(file=sys.stderr, force_terminal=True, highlight=False)
        self._live: Any = Live(
            console=self._console, auto_refresh=False, transient=True, redirect_stdout=False,
            redirect_stderr=False,
        )  # fmt: skip
        self._planned, self._expected_s = planned, dict(expected_s)
        self._ended = self._failed = 0
        self._what, self._since_s, self._limit_s, self._stage = "", 0.0, 0.0, ""
        self._began_s, self._drawn_s = time.monotonic(), 0.0

    def begin(self, what: str) -> None:
        """Something else is being done now."""
        self._what, self._stage, self._since_s = what, "", time.monotonic()
        self.draw()

    def tell_stage(self, stage: str, since_s: float, limit_s: float) -> None:
        """The launch in flight is in this stage; its deadline is so many seconds after its begin."""
        self._stage, self._since_s, self._limit_s = stage, since_s, limit_s
        self.draw()

    def is_due(self) -> bool:
        """Whether it would be drawn now."""
        return time.monotonic() - self._drawn_s >= REDRAW_S

    def end_cell(self, cell: str, *, failed: bool) -> None:
        """A cell has ended."""
        self._ended += 1
        self._failed += failed
        self._expected_s.pop(cell, None)

    def draw(self) -> None:
        """Draw it anew, at most every `REDRAW_S`."""
        from rich.text import Text

        if not self.is_due():
            return
        self._drawn_s = now = time.monotonic()
        if not self._live.is_started:
            self._live.start()
            self._console.show_cursor(
                True
            )  # a run that is killed leaves a terminal that can be used
        lines = Text("\n".join(self.lines(now)), no_wrap=True, overflow="ellipsis", style="dim")
        self._live.update(lines, refresh=True)

    def lines(self, now_s: float) -> list[str]:
        """The two lines, as they are at a time of the monotonic clock."""
        failed = f", {self._failed} failed" if self._failed else ""
        left = describe_time_to_go(
            now_s - self._began_s, self._ended, self._planned, self._expected_s
        )
        stage = f": {self._stage}" if self._stage else ""
        limit = f" of {self._limit_s:.0f} s at most" if self._limit_s else ""
        return [
            f"{self._ended} of {self._planned} cells{failed}; {left}",
            f"{self._what}{stage}, {max(0.0, now_s - self._since_s):.0f} s{limit}",
        ]

    @contextlib.contextmanager
    def lifted(self) -> Iterator[None]:
        """Away while something else is printed; it comes back by itself."""
        if self._live.is_started:
            self._live.stop()
        self._drawn_s = 0.0
        yield

    def close(self) -> None:
        """Leave nothing of it behind."""
        if self._live.is_started:
            self._live.stop()


def is_wanted() -> bool:
    """Whether there is a terminal that can be drawn on, and rich."""
    if not sys.stderr.isatty() or os.environ.get("TERM") in ("dumb", ""):
        return False
    try:
        import rich  # noqa: F401  # a run does not need it
    except ImportError:
        return False
    return True


def describe_time_to_go(
    elapsed_s: float, ended: int, planned: int, expected_s: Mapping[str, float]
) -> str:
    """How long it takes still, by what cells took in earlier runs, else by those that have ended.

    `expected_s` is of the cells that have not ended, as far as earlier runs tell it.
    """
    left = planned - ended
    if not left:
        return f"{format_minutes(elapsed_s)} so far"
    if len(expected_s) >= left:
        remaining_s = sum(expected_s.values())
        pace_s = remaining_s if ended else max(remaining_s - elapsed_s, LEAST_SHARE * remaining_s)
        return f"about {format_minutes(pace_s)} to go, as in earlier runs"
    if ended:
        return f"about {format_minutes(elapsed_s / ended * left)} to go"
    return f"{format_minutes(elapsed_s)} so far"


def format_minutes(seconds: float) -> str:
    """45 s, 3 min, 2 h 10 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02} min"
