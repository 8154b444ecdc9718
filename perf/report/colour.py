"""Colours of outcomes on a terminal, where --color, NO_COLOR and the stream allow them."""

import os
from typing import TextIO

from perf.schema import outcomes
from perf.schema.record import Outcome

COLOURS = {
    outcomes.PASS: "32",
    outcomes.FAIL: "31",
    outcomes.SKIPPED: "33",
    outcomes.NOT_RUN: "33",
}


def paint(line: str, outcome: Outcome, stream: TextIO, choice: str) -> str:
    """A line with the outcome that it names coloured; `choice` is --color's: auto, always or never."""
    usual = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    if choice == "never" or (choice == "auto" and not usual):
        return line
    word = outcomes.exact(outcome)
    return line.replace(word, f"\x1b[{COLOURS[outcomes.status(outcome)]}m{word}\x1b[0m", 1)
