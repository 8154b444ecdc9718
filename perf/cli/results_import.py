"""`ep-perf results import`: takes runs of elsewhere into the history of a results folder."""

from collections.abc import Sequence
from pathlib import Path

from comparison.cell_summary import UnreadableError
from perf.cli.exit_codes import run_and_report
from perf.history.imported import Imported, import_source
from perf.request.bad_request import BadRequestError
from perf.request.command_parser import CommandParser
from perf.request.exit_status import OK
from perf.request.programs import command_of


def make_parser() -> CommandParser:
    """The flags of importing."""
    prog = command_of("perf.cli.results_import")
    parser = CommandParser(
        prog, "Take earlier runs into the history: run folders of any version of ours, and tables of the "
        "TensorRT EP performance test script that came before.",
        examples=(f"{prog} ../old/result/20260611T101500",
                  f"{prog} perf/result/onnx-zoo-models --machine 'lab-1, T4'",
                  f"{prog} latency.csv success.csv"),
    )  # fmt: skip
    parser.add_argument(
        "source", nargs="+", type=Path, metavar="RUN|FOLDER|CSV",
        help="a run's folder, a folder of the predecessor's CSVs, or one of them; rows of a model that come "
        "again are later runs",
    )  # fmt: skip
    parser.add_argument(
        "--machine", default="", metavar="NAME",
        help="where they were measured, as results trend names it: figures of two machines are never put "
        "together; left out: what host.json or specs.csv says",
    )  # fmt: skip
    parser.add_argument("--results", type=Path, default=Path("result"), metavar="DIR",
                        help="the folder of results (default result)")  # fmt: skip
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Import; the exit status."""
    return run_and_report(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    args = make_parser().parse_args(argv)
    args.results.mkdir(parents=True, exist_ok=True)
    try:
        for source in args.source:
            for run in import_source(source, args.results, args.machine):
                print(_describe(source, run))
    except UnreadableError as e:
        raise BadRequestError(str(e)) from e
    return OK


def _describe(source: Path, run: Imported) -> str:
    cells = f"{run.cells} cell{'' if run.cells == 1 else 's'}"
    what = f"{cells} of {source}" if run.is_new else f"{source} is there already"
    return f"{run.run_id}: {what}{f' on {run.machine}' if run.machine else ''}"


if __name__ == "__main__":
    raise SystemExit(main())
