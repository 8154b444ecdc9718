"""One stored cell asked again by hand, in this process: `benchmark.py PATH/cell.json [KIND]`."""

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from perf.inprocess import current_environment
from perf.inprocess.launcher import InProcessLauncher
from perf.machine import system
from perf.machine.gpus import find_gpus
from perf.planning.launch import LaunchRequest
from perf.report import terminal
from perf.request.exit_status import OK, SOMETHING_WRONG
from perf.request.locations import CODE, IN_CLONE
from perf.request.options import BadRequestError
from perf.schema import cell as cells
from perf.schema.cell import Cell
from perf.schema.codec import DecodeError
from perf.schema.record import LaunchKind, Passed, Record

KINDS = ("check", "measure", "reference")


def replay_cell(words: Sequence[str]) -> int:
    """Launch the cell once, beside its stored launches; returns 0 where it passed, else 1.

    Raises BadRequestError for words that name no cell.json, or no kind of launch.
    """
    if len(words) > 2 or (words[1:] and words[1] not in KINDS):
        raise BadRequestError(
            f"{' '.join(words)!r}: give flags (see --help), or a cell.json and one of {', '.join(KINDS)}"
        )
    path = Path(words[0]).absolute()
    cell = _read(path)
    usual = "reference" if cell.variant == "reference" else "check"
    kind = LaunchKind(words[1] if words[1:] else usual)
    variables = cell.environment.variables
    missing = current_environment.missing_variables(variables)
    if missing or cell.environment.python != sys.executable:
        _warn(cell, words, missing)
    gpus = find_gpus()
    current_environment.set_variables(variables, gpus[min(cell.device, len(gpus) - 1) :][:1])
    # a folder of the same depth as a stored launch's, and never one of those
    request = LaunchRequest(
        kind, kind.value, path, path.parent / f"again_{kind.value}", cell.environment, (), cell
    )
    launcher = InProcessLauncher(system.gather_system((cell.environment,)).boot_id)
    launch = launcher.start(request).launch
    print(terminal.format_cell(Record(cell, launch.outcome, (launch,)), None))
    print(f"its account is {request.folder / 'journal.jsonl'}", flush=True)
    return OK if isinstance(launch.outcome, Passed) else SOMETHING_WRONG


def _read(path: Path) -> Cell:
    try:
        return cells.read_cell(path)
    except OSError as e:
        raise BadRequestError(f"{path}: {e.strerror}; give the path of a run's cell.json") from e
    except (DecodeError, json.JSONDecodeError, UnicodeDecodeError) as e:
        raise BadRequestError(
            f"{path}: not a cell: {e}; give the path of a run's cell.json"
        ) from e


def _warn(cell: Cell, words: Sequence[str], missing: dict[str, str]) -> None:
    settings = [f"{k}={shlex.quote(v)}" for k, v in missing.items()]
    start = ["benchmark.py"] if IN_CLONE else ["-m", "perf.cli.benchmark"]
    settings += [] if IN_CLONE else [f"PYTHONPATH={shlex.quote(str(CODE))}"]
    command = " ".join([*settings, cell.environment.python, *start, *map(shlex.quote, words)])
    print(f"warning: this cell ran elsewhere; `{command}` starts it as it was", file=sys.stderr)
