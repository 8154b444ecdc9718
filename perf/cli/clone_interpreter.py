"""The clone's own Python taken over to, for commands whose documents type `python`, whichever that is."""

import importlib.util
import os
import sys

from perf.request.locations import CODE, IN_CLONE

_NEEDED = ("numpy", "onnx", "onnxruntime", "yaml")


def continue_in_own() -> None:
    """Run this command again in .venv where the Python that was typed lacks what a run needs.

    Without a .venv it goes on, and what is missing is told with the command that brings it.
    """
    own = CODE / ".venv" / "bin" / "python"
    lacks = any(importlib.util.find_spec(name) is None for name in _NEEDED)
    if IN_CLONE and lacks and own.is_file() and sys.prefix != str(own.parents[1]):
        os.execv(own, [str(own), *sys.orig_argv[1:]])
