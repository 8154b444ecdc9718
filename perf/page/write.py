"""A run's page beside its records, or one for several runs, written whole or not at all."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from perf.machine.system import SystemInfo
from perf.page.document import render_page
from perf.page.subject import KnownFailure, Run
from perf.report.screen import rerun_command
from perf.results import run_folder
from perf.results.run_folder import RunFolder
from perf.schema import atomic_file, codec
from perf.schema.record import Record


def page_path(folder: RunFolder) -> Path:
    """Where a run's own page lies."""
    return folder.root / f"report_{folder.run_id}.html"


def write_report(path: Path, runs: Sequence[Run]) -> Path:
    """Write the page of these runs; raises OSError, with no half-written file left."""
    atomic_file.write_bytes(path, render_page(runs).encode("utf-8", "replace"))
    return path


def shown_run(
    folder: RunFolder,
    records: Sequence[Record],
    host: SystemInfo | None,
    *,
    label: str = "",
    command: Sequence[str] = (),
    expected: Mapping[str, KnownFailure] | None = None,
) -> Run:
    """A run that is known already, with commands that run its cells again."""
    return Run(
        run_id=folder.run_id,
        records=records,
        host=host,
        folder=folder,
        label=label,
        command=command,
        rerun=lambda record: rerun_command(record, command) if command else "",
        expected=expected or {},
    )


def stored_run(folder: RunFolder, expected: Mapping[str, KnownFailure] | None = None) -> Run:
    """A run as its folder has it: its records in plan order; raises NewerSchemaError, OSError."""
    told = run_folder.read_json(folder.root / "run.json")
    description = told if isinstance(told, dict) else {}
    order = {str(cell): i for i, cell in enumerate(_words(description.get("cells")))}
    records = sorted(
        run_folder.read_records(folder), key=lambda r: order.get(r.cell.id, len(order))
    )
    host = None
    with suppress(codec.DecodeError):
        host = codec.decode(SystemInfo, run_folder.read_json(folder.root / "host.json"))
    return shown_run(
        folder, records, host, label=str(description.get("label") or ""),
        command=_words(description.get("command")), expected=expected,
    )  # fmt: skip


def _words(value: object) -> tuple[str, ...]:
    return tuple(str(v) for v in value) if isinstance(value, list) else ()
