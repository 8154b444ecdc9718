"""A finished run as pages and exports take it: records in plan order, the machine, commands to repeat it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from perf.machine.system import SystemInfo
from perf.report.rerun_command import format_gdb_command, format_rerun_command
from perf.results import run_folder
from perf.results.run_folder import RunFolder
from perf.schema import codec, outcomes
from perf.schema.merged_run import MergedRun
from perf.schema.record import Record


class KnownFailure(Protocol):
    """An entry of expected.toml about an outcome: its name (Crashed), and why it is no surprise."""

    @property
    def outcome(self) -> str:
        """The outcome's name; "" for an entry about something else."""
        ...

    @property
    def text(self) -> str:
        """Why, and where to read more."""
        ...


@dataclass(frozen=True)
class FinishedRun:
    """One run; everything but its records may be unknown."""

    run_id: str
    records: Sequence[Record]
    host: SystemInfo | None = None
    folder: RunFolder | None = None  # where logs and profiles lie; None: only records are known
    label: str = ""
    command: Sequence[str] = ()  # as typed
    flagged: Mapping[str, str] = field(
        default_factory=dict
    )  # of a merged run: host's key -> what is wrong with it
    rerun: Callable[[Record], str] = lambda _: ""  # a command to paste that runs a cell again
    expected: Mapping[str, KnownFailure] = field(default_factory=dict)  # by cell id
    debug: Callable[[Record], str] = lambda _: ""  # a command to paste that shows a crash in gdb

    @property
    def harness_version(self) -> str:
        """The harness's commit, as far as the run tells it."""
        return (self.host.harness_commit if self.host else "") or "unknown"

    def expected_failure(self, record: Record) -> str:
        """Why a record's failure is no surprise; "" where it is one, or passed."""
        return explain_failure(record, self.expected)

    def unexpected_pass(self, record: Record) -> str:
        """What was expected to make a record fail that passed; "" for the usual."""
        known = self.expected.get(record.cell.id)
        if known is None or known.outcome in ("", "Passed", "Pass") or not _passed(record):
            return ""
        return known.text


def explain_failure(record: Record, expected: Mapping[str, KnownFailure]) -> str:
    """Why a record's failure is no surprise; "" where it is one, or passed."""
    known = expected.get(record.cell.id)
    fits = known is not None and known.outcome == outcomes.name(record.outcome)
    return known.text if known and fits and not _passed(record) else ""


def finished_run(
    folder: RunFolder,
    records: Sequence[Record],
    host: SystemInfo | None,
    *,
    label: str = "",
    command: Sequence[str] = (),
    flagged: Mapping[str, str] | None = None,
    expected: Mapping[str, KnownFailure] | None = None,
) -> FinishedRun:
    """A run whose records are at hand, with commands that run its cells again."""
    return FinishedRun(
        run_id=folder.run_id,
        records=records,
        host=host,
        folder=folder,
        label=label,
        command=command,
        flagged=flagged or {},
        rerun=lambda record: format_rerun_command(record, command) if command else "",
        expected=expected or {},
        debug=lambda record: format_gdb_command(record, folder),
    )


def read_finished_run(
    folder: RunFolder, expected: Mapping[str, KnownFailure] | None = None
) -> FinishedRun:
    """A run as its folder has it, however it ended; raises NewerSchemaError, OSError."""
    told = run_folder.read_json(folder.root / "run.json")
    description = told if isinstance(told, dict) else {}
    order = {cell: i for i, cell in enumerate(_words(description.get("cells")))}
    records = sorted(
        run_folder.read_records(folder), key=lambda r: order.get(r.cell.id, len(order))
    )
    host = None
    with suppress(codec.DecodeError):
        host = codec.decode(SystemInfo, run_folder.read_json(folder.root / "host.json"))
    return finished_run(
        folder, records, host, label=str(description.get("label") or ""),
        command=_words(description.get("command")), flagged=_read_flagged(description), expected=expected,
    )  # fmt: skip


def _read_flagged(description: Mapping[str, Any]) -> Mapping[str, str]:
    """Hosts of a merged run that are not to be trusted; none where it does not tell."""
    with suppress(codec.DecodeError):
        return codec.decode(MergedRun, description.get("merged")).flagged
    return {}


def _passed(record: Record) -> bool:
    return outcomes.status(record.outcome) == outcomes.PASS


def _words(value: object) -> tuple[str, ...]:
    return tuple(str(v) for v in value) if isinstance(value, list) else ()
