"""The end of a launch's output that is the engine's own, without the stacks that Python adds to it."""

import os
import re
from contextlib import suppress
from pathlib import Path

from perf.schema.untrusted_file import open_regular

READ = 65536  # bytes from the end
LONGEST = 2000  # characters of a line: engines put the reason last
STACK = re.compile(
    r"Fatal Python error|Current thread|Thread 0x|Extension modules|Traceback|During handling|\s+File|\s{4}"
)
COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
RAISED = re.compile(r"[\w.]+\.\w+(Error|Exception|Fail|Fault|InvalidArgument|NotImplemented)?: ")


def read_log_tail(path: Path, lines: int = 3) -> tuple[str, ...]:
    """The last lines that an engine wrote; the exception's own line where it wrote none; () unread."""
    text = ""
    with suppress(OSError), os.fdopen(open_regular(path), "rb") as f:
        f.seek(max(0, f.seek(0, 2) - READ))
        text = f.read(READ).decode("utf-8", "replace")
    return own_lines(text, lines)


def own_lines(text: str, lines: int) -> tuple[str, ...]:
    """The last lines of an output that are an engine's own; the exception's line where there is none."""
    said = [
        x.rstrip() for x in COLOUR.sub("", text).splitlines() if x.strip() and not STACK.match(x)
    ]
    own = [x for x in said if not RAISED.match(x)]
    own = [x for x in own if "[E:" in x or "[F:" in x] or own  # ORT's errors before its warnings
    return tuple(x[:LONGEST] for x in (own or said)[-lines:])
