"""The one exception by which a model set-up command declines, as a single line for its user."""

import contextlib
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from perf.conversion.engine_errors import explain_too_new, explain_unknown_op
from perf.request.any_terminal import any_terminal, shown
from perf.request.bad_request import BadRequestError
from perf.request.exit_status import BUG, CANNOT_SERVE, OK
from perf.schema.engine_message import lead_with_reason


class UserError(Exception):
    """What went wrong, where, and what to do next: one line, shown without a traceback."""

    def __init__(self, what: str) -> None:
        super().__init__(" ".join(what.split()))


class BadModel(UserError):
    """A model or its test data is wrong: what, and where."""


class CannotFeed(UserError):
    """Inputs that nothing can be made for as things are: why, or what to give."""


class EndedError(BaseException):
    """Somebody asked this process to end: what is half-made goes before it does."""

    def __init__(self, number: int) -> None:
        self.number = number


@contextlib.contextmanager
def raise_as(kind: type[UserError], what: str, hint: str = "") -> Iterator[None]:
    """Raise what an engine or a tool raises in here as a `kind`: their exceptions share no public base."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise kind(f"{what}: {describe_error(error)}{hint}") from error


def describe_error(error: BaseException, most: int = 400) -> str:
    """An exception as one line, its reason first, cut at a word to what a person reads.

    What an engine says of a model is put shortly.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    text = explain_too_new(text) or explain_unknown_op(text) or lead_with_reason(text)
    return text if len(text) <= most else f"{text[:most].rpartition(' ')[0] or text[:most]} …"


def run_command(command: Callable[[Sequence[str] | None], int], arguments: Sequence[str]) -> int:
    """Run a command's main; a refusal or a signal becomes one line on stderr and a status.

    Returns the exit status: main's own, 2 for a refusal, 3 for a bug, 128 + a signal's number.
    """
    try:
        with _ended_by(signal.SIGTERM, signal.SIGHUP), any_terminal():
            return command(arguments)
    except (UserError, BadRequestError) as refusal:
        print(f"error: {shown(str(refusal))}", file=sys.stderr)
        return CANNOT_SERVE
    except BrokenPipeError:
        return OK  # who read our output has seen enough
    except OSError as failed:
        line = shown(f"{failed.filename or 'this machine'}: {failed.strerror}")
        print(f"error: {line}", file=sys.stderr)
        return CANNOT_SERVE
    except KeyboardInterrupt:
        print("error: interrupted; run the same command again to go on", file=sys.stderr)
        return 128 + signal.SIGINT
    except EndedError as ended:
        name = signal.Signals(ended.number).name
        print(f"error: ended by {name}; run the same command again to go on", file=sys.stderr)
        return 128 + ended.number
    except Exception as bug:
        traceback.print_exc()
        print(f"error: internal: {describe_error(bug)}; please report it", file=sys.stderr)
        return BUG


@contextlib.contextmanager
def _ended_by(*numbers: signal.Signals) -> Iterator[None]:
    """Have these signals raise EndedError, where nobody has said otherwise (nohup ignores one)."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise EndedError(number)

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    mine = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in mine:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in mine:
            signal.signal(number, signal.SIG_DFL)
