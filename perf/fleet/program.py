"""How the fleet's programs read their words and tell what they cannot do: one line, exit status 2."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence

from perf.request.any_terminal import any_terminal
from perf.request.bad_request import BadRequestError
from perf.request.command_parser import CommandParser, underscored
from perf.request.model_list import ModelListError
from perf.schema.version import NewerSchemaError

CANNOT = 2


class FleetParser(CommandParser):
    """A parser of an engine's own flags; what it does not know is left for the run's."""

    def split(self, argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
        """What a command line says of the fleet, and its other words; raises BadRequestError."""
        self.begin()
        return self.parse_known_args(underscored(sys.argv[1:] if argv is None else argv))


def report(work: Callable[[], int]) -> int:
    """The exit status of `work`, or of what it raised, which is told on stderr in one line."""
    with any_terminal():
        return _report(work)


def _report(work: Callable[[], int]) -> int:
    try:
        return work()
    except SystemExit as e:  # help was asked for
        return int(e.code or 0)
    except (BadRequestError, ModelListError, NewerSchemaError) as e:
        return _error(str(e), CANNOT)
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
