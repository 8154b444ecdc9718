"""`ep-perf results prune`: makes room among old runs; without --yes it says what would go."""

from collections.abc import Sequence
from pathlib import Path

from perf.cli.exit_codes import run_and_report
from perf.history.prune import DAY_S, Removal, plan_removals, remove, sweep
from perf.request.command_parser import CommandParser
from perf.request.exit_status import OK
from perf.request.flag_types import argument
from perf.request.programs import command_of

UNITS_S = {"h": 3600.0, "d": DAY_S, "w": 7 * DAY_S}
KEPT = 10


def make_parser() -> CommandParser:
    """The flags of pruning."""
    prog = command_of("perf.cli.results_prune")
    parser = CommandParser(
        prog, "Make room: engine caches and prepared inputs of old runs, which any run makes anew; their "
        "tables move from the results folder into the run's own.",
        examples=(f"{prog}                      what would go", f"{prog} --keep 5 --older 30d --yes",
                  f"{prog} --older 1w --whole --yes  the runs themselves too"),
    )  # fmt: skip
    parser.add_argument("--keep", type=argument(_at_least_one), default=KEPT, metavar="N",
                        help=f"leave the newest N runs alone (default {KEPT})")  # fmt: skip
    parser.add_argument("--older", type=argument(parse_age), default=0.0, metavar="AGE",
                        help="only of runs begun longer ago: 12h, 30d, 2w")  # fmt: skip
    parser.add_argument(
        "--whole", action="store_true", help="the runs themselves, with records and tables"
    )
    parser.add_argument("--yes", action="store_true", help="do it")
    parser.add_argument("--results", type=Path, default=Path("result"), metavar="DIR",
                        help="the folder of results (default result)")  # fmt: skip
    return parser


def parse_age(text: str) -> float:
    """Seconds of 12h, 30d or 2w; raises ValueError."""
    number, unit = text[:-1], text[-1:]
    if unit not in UNITS_S or not number.isdigit():
        raise ValueError(f"{text}: use 12h, 30d or 2w")
    return int(number) * UNITS_S[unit]


def main(argv: Sequence[str] | None = None) -> int:
    """Say what would go, or remove it; the exit status."""
    return run_and_report(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    args = make_parser().parse_args(argv)
    removals = plan_removals(args.results, keep=args.keep, older_s=args.older, whole=args.whole)
    if not args.yes:
        for removal in removals:
            print(_describe(removal))
        runs = f"{len(removals)} run{'' if len(removals) == 1 else 's'}"
        print(f"{_mib(removals)} in {runs} would go; --yes removes it")
        return OK
    sweep(args.results)
    done = []
    for removal, why in remove(removals):
        print(_describe(removal) + (f": left, {why}" if why else ""))
        done += [] if why else [removal]
    print(f"{_mib(done)} in {len(done)} runs are gone")
    return OK


def _describe(removal: Removal) -> str:
    what = "the run" if removal.whole else ", ".join(p.name for p in removal.folders)
    moved = (
        f"{len(removal.tables)} tables move into it"
        if removal.tables and not removal.whole
        else ""
    )
    return f"{removal.run.name}: {', '.join(filter(None, (what, moved)))} ({_mib([removal])})"


def _mib(removals: Sequence[Removal]) -> str:
    return f"{sum(r.bytes for r in removals) / 2**20:.1f} MiB"


def _at_least_one(text: str) -> int:
    if int(text) < 1:
        raise ValueError("the newest run is always kept: give 1 or more")
    return int(text)


if __name__ == "__main__":
    raise SystemExit(main())
