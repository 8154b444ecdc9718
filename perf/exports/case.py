"""What CI is told of a cell: passed, failed, error or skipped, and why, whichever format it is told in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from perf.report.finished_run import FinishedRun
from perf.report.layout import printable
from perf.results import gains, tables
from perf.results.cell_row import CellResult, CellRow
from perf.schema import outcomes
from perf.schema.record import ArtefactFailed, EnvironmentFailed, NotRun, Passed, Record, Skipped
from perf.stats.summary import PairedGain

LONGEST = 2000  # characters of a message or a log's line


class Result(StrEnum):
    """The four words that JUnit has; other formats are mapped from them."""

    PASSED = "passed"
    FAILED = "failed"  # the engine's doing: crashed, wrong, too slow, fallen back
    ERROR = "error"  # ours, or the machine's: no environment, no converted model
    SKIPPED = "skipped"  # not tried, or failed as expected


@dataclass(frozen=True)
class Case:
    """One cell as a test case."""

    record: Record
    row: CellRow
    gain: PairedGain | None  # over the CPU EP
    result: Result
    name: str  # target[variant], within the model's suite
    outcome: str  # the exact outcome: Crashed(run, SIGSEGV)
    message: str  # one line; "" for a pass
    details: str  # several lines: reason, where its log lies, its last words, the command to paste
    expected: str  # why its failure is no surprise
    unexpected_pass: str  # what was expected to fail it

    @property
    def model(self) -> str:
        """The suite."""
        return line(self.record.cell.model.name)

    @property
    def id(self) -> str:
        """model::target[variant]."""
        return line(self.record.cell.id)

    @property
    def kind(self) -> str:
        """The outcome's name: Crashed."""
        return outcomes.name(self.record.outcome)


def cases_of(run: FinishedRun) -> tuple[Case, ...]:
    """A case for every planned cell, in plan order, with the figures of its first input shapes."""
    return tuple(
        _case(run, record, found)
        for record, found in zip(
            run.records, (c for c in tabulate(run) if c.is_first), strict=True
        )
    )


def tabulate(run: FinishedRun) -> tuple[CellResult, ...]:
    """The rows of cells.csv: one for each input shape of each planned cell."""
    host = run.host.hostname if run.host else ""
    return tables.tabulate_cells(run.records, run_id=run.run_id, label=run.label, host=host)


def suites_of(cases: Sequence[Case]) -> dict[str, list[Case]]:
    """Cases by model, models in plan order."""
    out: dict[str, list[Case]] = {}
    for case in cases:
        out.setdefault(case.model, []).append(case)
    return out


def ended_ms(case: Case) -> int | None:
    """When a cell ended, in milliseconds since 1970; None where that is not known."""
    try:
        found = datetime.fromisoformat(case.record.finished_at)
    except ValueError:
        return None
    aware = found if found.tzinfo else found.replace(tzinfo=UTC)
    return int((aware - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))


def line(text: str) -> str:
    """A text as one line without control characters, cut where it is very long."""
    told = " ".join(printable(text).split())
    return told if len(told) <= LONGEST else told[: LONGEST - 1] + "…"


def _case(run: FinishedRun, record: Record, found: CellResult) -> Case:
    row = found.row
    expected = run.expected_failure(record)
    exact, detail = outcomes.exact(record.outcome), line(outcomes.reason(record.outcome))
    message = "" if isinstance(record.outcome, Passed) else f"{exact}: {detail}"
    if expected:
        message = f"expected: {line(expected)}; {message}"
    return Case(
        record=record,
        row=row,
        gain=found.gain,
        result=_result(record, expected),
        name=line(gains.column_of(record)),
        outcome=line(exact),
        message=line(message),
        details="" if isinstance(record.outcome, Passed) else _details(run, record, row, detail),
        expected=line(expected),
        unexpected_pass=line(run.unexpected_pass(record)),
    )


def _result(record: Record, expected: str) -> Result:
    match record.outcome:
        case Passed():
            return Result.PASSED
        case Skipped() | NotRun():
            return Result.SKIPPED
        case _ if expected:
            return Result.SKIPPED
        case ArtefactFailed() | EnvironmentFailed():
            return Result.ERROR
        case _:
            return Result.FAILED


def _details(run: FinishedRun, record: Record, row: CellRow, detail: str) -> str:
    parts = [detail]
    if row.stage:
        parts.append(f"stage: {row.stage}")
    if row.log:
        parts.append(f"log: {line(row.log)}")
    parts += [line(told) for told in record.log_tail]
    if row.native_stack:
        parts.append(f"native stack: {line(' < '.join(row.native_stack))}")
    if command := run.rerun(record):
        parts.append(f"again: {line(command)}")
    if command := run.debug(record):
        parts.append(f"in gdb: {line(command)}")
    return "\n".join(parts)
