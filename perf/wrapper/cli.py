"""The wrapper's command line: from flags to a finished run and an exit status that means something."""

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from perf.core import models as model_files
from perf.core import options as command_line
from perf.core.options import BadRequestError, Options
from perf.planning import devices, listing, request
from perf.planning import plan as planning
from perf.planning.answering import answered
from perf.planning.closing import OK
from perf.planning.resume import asked, rerun_filter, resumed
from perf.wrapper import place, running


def main(argv: Sequence[str] | None = None) -> int:
    """Run the harness; returns the exit status that README documents."""
    words = list(sys.argv[1:] if argv is None else argv)
    return answered(lambda: _asked(words))


def _asked(words: Sequence[str]) -> int:
    options = resumed(words, command_line.parse(words))
    if options.list:
        return listing.show(place.offers(options, build=False), devices.gpus())
    return _go(options, words)


def _go(options: Options, words: Sequence[str]) -> int:
    if options.run_id:
        command_line.check_run_id(options.run_id)
    request.check_cores(options)
    prefix = shlex.split(options.exec_prefix)
    if prefix and shutil.which(prefix[0]) is None:
        raise BadRequestError(
            f"--exec_prefix {prefix[0]}: no such program; install it, or give its path"
        )
    results = Path(options.perf_result_path).absolute()
    models = model_files.load(request.source(options))
    offered = place.offers(options, build=options.install and not options.dry_run)
    targets = request.chosen(offered, options)
    only = rerun_filter(options, results)
    planned = planning.plan(models, targets, options, only, devices.gpus())
    if options.dry_run:
        listing.show_plan(planned, options)
        return OK
    request.check_reader()
    return running.run(planned, offered, options, results, asked(words, options, results))
