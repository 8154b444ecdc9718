"""The one exception by which a model set-up command declines, as a single line for its user."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence


class RefusalError(Exception):
    """What went wrong, where, and what to do next: one line, shown without a traceback."""

    def __init__(self, what: str) -> None:
        super().__init__(" ".join(what.split()))


def run_command(command: Callable[[Sequence[str] | None], int], arguments: Sequence[str]) -> int:
    """Run a command's main; a refusal or an interrupt becomes one line on stderr and a status.

    Returns the exit status: main's own, 1 for a refusal, 130 for Ctrl-C.
    """
    try:
        return command(arguments)
    except RefusalError as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
