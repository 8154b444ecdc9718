"""`ep-perf results show`: what an earlier run printed at its end, or what is known of one of its cells."""

import sys
from collections.abc import Sequence
from pathlib import Path

from perf.cli.exit_codes import run_and_report
from perf.report import terminal
from perf.report.finished_run import FinishedRun, read_finished_run
from perf.report.layout import printable
from perf.request.bad_request import BadRequestError
from perf.request.command_parser import CommandParser
from perf.request.exit_status import OK
from perf.request.programs import command_of, from_here
from perf.results import run_names, tables
from perf.results.run_folder import RunFolder
from perf.schema import outcomes
from perf.schema.record import Record


def make_parser() -> CommandParser:
    """The flags of showing a run."""
    prog = command_of("perf.cli.results_show")
    parser = CommandParser(
        prog, "An earlier run, as it ended; or one cell of it.",
        examples=(prog, f"{prog} latest~1", f"{prog} latest encoder::CPUExecutionProvider"),
    )  # fmt: skip
    parser.add_argument("run", nargs="?", default="latest", metavar="RUN",
                        help="latest, latest~1, an id, a folder or a saved name")  # fmt: skip
    parser.add_argument(
        "cell", nargs="?", metavar="CELL", help="model::target[variant], or its record's path"
    )
    parser.add_argument("--results", type=Path, default=Path("result"), metavar="DIR",
                        help="the folder of results (default result)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="rows as JSON, a line each")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Print the run or the cell; the exit status."""
    return run_and_report(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    args = make_parser().parse_args(argv)
    folder = run_names.find_run(args.results.absolute(), args.run)
    run = read_finished_run(folder)
    chosen = run.records
    if args.cell:
        wanted = run_names.find_cell(args.cell)
        chosen = [r for r in run.records if r.cell.id == wanted]
        if not chosen:
            raise BadRequestError(f"{wanted}: no such cell has ended in run {run.run_id}")
    if args.json:
        for result in tables.tabulate_cells(chosen, run_id=run.run_id, label=run.label):
            print(tables.to_json(result.row))
    elif args.cell:
        print("\n".join(_describe_cell(chosen[0], run, folder)))
    else:
        _show(run, folder)
    return OK


def _show(run: FinishedRun, folder: RunFolder) -> None:
    if run.host is None:
        print(f"{folder.root}/host.json cannot be read: no tables", file=sys.stderr)
    else:
        terminal.print_tables(run.records)
    print(
        f"\nrun {run.run_id}{f' ({run.label})' if run.label else ''} in {from_here(folder.root)}"
    )
    if run.command:
        print(printable(" ".join(run.command)))
    print(terminal.format_summary(run.records))


def _describe_cell(record: Record, run: FinishedRun, folder: RunFolder) -> list[str]:
    failed = outcomes.status(record.outcome) == outcomes.FAIL
    out = (
        terminal.format_failure(record, run.rerun(record))
        if failed
        else [terminal.format_cell(record, None)]
    )
    told = [(x.name, outcomes.exact(x.outcome)) for x in record.launches]
    names, endings = (max((len(t[i]) for t in told), default=0) for i in (0, 1))
    for name, ending in told:
        place = from_here(folder.launch(record.cell, name))
        out.append(f"    {name:<{names}}  {ending:<{endings}}  {place}")
    return [*out, *(f"    | {printable(line)}" for line in (record.log_tail if failed else ()))]


if __name__ == "__main__":
    raise SystemExit(main())
