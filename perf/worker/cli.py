"""The command line of benchmark.py: the wrapper's flags, less those that need processes of their own."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from perf.core import models as model_files
from perf.core import options as command_line
from perf.core.options import BadRequestError, Options
from perf.planning import closing, devices, listing, request
from perf.planning import plan as planning
from perf.planning.answering import answered
from perf.planning.resume import rerun_filter
from perf.worker import again, here, inprocess

PROGRAM = "benchmark.py"
NEEDS_PROCESSES = (
    "isolation", "exec_prefix", "memory_limit", "timeout", "jobs", "env", "resume", "retry_throttled",
    "ab", "max_minutes", "canary",
)  # fmt: skip
_INSTEAD = "leave it out, or use benchmark_wrapper.py"
MORE = (
    f"{PROGRAM} makes each cell's check launch and one measure launch in its own process, on the targets "
    "of the interpreter that runs it. What crashes a cell ends the run (records of finished cells are "
    f"kept), and nothing is timed out. `{PROGRAM} PATH/cell.json [check|measure|reference]` runs one "
    "stored cell again, for a debugger. "
    f"Refused: {', '.join('--' + n for n in NEEDS_PROCESSES)}, --launches above 1."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run cells in this process; returns the exit status that README documents."""
    words = list(sys.argv[1:] if argv is None else argv)
    return answered(lambda: _asked(words))


def _asked(words: Sequence[str]) -> int:
    if words and not words[0].startswith("-"):
        return again.run(words)
    if {"-h", "--help"} & set(words):
        parser = command_line.parser(PROGRAM)
        parser.epilog = MORE
        parser.print_help()
        return closing.OK
    return _go(_options(words), words)


def _options(words: Sequence[str]) -> Options:
    """The request as one process can serve it; raises BadRequestError for what it cannot."""
    given = command_line.explicit(words, PROGRAM)
    for name in NEEDS_PROCESSES:
        if name in given:
            raise BadRequestError(f"--{name} needs processes of its own: {_INSTEAD}")
    options = command_line.parse(words, PROGRAM)
    if "launches" in given and options.launches > 1:
        raise BadRequestError(
            f"--launches {options.launches} needs processes of its own: {PROGRAM} makes one; {_INSTEAD}"
        )
    if options.run_id:
        command_line.check_run_id(options.run_id)
    request.check_cores(options)
    return replace(options, launches=1, isolation=inprocess.ISOLATION)


def _go(options: Options, words: Sequence[str]) -> int:
    results = Path(options.perf_result_path).absolute()
    gpus = devices.gpus()
    used = devices.used(gpus, options.devices)[:1]  # a process holds one
    options = replace(options, devices=used[0].uuid) if used else options
    models = () if options.list else model_files.load(request.source(options))
    offered = here.offers(used, options)
    if options.list:
        return listing.show(offered, gpus)
    targets = request.chosen(offered, options)
    only = rerun_filter(options, results)
    planned = planning.plan(models, targets, options, only, gpus)
    if options.dry_run:
        listing.show_plan(planned, options)
        return closing.OK
    here.refuse_without_onnx()
    work = inprocess.work(planned, offered, options)
    return closing.conduct(planned, options, results, [PROGRAM, *words], work, resumable=False)
