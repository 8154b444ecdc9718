"""`python -m perf.honesty TABLE.csv|RUN…`: what cannot be true in published tables and in runs."""

import sys
from collections.abc import Sequence
from pathlib import Path

from perf.conversion.errors import run_command
from perf.honesty import measured, published
from perf.honesty.rules import Finding, Severity, find_all
from perf.request.bad_request import BadRequestError
from perf.request.command_parser import CommandParser
from perf.request.programs import command_of
from perf.results import run_folder, run_names

MODULE = "perf.honesty.__main__"


def make_parser() -> CommandParser:
    """The flags."""
    prog = command_of(MODULE)
    parser = CommandParser(
        prog, "Say what cannot be true, or means something else, in tables of results and in runs.",
        examples=(f"{prog} published.csv", f"{prog} result/latest --fail_on impossible"),
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
    for source in map(Path, given.sources):
        findings, of = _find(source)
        for f in findings:
            print(f"{f.severity.value:<10}  {f.where}  {f.text}")
            failed |= worst.index(f.severity) <= worst.index(Severity(given.fail_on))
        counts = ", ".join(f"{sum(f.severity is s for f in findings)} {s.value}" for s in Severity)
        print(f"{source}: {of}: {counts}")
    return int(failed)


def _find(source: Path) -> tuple[tuple[Finding, ...], str]:
    if (source / "run.json").is_file():
        absolute = source.absolute()
        records = run_folder.read_records(run_names.find_run(absolute.parent, absolute.name))
        return measured.find_in_records(records), f"{len(records)} cells"
    if source.is_dir() or not source.exists():
        raise BadRequestError(f"{source}: no run there (no run.json), and no CSV file")
    points = published.read_points(source)
    return find_all(points), f"{published.rows_of(points)} rows"


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
