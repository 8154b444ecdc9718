"""`ep-perf report`: pages and exports of runs, however they ended, and tables that were not written."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from comparison.expected import read_expected
from perf.cli.exit_codes import run_and_report
from perf.cli.run_export import write_run
from perf.page.write import page_path, write_report
from perf.report.finished_run import FinishedRun, read_finished_run
from perf.request.bad_request import BadRequestError
from perf.request.command_parser import CommandParser
from perf.request.exit_status import OK
from perf.request.export_request import RUN_FORMATS, ExportRequest, parse_export, refuse_rivals
from perf.request.flag_types import argument
from perf.request.programs import command_of, from_here
from perf.results import run_names, tables
from perf.results.run_folder import RunFolder, read_json
from perf.schema.file_lock import LockTaken, hold_lock


def make_parser() -> CommandParser:
    """The flags of a report."""
    prog = command_of("perf.cli.report")
    parser = CommandParser(
        prog, "The page of a run, or of several; its exports; and its tables, where they were not written.",
        examples=(
            f"{prog}                                  the latest run's page, anew",
            f"{prog} latest~1 latest -o both.html     one page for two runs",
            f"{prog} latest --export junit=cells.xml  for CI, of a run that was killed too",
        ),
    )  # fmt: skip
    parser.add_argument(
        "run", nargs="*", metavar="RUN",
        help="latest, latest~1, an id, a folder or a saved name; left out: latest",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE",
        help="one page for all of them; left out: report_<run id>.html in the run's folder",
    )  # fmt: skip
    parser.add_argument(
        "--export", type=argument(lambda text: parse_export(text, RUN_FORMATS)), action="append", default=[],
        metavar="FORMAT[=PATH]", help=f"{', '.join(RUN_FORMATS)}; without PATH to stdout",
    )  # fmt: skip
    parser.add_argument("--expected", type=Path, metavar="TOML", help="known failures")
    parser.add_argument(
        "--results", type=Path, default=Path("result"), metavar="DIR",
        help="where run ids are looked for (default result)",
    )  # fmt: skip
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Write what was asked for; the exit status."""
    return run_and_report(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    args = make_parser().parse_args(argv)
    exports: list[ExportRequest] = args.export
    refuse_rivals(exports)
    folders = [run_names.find_run(args.results.absolute(), w) for w in args.run or ["latest"]]
    if len(folders) > 1 and (exports or not args.output):
        what = "an export takes one run" if exports else "several runs need -o FILE"
        raise BadRequestError(f"{what}: {', '.join(f.run_id for f in folders)}")
    expected = read_expected(args.expected) if args.expected else {}
    runs = [read_finished_run(folder, expected) for folder in folders]
    for run, folder in zip(runs, folders, strict=True):
        _complete(run, folder)
    page = write_report(args.output or page_path(folders[0]), runs)
    for request in exports:
        write_run(request, runs[0])
    _tell(f"page: {from_here(page)}")
    return OK


def _complete(run: FinishedRun, folder: RunFolder) -> None:
    """Write the tables that a run was ended before; raises BadRequestError where no cell has ended."""
    if not run.records:
        raise BadRequestError(
            f"{folder.root}: no cell has ended there; `{command_of('perf.cli.benchmark_wrapper')} "
            f"--resume {folder.run_id}` goes on"
        )
    with _own(folder) as mine:
        if not mine:
            _tell(f"run {folder.run_id} has not ended: what there is so far, and no tables")
        elif run.host is None:
            _tell(f"{folder.root}/host.json cannot be read: no tables")
        elif _is_behind(folder):
            written = tables.write_all(
                run.records, run.host, folder.root, folder.results, run.run_id, label=run.label
            )
            _tell(
                f"{len(written)} tables in {from_here(folder.results)}, {from_here(folder.root)}"
            )
        _tell_missing(run, folder)


def _tell_missing(run: FinishedRun, folder: RunFolder) -> None:
    told = read_json(folder.root / run_names.RUN_MARK)
    planned = told.get("cells") if isinstance(told, dict) else None
    missing = len(planned) - len(run.records) if isinstance(planned, list) else 0
    if missing > 0:
        _tell(
            f"{missing} of {len(planned or ())} cells have no record: --resume {folder.run_id} runs them"
        )


def _is_behind(folder: RunFolder) -> bool:
    """Whether a record is newer than the tables, or there are none."""
    table = folder.root / "cells.csv"
    if not table.is_file():
        return True
    written_ns = table.stat().st_mtime_ns
    found = folder.root.glob("cells/*/*/*/record.json")
    return any(record.stat().st_mtime_ns > written_ns for record in found)


@contextlib.contextmanager
def _own(folder: RunFolder) -> Iterator[bool]:
    """Hold a run's folder, unless a process is still writing it."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(hold_lock(folder.root / ".lock", wait=False))
        except LockTaken:
            yield False
            return
        yield True


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
