"""benchmark.py: every launch in the running interpreter, for a debugger."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from perf.cli import listing
from perf.cli.exit_codes import run_and_report
from perf.cli.requested_models import load_requested
from perf.cli.run_end import conclude, plan_end
from perf.execution.resume import original_words, rerun_filter, rerun_options
from perf.execution.run_lifecycle import RunPlan, run_session
from perf.inprocess import current_environment, replay
from perf.inprocess.launcher import ISOLATION, InProcessLauncher
from perf.machine.gpus import Gpu, find_gpus, gpus_to_use
from perf.planning.form_choice import formats_of
from perf.planning.plan import plan_cells
from perf.planning.plan_identity import describe_whole_plan
from perf.planning.provider_options import refuse_ignored_options
from perf.planning.targets import Offer, choose_offers
from perf.request import options as command_line
from perf.request.named_paths import refuse_bad_paths
from perf.request.options import BadRequestError, Options
from perf.request.programs import command_of, in_process_command

PROGRAM = "benchmark.py"
NEEDS_PROCESSES = (
    "isolation", "exec_prefix", "backtrace", "memory_limit", "timeout", "jobs", "env", "resume",
    "retry_throttled", "ab", "max_minutes", "canary", "lanes", "replicas",
)  # fmt: skip
MORE = (
    "Each cell's check launch and one measure launch are made in this process, on the targets of the "
    "interpreter that runs it. What crashes a cell ends the run (records of finished cells are kept), and "
    "nothing is timed out. PATH/cell.json [check|measure|reference] runs one stored cell again. "
    f"Refused: {', '.join('--' + n for n in NEEDS_PROCESSES)}, --launches above 1."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run cells in this process; returns the exit status that README documents."""
    words = list(sys.argv[1:] if argv is None else argv)
    return run_and_report(lambda: run(words))


def run(words: Sequence[str], program: str = PROGRAM) -> int:
    """The same, for a program that says what a command to run a cell again begins with."""
    rest = [w for w in words if w not in ("--in_process", "--in-process")]
    if (
        rest
        and not rest[0].startswith("-")
        and (program == PROGRAM or rest[0].endswith("cell.json"))
    ):
        return replay.replay_cell(rest)
    options, gpus = _check(words), find_gpus()
    used = gpus_to_use(gpus, options.devices)[:1]  # a process holds one
    options = replace(options, devices=used[0].uuid) if used else options
    offers = current_environment.offer_targets(used, options)
    if options.list:
        return listing.show_targets([offers], gpus, options)
    end = plan_end(options)
    made_by = original_words(words, options, Path(options.perf_result_path).absolute())
    plan = _make_plan(options, (program, *made_by), offers, gpus)
    plan = replace(plan, expected=end.expected)
    if not plan.planned:
        return listing.show_empty_shard(options)
    if options.dry_run:
        return listing.show_plan(plan.planned, options)
    current_environment.require_onnx()
    with run_session(plan) as session:
        session.run(InProcessLauncher(session.host.boot_id, session.folder.root, session.host_key))
        session.write_tables()
        session.show_summary()
    return conclude(session, end)


def _instead() -> str:
    return f"leave it out, or use {command_of('perf.cli.benchmark_wrapper')}"


def _check(words: Sequence[str]) -> Options:
    """The request as one process can serve it; raises BadRequestError for what it cannot."""
    given = command_line.given_flags(words, in_process_command(), MORE)
    for name in NEEDS_PROCESSES:
        if name in given:
            raise BadRequestError(f"--{name} needs processes of its own: {_instead()}")
    options = rerun_options(words, command_line.parse(words))
    if "launches" in given and options.launches > 1:
        raise BadRequestError(
            f"--launches {options.launches} needs processes of its own: this makes one; {_instead()}"
        )
    if options.run_id:
        command_line.check_run_id(options.run_id, Path(options.perf_result_path).absolute())
    command_line.check_affinity(options)
    command_line.refuse_idle_flags(options)
    refuse_bad_paths(options)
    return replace(options, launches=1, isolation=ISOLATION)


def _make_plan(
    options: Options, command: tuple[str, ...], offers: tuple[Offer, ...], gpus: tuple[Gpu, ...]
) -> RunPlan:
    results = Path(options.perf_result_path).absolute()
    found = load_requested(options)
    chosen = choose_offers(offers, options, formats_of(found.models))
    planned = plan_cells(found.models, chosen, options, rerun_filter(options, results), gpus)
    refuse_ignored_options(planned)
    whole = describe_whole_plan(found.names, chosen, planned, options)
    return RunPlan(planned, offers, options, results, command, resumable=False, whole=whole)


if __name__ == "__main__":
    raise SystemExit(main())
