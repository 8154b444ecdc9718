"""Cells of a framework benchmark run by the one engine: a model list and words for it, its records back."""

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perf import backends
from perf.cli import benchmark_wrapper
from perf.machine.gpus import find_gpus
from perf.machine.system import gather_system
from perf.report.framework_tables import BACKENDS, Row
from perf.request.bad_request import BadRequestError
from perf.request.command_parser import CommandParser
from perf.results import run_folder, run_names
from perf.schema.record import Record

_FILL_S = 10.0
_ENDED = (0, 1)  # the wrapper's statuses of a run that came to its end


@dataclass(frozen=True)
class FrameworkOptions:
    """What the flags of every framework benchmark say of the run."""

    results: str
    words: tuple[str, ...]  # for the wrapper

    @classmethod
    def of(cls, given: Any) -> "FrameworkOptions":
        """From the flags that `add_flags` adds."""
        words = ["--launches", str(given.launches)]
        counts = vars(given)  # of a program whose words count runs there are none
        for flag, count in (("-t", counts.get("iterations")), ("--warmup", counts.get("warmup"))):
            words += [flag, str(count)] if count is not None else []
        if given.intra_op_threads:
            words += ["--intra_op_threads", str(given.intra_op_threads)]
        for flag, value in (("--env", given.env), ("--keep_cache", given.keep_cache)):
            words += [flag, *([value] if isinstance(value, str) else value)] if value else []
        return cls(given.perf_result_path, tuple(words))


def make_parser(program: str, about: str, *examples: str) -> CommandParser:
    """A framework benchmark's parser, with the flags that all of them have, as the wrapper has them."""
    parser = CommandParser(program, about, examples=examples)
    parser.add_argument(
        "-o", "--perf_result_path", default="result", metavar="DIR", help="folder for results"
    )
    parser.add_argument(
        "--launches", type=int, default=1, metavar="N", help="processes that measure each cell"
    )
    parser.add_argument(
        "--intra_op_threads", type=int, default=0, metavar="N", help="0: one a core"
    )
    parser.add_argument(
        "--env", nargs="+", metavar="NAME=PYTHON", help="an environment's interpreter"
    )
    parser.add_argument(
        "--keep_cache", default="", metavar="DIR", help="share what compilers make between runs"
    )
    return parser


def add_counts(parser: CommandParser, usual: str) -> None:
    """Flags that count runs, over what is usual."""
    for flag, what in (("--iterations", "timed runs"), ("--warmup", "runs before them")):
        parser.add_argument(flag, type=int, metavar="N", help=f"{what} (default: {usual})")


def count_runs(given: Any, runs: int, warmup: int) -> list[str]:
    """Words for as many runs as are usual, where the flags do not say how many.

    On a processor alone, where a run may take half a minute in half precision, as many as fit a time.
    """
    words = [] if given.warmup is not None else ["--warmup", str(warmup)]
    if given.iterations is not None:
        return words
    if find_gpus():
        return [*words, "-t", str(runs)]
    print(
        f"no GPU here: as many runs as {_FILL_S:.0f} s hold in place of {runs}, and none begun after a "
        "minute; --iterations N makes N",
        file=sys.stderr,
    )
    return [*words, "--min_time", str(_FILL_S)]


def add_seed_units(parser: CommandParser) -> None:
    """The flag for tables that others made in seconds."""
    parser.add_argument(
        "--seed_units", action="store_true", help="print seconds under (ms), as the original does"
    )


def print_table(table: str, rows: Iterable[Row]) -> int:
    """Print a benchmark's table; its exit status, 1 where no row has a latency."""
    print(table)
    return 0 if any(not r.reason for r in rows) else 1


def run_cells(
    rows: Sequence[Mapping[str, Any]],
    targets: Iterable[str],
    words: Sequence[str],
    options: FrameworkOptions,
) -> tuple[Record, ...]:
    """Run a model list's rows on targets; records in the order of the plan. Raises BadRequestError."""
    results = Path(options.results).absolute()
    run_id = run_folder.new_run_id()
    listed = results / f"{run_id}.models.json"
    try:
        listed.parent.mkdir(parents=True, exist_ok=True)
        listed.write_text(json.dumps([*rows], indent=1) + "\n", encoding="utf-8")
    except OSError as e:
        raise BadRequestError(f"{results}: {e.strerror}; choose a writable folder with -o") from e
    command = [
        "-m",
        str(listed),
        "-e",
        *targets,
        "-r",
        "both",
        "-o",
        str(results),
        "--run_id",
        run_id,
        "-q",
        "-q",
        *options.words,
        *words,
    ]
    started_by = os.getpid()
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for the table
        status = benchmark_wrapper.main(command)
    if os.getpid() != started_by:
        sys.stderr.flush()
        os._exit(status)  # it did the run; who guarded it goes on with the table
    if status not in _ENDED:
        raise SystemExit(status)
    run = run_names.find_run(results, run_id)
    with contextlib.suppress(OSError):
        shutil.move(listed, run.root / "models.json")
    return run_folder.read_records(run)


def target_of(backend: str, precision: str) -> str:
    """A backend in a precision as the wrapper spells it: torch_fp16."""
    return backend if precision == "fp32" else f"{backend}_{precision}"


def has_target(label: str) -> bool:
    """Whether a backend serves it at all, wherever that may be."""
    return any(t.label == label for b in backends.discover_backends() for t in b.targets)


def find_record(records: Iterable[Record], model: str, target: str) -> Record | None:
    """The record of a model on a target, whatever its environment."""
    return next(
        (
            r
            for r in records
            if r.cell.model.name == model and r.cell.target.label.partition("@")[0] == target
        ),
        None,
    )


def make_row(records: Iterable[Record], model: str, backend: str, precision: str) -> Row:
    """A table's row for a model on a backend in a precision."""
    found = find_record(records, model, target_of(backend, precision))
    why = "" if found else "the run has no such cell"
    return Row(model, BACKENDS.get(backend, backend), precision, found, why)


def describe_device(index: int = 0) -> str:
    """The board that is measured, its memory and enforced power limit; the processor where there is none."""
    boards = find_gpus()
    if not boards:
        return f"@{gather_system(()).cpu}"
    board = boards[min(index, len(boards) - 1)]
    limit = f", {board.board_limit_w:.0f} watt" if board.board_limit_w else ""
    return f"@{board.name} - with {board.memory_mib / 1024:.0f}GB RAM{limit}"
