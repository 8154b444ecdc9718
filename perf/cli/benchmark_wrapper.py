"""benchmark_wrapper.py and `ep-perf run`: each launch in a process of its own."""

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from perf.cli import benchmark, listing
from perf.cli.exit_codes import run_and_report
from perf.cli.requested_models import load_requested
from perf.cli.run_end import RunEnd, conclude, plan_end
from perf.execution.resume import original_words, rerun_filter, rerun_options, resume_options
from perf.execution.run_lifecycle import RunPlan, RunSession, run_session
from perf.history.expected_time import read_times
from perf.machine.gpus import find_gpus
from perf.planning.form_choice import formats_of
from perf.planning.plan import plan_cells
from perf.planning.plan_identity import describe_whole_plan
from perf.planning.provider_options import refuse_ignored_options
from perf.planning.targets import choose_offers, require_onnx
from perf.request import options as command_line
from perf.request.command_parser import CommandParser
from perf.request.host_paths import map_paths
from perf.request.named_paths import refuse_bad_paths
from perf.request.options import BadRequestError, Options
from perf.wrapper.environments import hold_environments, offer_targets, offers_as_known
from perf.wrapper.guardian import run_guarded
from perf.wrapper.launcher import open_process_launcher
from perf.wrapper.provider_options import refuse_options

PROGRAM = "benchmark_wrapper.py"


def make_parser() -> CommandParser:
    """The flags of a run."""
    return command_line.make_parser()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the harness; returns the exit status that README documents."""
    words = list(sys.argv[1:] if argv is None else argv)
    return run_and_report(lambda: _serve(words))


def _serve(words: Sequence[str]) -> int:
    options = command_line.parse(words)
    if options.in_process:  # a debugger needs the terminal's own process
        return benchmark.run(words, PROGRAM)
    return run_guarded(lambda: run_and_report(lambda: _run(words, options)))


def _run(words: Sequence[str], options: Options) -> int:
    options = map_paths(rerun_options(words, resume_options(words, options)))
    if options.list:
        return listing.show_targets(offers_as_known(options), find_gpus(), options)
    _check(options)
    end = plan_end(options)
    plan = make_plan(options, words, end)
    if not plan.planned:
        return listing.show_empty_shard(options)
    if options.dry_run:
        return listing.show_plan(plan.planned, options)
    require_onnx()
    with plan.signals, run_session(plan) as session:
        with hold_environments(plan.planned), open_process_launcher(session) as launcher:
            session.run(launcher)
        session.write_tables()
        session.show_summary()
        if options.ab:
            _show_ab_verdict(session)
    return conclude(session, end)


def _show_ab_verdict(session: RunSession) -> None:
    """What the comparison of both sides says; --json: stdout is for results."""
    from comparison.ab_verdict import describe_ab_run  # a run that is no A/B does not pay for it

    width = shutil.get_terminal_size((100, 24)).columns
    for line in describe_ab_run(session.folder.root, width):
        session.screen.tell(line)


def _check(options: Options) -> None:
    """Refuse what cannot be served here, before anything is built; raises BadRequestError."""
    if options.run_id and not options.resume:
        command_line.check_run_id(options.run_id, Path(options.perf_result_path).absolute())
    command_line.check_affinity(options)
    command_line.refuse_idle_flags(options)
    refuse_bad_paths(options)
    _check_debugger(options)
    prefix = shlex.split(options.exec_prefix)
    if prefix and shutil.which(prefix[0]) is None:
        raise BadRequestError(
            f"--exec_prefix {prefix[0]}: no such program; install it, or give its path"
        )


def _check_debugger(options: Options) -> None:
    if options.backtrace and shutil.which("gdb") is None:
        raise BadRequestError("--backtrace: no gdb here; install it, or leave the flag out")


def make_plan(options: Options, words: Sequence[str], end: RunEnd | None = None) -> RunPlan:
    """All that is known of a run before it begins; raises what `run_and_report` tells."""
    end = end or RunEnd()
    results = Path(options.perf_result_path).absolute()
    found = load_requested(options)
    formats = formats_of(found.models)
    build = options.install and not options.dry_run
    offers = offer_targets(options, build=build, formats=formats)
    chosen = choose_offers(offers, options, formats)
    planned = plan_cells(
        found.models, chosen, options, rerun_filter(options, results), find_gpus()
    )
    refuse_ignored_options(planned)
    refuse_options(planned, options)
    command = (PROGRAM, *original_words(words, options, results))
    whole = describe_whole_plan(found.names, chosen, planned, options)
    times = {} if options.dry_run else read_times(results, planned)
    return RunPlan(planned, offers, options, results, command, end.expected, times, whole=whole)


if __name__ == "__main__":
    raise SystemExit(main())
