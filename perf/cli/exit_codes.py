"""What a user is told of a request that cannot be served: one line, and the exit status of its kind."""

import signal
import sys
import traceback
from collections.abc import Callable

from comparison.cell_summary import UnreadableError
from perf.execution.run_lifecycle import RunCutShortError, TablesNotWrittenError
from perf.machine.machine_lock import LockHeld
from perf.planning.targets import NothingMeasurableError
from perf.request.any_terminal import any_terminal, leave_deaf_readers, shown
from perf.request.environments import EnvironmentsError
from perf.request.exit_status import BUG, CANNOT_SERVE, OK
from perf.request.model_list import ModelListError
from perf.request.options import BadRequestError
from perf.schema.version import NewerSchemaError


def run_and_report(work: Callable[[], int]) -> int:
    """The exit status of `work`, or of what it raised, which is told on stderr."""
    with any_terminal():
        return _status_of(work)


def _status_of(work: Callable[[], int]) -> int:
    try:
        return work()
    except SystemExit as e:  # help was asked for
        return int(e.code or OK)
    except (
        BadRequestError, ModelListError, EnvironmentsError, NewerSchemaError, NothingMeasurableError,
        LockHeld, RunCutShortError, UnreadableError,
    ) as e:  # fmt: skip
        return _error(str(e), CANNOT_SERVE)
    except TablesNotWrittenError as e:
        return _error(str(e), e.status)
    except OSError as e:
        return _error(f"{e.filename or 'this machine'}: {e.strerror}", CANNOT_SERVE)
    except KeyboardInterrupt:
        leave_deaf_readers()
        return _error("interrupted before anything ran", 128 + signal.SIGINT)
    except Exception as e:
        traceback.print_exc()
        return _error(f"internal: {type(e).__name__}: {e}; please report it", BUG)


def _error(line: str, status: int) -> int:
    print(f"error: {shown(line)}", file=sys.stderr)
    return status
