"""A reader who leaves early (`--list | head -1`): what is printed after is dropped, the status stands."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast


@contextlib.contextmanager
def ignore_broken_pipes() -> Iterator[None]:
    """Let the program in the block go on to its own end and status, whoever still reads.

    Python's own way depends on buffering: a traceback, or exit status 120. SIGPIPE's default action would end
    a run at its first word to a worker that has died.
    """
    before = sys.stdout, sys.stderr
    out, err = map(_LeavableStream, before)
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        try:
            yield
        finally:
            out.flush()
    finally:
        sys.stdout, sys.stderr = before


class _LeavableStream:
    """A text stream that takes what it is given when its reader has left; a full disk is raised once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with self._until_it_fails():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._until_it_fails():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _until_it_fails(self) -> Iterator[None]:
        try:
            yield
        except OSError as e:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())  # for what is still buffered, too
            os.close(null)
            if not isinstance(e, BrokenPipeError):
                raise
