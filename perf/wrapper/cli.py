"""The wrapper's command line: from flags to a finished run and an exit status that means something."""

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from perf.core import models as model_files
from perf.core import options as command_line
from perf.core.environments import EnvironmentsError
from perf.core.leases import Busy
from perf.core.models import ModelListError
from perf.core.options import BadRequestError, Options
from perf.planning import devices, listing, request
from perf.planning import plan as planning
from perf.planning.closing import BAD_REQUEST, INCOMPLETE, OK
from perf.planning.request import NothingMeasurableError
from perf.planning.resume import rerun_filter, resumed
from perf.wrapper import place, running


def main(argv: Sequence[str] | None = None) -> int:
    """Run the harness; returns the exit status that README documents."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        options = resumed(words, command_line.parse(words))
        if options.list:
            return listing.show(place.offers(options, build=False), devices.gpus())
        return _go(options, words)
    except (BadRequestError, ModelListError, EnvironmentsError) as e:
        return _error(str(e), BAD_REQUEST)
    except (NothingMeasurableError, Busy) as e:
        return _error(str(e), INCOMPLETE)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # who read our output has seen enough
        return OK
    except OSError as e:
        return _error(f"{e.filename or 'this machine'}: {e.strerror}", INCOMPLETE)
    except KeyboardInterrupt:
        return _error("interrupted before anything ran", 128 + signal.SIGINT)
    except Exception as e:
        traceback.print_exc()
        return _error(f"internal: {type(e).__name__}: {e}; please report it", INCOMPLETE)


def _error(line: str, status: int) -> int:
    print(f"error: {line}", file=sys.stderr)
    return status


def _go(options: Options, words: Sequence[str]) -> int:
    if options.run_id:
        command_line.check_run_id(options.run_id)
    request.check_cores(options)
    results = Path(options.perf_result_path).absolute()
    models = model_files.load(request.source(options))
    offered = place.offers(options, build=options.install and not options.dry_run)
    targets = request.chosen(offered, options)
    planned = planning.plan(models, targets, options, rerun_filter(options, results))
    if options.dry_run:
        listing.show_plan(planned, options)
        return OK
    return running.run(planned, offered, options, results, words)
