"""For each folder named on standard input, a child that exports a run into it over and over, until it is killed."""

import os
import sys
from collections import deque
from pathlib import Path

from perf.cli.run_export import write_run
from perf.exports.export import FORMATS
from perf.page.write import write_report
from perf.report.finished_run import FinishedRun
from perf.request.export_request import ExportRequest
from tests.page.made_runs import many_cells, run_of

PAGE = "page.html"


def export_for_ever(run: FinishedRun, folder: Path) -> None:
    """Each folder begins with another format, so that a slow machine's kills meet all of them."""
    names = deque([*FORMATS, PAGE])
    names.rotate(int(folder.name))
    while True:
        for name in names:
            if name == PAGE:
                write_report(folder / PAGE, [run])
            else:
                write_run(ExportRequest(name, folder / name), run)


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
