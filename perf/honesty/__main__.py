"""`python -m perf.honesty TABLE.csv|RUN…`: what cannot be true in published tables and in runs."""

import sys
from collections.abc import Sequence
from pathlib import Path

from perf.conversion.errors import run_command
from perf.honesty import measured, published
from perf.honesty.peaks import format_reached
from perf.honesty.rules import Point, Severity, find_all
from perf.request.bad_request import BadRequestError
from perf.request.command_parser import CommandParser
from perf.request.programs import command_of
from perf.results import run_folder, run_names
from perf.schema.record import Record

MODULE = "perf.honesty.__main__"


def make_parser() -> CommandParser:
    """The flags."""
    prog = command_of(MODULE)
    parser = CommandParser(
        prog, "Say what cannot be true, or means something else, in tables of results and in runs.",
        examples=(
            f"{prog} published.csv", f"{prog} result/latest --fail_on impossible",
            f"{prog} result/SWEEP result/RUN_OF_PRODUCTS",
        ),
    )  # fmt: skip
    parser.add_argument(
        "sources", nargs="+", metavar="CSV|RUN", help="a table as CSV, or a run's folder"
    )
    parser.add_argument(
        "--fail_on", choices=[s.value for s in Severity], default="impossible",
        help="exit 1 for a finding as bad as this (default: impossible)",
    )  # fmt: skip
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Print findings; 1 where one is as bad as --fail_on says. Raises BadRequestError."""
    given = make_parser().parse_args(arguments)
    worst = list(Severity)
    failed = False
    runs = {path: _records(path) for path in map(Path, given.sources) if _is_run(path)}
    reached = measured.find_reached([r for records in runs.values() for r in records])
    for source in map(Path, given.sources):
        if source in runs:
            findings = measured.find_in_records(runs[source], reached)
            of = f"{len(runs[source])} cells"
        else:
            points = _points(source)
            findings, of = find_all(points), f"{published.rows_of(points)} rows"
        for f in findings:
            print(f"{f.severity.value:<10}  {f.where}  {f.text}")
            failed |= worst.index(f.severity) <= worst.index(Severity(given.fail_on))
        counts = ", ".join(f"{sum(f.severity is s for f in findings)} {s.value}" for s in Severity)
        print(f"{source}: {of}: {counts}")
    for line in format_reached(reached):
        print(line)
    return int(failed)


def _is_run(source: Path) -> bool:
    return (source / "run.json").is_file() or source.name.startswith("latest")


def _records(source: Path) -> tuple[Record, ...]:
    absolute = source.absolute()
    return run_folder.read_records(run_names.find_run(absolute.parent, absolute.name))


def _points(source: Path) -> tuple[Point, ...]:
    if source.is_dir() or not source.exists():
        raise BadRequestError(f"{source}: no run there (no run.json), and no CSV file")
    return published.read_points(source)


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
