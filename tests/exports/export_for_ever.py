"""For each folder named on standard input, a child that exports a run into it over and over, until it is killed."""

import os
import sys
from pathlib import Path

from perf.exports.export import FORMATS, write_export
from perf.page.write import write_report
from perf.report.finished_run import FinishedRun
from tests.page.made_runs import many_cells, run_of


def export_for_ever(run: FinishedRun, folder: Path) -> None:
    while True:
        for name in FORMATS:
            write_export(name, run, folder / name)
        write_report(folder / "page.html", [run])


def main() -> None:
    run = run_of(many_cells(4, runs=20))
    print("ready", flush=True)
    for line in sys.stdin:
        if (child := os.fork()) == 0:
            export_for_ever(run, Path(line.rstrip("\n")))
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
