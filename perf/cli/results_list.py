"""`ep-perf results list`: the runs of a results folder, newest first, with what came of them."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from perf.cli.exit_codes import run_and_report
from perf.history.index import IndexedRun, open_index
from perf.report.layout import Column, Section, format_section
from perf.request.command_parser import CommandParser
from perf.request.exit_status import OK
from perf.request.programs import command_of
from perf.results import run_names

SHOWN = 20
WIDTH = 120


def make_parser() -> CommandParser:
    """The flags of the list."""
    prog = command_of("perf.cli.results_list")
    parser = CommandParser(
        prog,
        "The runs that were made here, newest first.",
        examples=(prog, f"{prog} --all --json"),
    )
    parser.add_argument("--results", type=Path, default=Path("result"), metavar="DIR",
                        help="the folder of results (default result)")  # fmt: skip
    parser.add_argument(
        "-n", type=int, default=SHOWN, metavar="N", help=f"so many runs (default {SHOWN})"
    )
    parser.add_argument("--all", action="store_true", help="every run")
    parser.add_argument("--json", action="store_true", help="as JSON")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Print the list; the exit status."""
    return run_and_report(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    args = make_parser().parse_args(argv)
    with open_index(args.results) as index:
        runs = index.runs()
    saved = run_names.list_baselines(args.results)
    shown = runs if args.all else runs[: args.n]
    if args.json:
        rows = [{**asdict(r), "saved_as": _names(r, saved)} for r in shown]
        print(json.dumps({"runs": rows}, indent=1))
        return OK
    counted = (Column(name, right=True) for name in ("passed", "failed", "other"))
    columns = (
        Column("run", firm=True), Column("begun (UTC)"), Column("label"), *counted, Column("remarks"),
    )  # fmt: skip
    title = f"{len(runs)} run{'' if len(runs) == 1 else 's'} in {args.results}"
    section = Section(title, columns, tuple(_row(r, saved) for r in shown))
    print("\n".join(format_section(section, WIDTH)))
    if len(shown) < len(runs):
        print(f"({len(runs) - len(shown)} older runs: --all)")
    return OK


def _row(run: IndexedRun, saved: dict[str, str]) -> tuple[str, ...]:
    when = f"{datetime.fromtimestamp(run.written_ns / 1e9, UTC):%Y-%m-%d %H:%M}"
    remarks = "; ".join(filter(None, (", ".join(_names(run, saved)), run.problem)))
    known = not run.problem
    counts = (run.passed, run.failed, run.other) if known else ("", "", "")
    return (run.run_id, when, run.label, *(str(c) for c in counts), remarks)


def _names(run: IndexedRun, saved: dict[str, str]) -> list[str]:
    return [name for name, run_id in saved.items() if run_id == run.run_id]


if __name__ == "__main__":
    raise SystemExit(main())
