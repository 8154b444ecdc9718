"""`ep-perf report`: pages and exports of runs, however they ended, and tables that were not written."""

import contextlib
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

from comparison.expected import read_expected
from perf.cli.exit_codes import run_and_report
from perf.cli.run_export import write_run
from perf.dashboard.dashboard_tables import Provenance, make_tables
from perf.dashboard.sinks import PASSWORD, URL, post_tables
from perf.history.history_page import write_history
from perf.history.index import open_index
from perf.history.trend import find_trends
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


def make_parser(prog: str = "") -> CommandParser:
    """The flags of a report; `prog` is another name that it is started by."""
    prog = prog or command_of("perf.cli.report")
    parser = CommandParser(
        prog, "The page of a run, or of several; its exports; and its tables, where they were not written.",
        often=("-o", "--export", "--history", "--expected", "--results", "--post"),
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
    parser.add_argument(
        "--history", action="store_true",
        help="the page of all runs instead: each cell's line with its steps, and releases; into -o, or "
        "history.html in the folder of results",
    )  # fmt: skip
    parser.add_argument("--expected", type=Path, metavar="TOML", help="known failures")
    parser.add_argument(
        "--results", type=Path, default=Path("result"), metavar="DIR",
        help="where run ids are looked for (default result)",
    )  # fmt: skip
    posted = parser.add_argument_group("posting to a dashboard")
    posted.add_argument(
        "--post", nargs="?", const="", metavar="URL|DIR",
        help="tables for a dashboard: postgresql+psycopg://user@host/base, another database, "
        "kusto://CLUSTER/DATABASE, a folder for CSV, or parquet=DIR; left out: "
        f"${URL}. A password or token stands in ${PASSWORD}",
    )  # fmt: skip
    for name, what in (
        ("group", "of models; left out: the name of the folder of results"),
        ("branch", "that was measured"),
        ("commit", "that was measured; left out: the harness's"),
        ("commit_date", "of that commit"),
        ("report_url", "where the page can be read"),
    ):
        posted.add_argument(f"--{name}", default="", metavar="TEXT", help=what)
    posted.add_argument("--no_page", action="store_true", help="post alone, write no page")
    return parser


def main(argv: Sequence[str] | None = None, prog: str = "") -> int:
    """Write what was asked for; the exit status."""
    return run_and_report(lambda: _run(argv, prog))


def _run(argv: Sequence[str] | None, prog: str) -> int:
    args = make_parser(prog).parse_args(argv)
    exports: list[ExportRequest] = args.export
    refuse_rivals(exports)
    if args.history:
        with open_index(args.results) as index:
            page = write_history(args.output or args.results / "history.html", find_trends(index))
        _tell(f"page: {from_here(page)}")
        return OK
    folders = [run_names.find_run(args.results.absolute(), w) for w in args.run or ["latest"]]
    if len(folders) > 1 and (exports or not (args.output or args.no_page)):
        what = "an export takes one run" if exports else "several runs need -o FILE"
        raise BadRequestError(f"{what}: {', '.join(f.run_id for f in folders)}")
    expected = read_expected(args.expected) if args.expected else {}
    runs = [read_finished_run(folder, expected) for folder in folders]
    for run, folder in zip(runs, folders, strict=True):
        _complete(run, folder)
    if not args.no_page:
        page = write_report(args.output or page_path(folders[0]), runs)
        _tell(f"page: {from_here(page)}")
    for request in exports:
        write_run(request, runs[0])
    if args.post is not None:
        for run, folder in zip(runs, folders, strict=True):
            where = post_tables(
                args.post, make_tables(run, _provenance(args, run, folder)), run.run_id
            )
            _tell(f"run {run.run_id} posted to {where}")
    return OK


def _provenance(args: Namespace, run: FinishedRun, folder: RunFolder) -> Provenance:
    return Provenance(
        group=args.group or folder.results.name,
        branch=args.branch,
        commit=args.commit or (run.host.harness_commit if run.host else ""),
        commit_date=args.commit_date,
        report_url=args.report_url,
    )


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
