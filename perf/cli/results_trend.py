"""`ep-perf results trend`: the history of each cell in a line, with its steps below it."""

import json
from collections.abc import Sequence
from pathlib import Path

from perf.cli.exit_codes import run_and_report
from perf.history.index import open_index
from perf.history.trend import Trend, describe_step, find_trends
from perf.report.layout import printable
from perf.report.sections import format_ms
from perf.request.bad_request import BadRequestError
from perf.request.command_parser import CommandParser
from perf.request.exit_status import OK
from perf.request.programs import command_of
from perf.results import run_names

BARS = "▁▂▃▄▅▆▇█"
DRAWN = 40  # runs in a line


def make_parser() -> CommandParser:
    """The flags of trends."""
    prog = command_of("perf.cli.results_trend")
    parser = CommandParser(
        prog, "Each cell's history on this machine: p50 run by run, and the steps that are no noise.",
        examples=(prog, f"{prog} encoder::CPUExecutionProvider --json"),
    )  # fmt: skip
    parser.add_argument(
        "cell", nargs="?", metavar="CELL", help="model::target[variant]; left out: all of them"
    )
    parser.add_argument("--results", type=Path, default=Path("result"), metavar="DIR",
                        help="the folder of results (default result)")  # fmt: skip
    parser.add_argument("--steps", action="store_true", help="only cells that have a step")
    parser.add_argument("--json", action="store_true", help="as JSON")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Print the trends; the exit status."""
    return run_and_report(lambda: _run(argv))


def read_trends(results: Path, cell: str | None) -> tuple[Trend, ...]:
    """The trends of a results folder; raises BadRequestError for a cell that no run has."""
    wanted = run_names.find_cell(cell) if cell else ""
    with open_index(results) as index:
        trends = find_trends(index, wanted)
    if wanted and not trends:
        raise BadRequestError(f"{wanted}: no run in {results} has such a cell")
    return trends


def _run(argv: Sequence[str] | None) -> int:
    args = make_parser().parse_args(argv)
    trends = read_trends(args.results, args.cell)
    shown = [t for t in trends if t.steps or not args.steps]
    if args.json:
        print(json.dumps({"trends": [_plain(t) for t in shown]}, indent=1))
        return OK
    machines = list(dict.fromkeys(t.machine for t in shown))
    for machine in machines:
        print(f"== {printable(machine) or 'a machine that is not known'} ==")
        for trend in (t for t in shown if t.machine == machine):
            print(printable(_describe(trend)))
            for step in trend.steps:
                print(printable(f"    {describe_step(step)}"))
    if len(machines) > 1:
        print(f"({len(machines)} machines: figures of two are never put together)")
    return OK


def _describe(trend: Trend) -> str:
    values = trend.medians_ms[-DRAWN:]
    known = [v for v in values if v is not None]
    last = f"p50 {format_ms(known[-1])} ms" if known else "never timed"
    runs = "1 run" if len(trend.points) == 1 else f"{len(trend.points)} runs"
    return f"{trend.cell}  {draw_bars(values)}  {last}  {runs}"


def draw_bars(values: Sequence[float | None]) -> str:
    """A bar of text for each value, from the least to the largest; a blank for none."""
    known = [v for v in values if v is not None]
    least, most = min(known, default=0.0), max(known, default=0.0)
    if most <= least * 1.01:  # within a hundredth: flat
        return "".join(" " if v is None else BARS[0] for v in values)
    scale = (len(BARS) - 1) / (most - least)
    return "".join(" " if v is None else BARS[round((v - least) * scale)] for v in values)


def _plain(trend: Trend) -> dict[str, object]:
    return {
        "cell": trend.cell, "machine": trend.machine,
        "runs": [
            {"run_id": p.run.run_id, "outcome": p.cell.outcome, "p50_ms": p.cell.p50_ms}
            for p in trend.points
        ],
        "steps": [
            {"run_id": s.after.run.run_id, "before": s.before.run.run_id, "change": s.change,
             "outcome": s.after.cell.outcome, "bad": s.is_bad, "differs": s.differs}
            for s in trend.steps
        ],
    }  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
