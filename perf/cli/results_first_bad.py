"""`ep-perf results first-bad`: the run since which a cell is slower, or fails, and what differed."""

from collections.abc import Sequence
from pathlib import Path

from perf.cli.exit_codes import run_and_report
from perf.cli.results_trend import read_trends
from perf.history.trend import Trend, describe_step
from perf.report.layout import printable
from perf.request.command_parser import CommandParser
from perf.request.exit_status import OK, SOMETHING_WRONG
from perf.request.programs import command_of
from perf.schema import outcomes


def make_parser() -> CommandParser:
    """The flags of the first bad run."""
    prog = command_of("perf.cli.results_first_bad")
    parser = CommandParser(
        prog, "The run since which a cell is slower, or fails, and what differed from the run before. Exit "
        "status 1 where there is one.",
        examples=(f"{prog} encoder::CPUExecutionProvider", f"{prog}    every cell"),
    )  # fmt: skip
    parser.add_argument(
        "cell", nargs="?", metavar="CELL", help="model::target[variant]; left out: all of them"
    )
    parser.add_argument("--results", type=Path, default=Path("result"), metavar="DIR",
                        help="the folder of results (default result)")  # fmt: skip
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Print the run; the exit status."""
    return run_and_report(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    args = make_parser().parse_args(argv)
    trends = read_trends(args.results, args.cell)
    told = [line for trend in trends if (line := describe_first_bad(trend))]
    print("\n".join(map(printable, told)) or "no cell got worse")
    return SOMETHING_WRONG if told else OK


def describe_first_bad(trend: Trend) -> str:
    """The step since which a cell is bad, as one line; "" where it is not, or is again as it was."""
    level, first = 1.0, None
    failing = bool(trend.points) and trend.points[-1].cell.status == outcomes.FAIL
    for step in trend.steps:
        if step.change is None:
            if step.is_bad and failing:
                first = step
        else:
            level *= step.change
            first = step if step.is_bad and first is None else first
    slower = level > 1 and any(s.change is not None and s.is_bad for s in trend.steps)
    if first is None or not (failing or slower):
        return ""
    return f"{trend.cell} on {trend.machine or 'an unknown machine'}: {describe_step(first)}"


if __name__ == "__main__":
    raise SystemExit(main())
