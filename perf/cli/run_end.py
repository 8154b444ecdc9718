"""What follows a run: exports, a comparison with an earlier run, a name it is saved by, red or green."""

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from comparison.cli import compare_at_end
from comparison.expected import ExpectedFailure, read_expected
from comparison.match import ACROSS
from perf.cli.run_export import write_run
from perf.execution.run_lifecycle import RunSession, find_red
from perf.report.layout import printable
from perf.request.exit_status import CANNOT_SERVE, OK, SOMETHING_WRONG
from perf.request.fail_on import IMPOSSIBLE, FailOn
from perf.request.options import BadRequestError, Options
from perf.results import run_names
from perf.schema import outcomes
from perf.schema.record import Record


@dataclass(frozen=True)
class RunEnd:
    """What was asked for, found and read before the run began."""

    expected: Mapping[str, ExpectedFailure] = field(default_factory=dict)
    against: Path | None = None


def plan_end(options: Options) -> RunEnd:
    """Read and find what the end needs; raises BadRequestError, UnreadableError."""
    expected = read_expected(Path(options.expected)) if options.expected else {}
    if options.across and not options.against:
        raise BadRequestError(
            f"--across {' '.join(options.across)}: what differs from --against RUN"
        )
    if unknown := [f for f in options.across if f not in ACROSS]:
        raise BadRequestError(f"--across {' '.join(unknown)}: choose from {', '.join(ACROSS)}")
    return RunEnd(expected, _find_earlier(options))


def conclude(session: RunSession, end: RunEnd) -> int:
    """Export, compare and save as was asked; the exit status. Raises OSError, UnreadableError."""
    options, run = session.plan.options, session.finished
    for request in options.exports:
        write_run(request, run)
    for record in run.records:
        if known := run.unexpected_pass(record):
            _tell(
                f"unexpected pass: {record.cell.id} was expected to fail: {known}; "
                f"take its entry out of {options.expected}"
            )
    status = session.exit_status()
    if session.signal:
        return status
    if red := find_red(run.records, options.red, end.expected):
        counts = Counter(_why_red(r, options.red) for r in red)
        _tell(f"red: {', '.join(f'{n} {name}' for name, n in counts.most_common())}")
    elif status == CANNOT_SERVE:
        _tell("error: nothing was measurable; each cell's line says why it was skipped")
    elif status:
        _tell("error: a target that was named cannot run here; --list says what would fix it")
    if end.against:
        known_failures = Path(options.expected) if options.expected else None
        if compare_at_end(
            end.against, session.folder.root, known_failures, options.red, options.across
        ):
            _tell(f"red: worse than {end.against.name}")
            status = status or SOMETHING_WRONG
    if options.save_baseline and status == OK:
        run_names.save_baseline(session.folder, options.save_baseline)
    elif options.save_baseline:
        _tell(f"not saved as {options.save_baseline}: the run is red")
    return status


def _why_red(record: Record, fail_on: FailOn) -> str:
    """Its outcome where that is red; else what is wrong with its latency."""
    name = outcomes.name(record.outcome)
    return name if fail_on.is_red(name) else IMPOSSIBLE


def _find_earlier(options: Options) -> Path | None:
    """The run of --against; none where it is the name to save this run by, and no run has it yet."""
    if not options.against:
        return None
    results = Path(options.perf_result_path).absolute()
    saved = run_names.baseline_path(results, options.against).is_symlink()
    if options.against == options.save_baseline and not saved:
        _tell(f"no run is saved as {options.against} yet: this one is the first")
        return None
    found = run_names.find_run(results, options.against).root.resolve()
    if options.resume and found.name == options.run_id:
        raise BadRequestError(f"--against {options.against}: that is the run which is resumed")
    return found


def _tell(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)
