"""Standard streams that bear any terminal: closed, ASCII, left early by their reader, on a full disk."""

import contextlib
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

_DISK_ERROR = 2  # an exit status, as everywhere


@contextlib.contextmanager
def any_terminal() -> Iterator[None]:
    """Let the program in the block go on to its own end and status, whoever reads, and in what letters.

    A stream that was closed at the start is /dev/null, for else the next file that is opened would
    take its place. A letter that the terminal has not is shown as its number. Who stops reading early
    (`--list | head -1`) misses what is printed after: Python's own way is a traceback or exit status
    120, and SIGPIPE's default action would end a run at its first word to a worker that has died.
    Raises SystemExit at the end where a disk was full.
    """
    _require_utf8()
    _open_closed_streams()
    before = sys.stdout, sys.stderr
    for stream in before:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    out, err = map(_LeavableStream, before)
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        try:
            yield
        finally:
            _flush_or_exit(out)
    finally:
        sys.stdout, sys.stderr = before


def leave_deaf_readers() -> None:
    """From now on wait for no reader: what one that reads nothing has not room for is dropped.

    For a program that was told to end, out of a signal handler too: a write that waits goes on, into nothing.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, _LeavableStream):
            stream.lose_patience()


def shown(text: str) -> str:
    """A line that holds others' names: what would move the cursor, or end the line, is shown as its code."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _flush_or_exit(out: "_LeavableStream") -> None:
    out.flush()
    if out.lost:
        print(f"error: standard output: {out.lost}", file=sys.stderr)
        raise SystemExit(_DISK_ERROR)


def _require_utf8() -> None:
    """Begin again in Python's UTF-8 mode, as all workers will, where a locale has no such names."""
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode:
        program = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
        os.execve(sys.executable, program, {**os.environ, "PYTHONUTF8": "1"})


def _open_closed_streams() -> None:
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free is this one
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


class _LeavableStream:
    """A text stream that goes on taking text when its reader has left, or its disk is full."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost = ""  # why text that somebody may have wanted was lost
        self._impatient = False

    def write(self, text: str) -> int:
        if self._impatient:
            self._drop_if_deaf()
        with self._dropping():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        if self._impatient:
            self._drop_if_deaf()
        with self._dropping():
            self._stream.flush()

    def lose_patience(self) -> None:
        """Drop what a reader has no room for, now and from now on."""
        self._impatient = True
        self._drop_if_deaf()

    def _drop_if_deaf(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # no file, or closed: then nobody waits
            poll = select.poll()
            poll.register(self._stream.fileno(), select.POLLOUT)
            if not poll.poll(0):
                self._drop()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _dropping(self) -> Iterator[None]:
        try:
            yield
        except OSError as e:
            self._drop()
            if not isinstance(e, BrokenPipeError):
                self.lost = e.strerror or str(e)

    def _drop(self) -> None:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())  # for what is still buffered, too
        os.close(null)
