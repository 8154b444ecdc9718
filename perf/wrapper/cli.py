"""The wrapper's command line: from flags to a finished run and an exit status that means something."""

import sys
from collections.abc import Sequence
from pathlib import Path

from perf.core import models as model_files
from perf.core import options as command_line
from perf.core.environments import EnvironmentsError
from perf.core.models import ModelListError
from perf.core.options import BadRequestError, Options
from perf.planning import devices, listing
from perf.planning import plan as planning
from perf.planning.resume import rerun_filter, resumed
from perf.wrapper import place, running
from perf.wrapper.running import BAD_REQUEST, OK


def main(argv: Sequence[str] | None = None) -> int:
    """Run the harness; returns the exit status that README documents."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        options = resumed(words, command_line.parse(words))
        if options.list:
            return listing.show(place.offers(options, build=False), devices.gpus())
        return _go(options, words)
    except (BadRequestError, ModelListError, EnvironmentsError) as e:
        print(f"error: {e}", file=sys.stderr)
        return BAD_REQUEST


def _go(options: Options, words: Sequence[str]) -> int:
    if options.run_id:
        command_line.check_run_id(options.run_id)
    results = Path(options.perf_result_path).absolute()
    models = model_files.load(_source(options))
    offered = place.offers(options, build=options.install and not options.dry_run)
    targets = place.chosen(offered, options)
    planned = planning.plan(models, targets, options, rerun_filter(options, results))
    if options.dry_run:
        listing.show_plan(planned, options)
        return OK
    return running.run(planned, offered, options, results, words)


def _source(options: Options) -> Path:
    """-m as given, else below -w, where the predecessor looked for it."""
    given = Path(options.model_source)
    below = Path(options.workspace) / given
    return given if given.exists() or not below.exists() else below
