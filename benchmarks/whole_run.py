"""What a whole run costs beyond its launches: the offline set on two targets, against the sum of its parts.

    python -m benchmarks.whole_run [--targets cpu ov] [--write]

The parts come from the run's own records: every launch's wall time, from its start to its end as the
wrapper saw them. Set-up launches (inputs, references, artefacts, checks) run two wide, so their part is
half of their sum; measure launches run alone, so theirs is the sum. All else is the harness: its start,
its probes of environments, engine hosts, planning, gaps between launches, records and tables.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import harness, page, watching
from perf.results import run_folder
from perf.schema.record import Launch, LaunchKind

BAR = 1.15
JOBS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", nargs="+", default=["cpu", "ov"])
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/performance.md"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        results = Path(scratch) / "result"
        flags = ["-r", "both", "-i", "zoo", "-t", "20", "--jobs", str(JOBS), "-e", *given.targets]
        with harness.quiet():
            pass  # another run's end is not this one's cost
        seen = watching.watch(harness.wrapper("-o", str(results), *flags), Path(scratch) / "log")
        launches = _launches(results / "latest")
    if seen.status or not launches:
        raise RuntimeError(f"the run ended with status {seen.status}:\n{seen.output}")
    page.publish(_table(seen, launches, given.targets), into_page=given.write)


def _launches(run: Path) -> tuple[Launch, ...]:
    """Every launch of a run, those that belong to no cell included, in the order they began."""
    found = [run_folder.read_finished_launch(p.parent) for p in run.glob("**/launch.json")]
    return tuple(sorted((x for x in found if x), key=lambda x: x.began_s))


def _table(
    seen: watching.Watched, launches: Sequence[Launch], targets: Sequence[str]
) -> page.Table:
    measuring = [x for x in launches if x.kind is LaunchKind.MEASURE]
    setting_up = [x for x in launches if x.kind is not LaunchKind.MEASURE]
    alone = sum(x.ending.wall_s for x in measuring)
    wide = sum(x.ending.wall_s for x in setting_up) / JOBS
    before = min(x.began_s for x in launches) - seen.began_s
    after = seen.ended_s - max(x.began_s + x.ending.wall_s for x in launches)
    between = seen.wall_s - before - after - alone - wide
    rows = (
        (f"set-up: {len(setting_up)} launches, half of their sum", f"{wide:.1f}"),
        (f"measuring: {len(measuring)} launches, their sum", f"{alone:.1f}"),
        ("before the first launch", f"{before:.1f}"),
        ("between launches, and where two wide was not two", f"{between:.1f}"),
        ("after the last launch", f"{after:.1f}"),
        ("the whole run", f"{seen.wall_s:.1f}"),
        (f"whole / (set-up + measuring), bar {BAR}", f"{seen.wall_s / (wide + alone):.3f}"),
    )
    return page.Table(
        "whole_run",
        f"python -m benchmarks.whole_run --targets {' '.join(targets)}",
        ("part of the run", "s"),
        rows,
        ("The offline set, `-r both -i zoo -t 20`, 5 launches a cell.",),
    )


if __name__ == "__main__":
    main()
