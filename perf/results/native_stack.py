"""gdb's account of a crash: how a worker is run under it, and the frames that it told."""

import re
from contextlib import suppress
from pathlib import Path

from perf.schema.record import NativeFrame
from perf.schema.untrusted_file import read_regular

FILE = "native_stack.txt"  # in a launch's folder; what the engine prints goes elsewhere
MOST_FRAMES = 32
_READ = 65536  # bytes
# `#1  0x7f5a in Ort::Run (this=0x0) from /x/libonnxruntime.so`; `at FILE:LINE` where the source is known
_FRAME = re.compile(
    r"#\d+ +(?:0x[0-9a-f]+ in )?(?P<function>.+?) \(.*?\)?(?: (?:from|at) (?P<where>\S.*))?"
)


def gdb_words(folder: Path) -> tuple[str, ...]:
    """The words before a worker's command that have gdb write its stack into the folder, should it crash."""
    said = (
        "set width 0",
        f"set logging file {folder / FILE}",
        "set logging on",  # before any of the engine's code could put something else in its place
        "run",
        f"bt {MOST_FRAMES}",
    )
    return ("gdb", "-batch", "-nx", *(word for text in said for word in ("-ex", text)), "--args")


def read_native_stack(folder: Path) -> tuple[NativeFrame, ...]:
    """The frames that gdb told, the innermost first; () where it saw no crash, or was not there."""
    text = ""
    with suppress(OSError):
        text = read_regular(folder / FILE, _READ).decode("utf-8", "replace")
    found = (_FRAME.fullmatch(line.strip()) for line in text.splitlines())
    return tuple(NativeFrame(m["function"][:200], (m["where"] or "")[:300]) for m in found if m)[
        :MOST_FRAMES
    ]
