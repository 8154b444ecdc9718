"""`ep-perf diagnose CELL`: a cell of an earlier run checked again, with every probe of whose fault it is."""

import difflib
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from perf.cli.benchmark_wrapper import make_plan
from perf.cli.exit_codes import run_and_report
from perf.execution.resume import stored_options
from perf.execution.run_lifecycle import run_session
from perf.planning.targets import require_onnx
from perf.request.bad_request import BadRequestError
from perf.request.command_parser import CommandParser
from perf.request.exit_status import OK, SOMETHING_WRONG
from perf.request.programs import command_of
from perf.results import run_names
from perf.schema import outcomes
from perf.schema.record import Mismatched, Record
from perf.wrapper.environments import hold_environments
from perf.wrapper.launcher import open_process_launcher


def make_parser() -> CommandParser:
    """The flags of a diagnosis."""
    prog = command_of("perf.cli.diagnose")
    parser = CommandParser(
        prog, "Say whose fault a cell's wrong outputs are: the stored data's, the optimiser's, the EP's, …",
        examples=(f"{prog} resnet50::CUDAExecutionProvider_fp16",),
    )  # fmt: skip
    parser.add_argument("cell", metavar="CELL", help="model::target[variant], of that run")
    parser.add_argument("-o", "--results", "--perf_result_path", default="result", metavar="DIR",
                        help="folder of results (default result)")  # fmt: skip
    parser.add_argument(
        "--run",
        default="latest",
        metavar="RUN",
        help="latest, latest~1, an id, a folder or a saved name (default latest)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Diagnose one cell: 0 where its outputs are right now, 1 where they are wrong or it fails."""
    words = list(sys.argv[1:] if argv is None else argv)
    return run_and_report(lambda: _diagnose(words))


def _diagnose(words: Sequence[str]) -> int:
    asked = make_parser().parse_args(words)
    run = run_names.find_run(Path(asked.results).absolute(), asked.run)
    stored, old = stored_options(run)
    if asked.cell not in stored["cells"]:
        near = difflib.get_close_matches(asked.cell, stored["cells"], n=1, cutoff=0.0)
        raise BadRequestError(
            f"run {run.run_id} has no cell {asked.cell!r}; nearest is {next(iter(near), 'none')}"
        )
    with tempfile.TemporaryDirectory(prefix="ep-perf-diagnose-") as scratch:
        options = replace(
            old, rerun=asked.cell, running_mode="validate", explain=True, perf_result_path=scratch,
            resume="", run_id="", strict=False, json=False, quiet=1, verbose=0, ab=(), canary=False,
            exec_prefix="",
        )  # fmt: skip
        plan = make_plan(options, ())
        require_onnx()
        with plan.signals, run_session(plan) as session:
            with hold_environments(plan.planned), open_process_launcher(session) as launcher:
                session.run(launcher)
            if session.signal:
                return session.exit_status()
            (record,) = session.all_records
    print(_describe(record))
    return OK if outcomes.status(record.outcome) == outcomes.PASS else SOMETHING_WRONG


def _describe(record: Record) -> str:
    """The outcome, and below it the sentence."""
    head = f"{record.cell.id}  {outcomes.exact(record.outcome)}"
    match record.outcome:
        case Mismatched(detail=detail, cause=cause):
            return f"{head}  {detail}\n{cause}"
        case other:
            return f"{head}  {outcomes.reason(other)}".rstrip()


if __name__ == "__main__":
    raise SystemExit(main())
