"""How the fleet's programs read their words and tell what they cannot do: one line, exit status 2."""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from perf.request.model_list import ModelListError
from perf.request.options import BadRequestError
from perf.schema.version import NewerSchemaError

CANNOT = 2


class Parser(argparse.ArgumentParser):
    """Raises instead of printing usage, so that bad input costs one line; hyphens and underscores are one."""

    def error(self, message: str) -> NoReturn:
        """A wrong word."""
        raise BadRequestError(f"{message} (see --help)")


def report(work: Callable[[], int]) -> int:
    """The exit status of `work`, or of what it raised, which is told on stderr in one line."""
    try:
        return work()
    except (BadRequestError, ModelListError, NewerSchemaError) as e:
        return _error(str(e), CANNOT)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as e:
        what = f"{e.filename or 'this machine'}: {e.strerror}"
        return _error(
            f"{what}; nothing is lost: make room, or see to it, and run it again", CANNOT
        )
    except KeyboardInterrupt:
        return _error("interrupted", 128 + signal.SIGINT)


def say(line: str) -> None:
    """Tell whoever waits, apart from the results."""
    print(line, file=sys.stderr, flush=True)


def _error(line: str, status: int) -> int:
    print(f"error: {line}", file=sys.stderr)
    return status
