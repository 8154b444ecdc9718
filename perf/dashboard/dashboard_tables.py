"""A run as the tables that the predecessor posted, under its names and columns, what it mixed up apart."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from comparison.legacy_csv import SPELLINGS
from perf.machine.system import list_specs
from perf.report.finished_run import FinishedRun
from perf.results.cell_row import CellResult, CellRow
from perf.results.tables import tabulate_cells
from perf.schema import outcomes

Value: TypeAlias = str | float | int | None
# In the wide tables, a column each; the long ones have every target.
WIDE = (
    "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider", "Standalone_TRT",
    "CUDAExecutionProvider_fp16", "TensorrtExecutionProvider_fp16", "Standalone_TRT_fp16",
)  # fmt: skip
STAMPS = ("UploadTime", "Identifier", "Branch", "CommitId", "CommitDate")
RUN = "RunId"  # last: by it a run is replaced when it is posted again


@dataclass(frozen=True)
class Provenance:
    """What the dashboard files a run under."""

    group: str = ""  # of models
    branch: str = ""
    commit: str = ""
    commit_date: str = ""
    report_url: str = ""

    @property
    def identifier(self) -> str:
        """As the predecessor made it, of what is known."""
        parts = (self.commit_date, self.commit[:12], self.branch)
        return "_".join(p for p in parts if p)


@dataclass(frozen=True)
class DashboardTable:
    """One table: its columns, with those of every table, and its rows."""

    name: str  # ep_model_latency
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    numbers: frozenset[str]  # columns that hold numbers


def make_tables(run: FinishedRun, provenance: Provenance) -> tuple[DashboardTable, ...]:
    """The tables of a run; equal for equal runs, whenever they are made."""
    when = max((r.finished_at for r in run.records), default="")
    own = (
        when,
        provenance.identifier,
        provenance.branch,
        provenance.commit,
        provenance.commit_date,
    )
    cells = tabulate_cells(run.records, run_id=run.run_id, label=run.label)

    def table(
        name: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[Value]],
        numbers: Sequence[str] = (),
    ) -> DashboardTable:
        return DashboardTable(
            f"ep_model_{name}",
            (*STAMPS, *columns, RUN),
            tuple((*own, *row, run.run_id) for row in rows),
            frozenset(numbers),
        )

    group, url = provenance.group, provenance.report_url
    timed = [c for c in cells if c.row.mean_ms is not None]
    return (
        table("fail", ("Model", "Ep", "ErrorType", "ErrorMessage", "Group"),
              [(c.row.model, _name(c), c.row.error_type, c.row.detail, group)
               for c in cells if c.row.status == outcomes.FAIL]),
        table(*_wide("latency", cells, group, lambda r: r.mean_ms)),
        table("latency_over_time", ("Model", "Group", "Ep", "Latency", "ReportUrl"),
              [(c.row.model, group, _name(c), c.row.mean_ms, url) for c in timed], ("Latency",)),
        table(*_wide("memory", cells, group, lambda r: r.gpu_peak_mib)),
        table("memory_over_time", ("Model", "Group", "Ep", "MemUsage", "ReportUrl"),
              [(c.row.model, group, _name(c), c.row.gpu_peak_mib, url)
               for c in cells if c.row.gpu_peak_mib is not None], ("MemUsage",)),
        table(*_wide("status", cells, group, lambda r: r.status)[:3]),
        table("status_over_time", ("Model", "Group", "Ep", "Pass", "ReportUrl", "Status"),
              [(c.row.model, group, _name(c), _passed(c.row), url, c.row.status) for c in cells], ("Pass",)),
        table(*_wide("session", cells, group, lambda r: r.creation_cold_s)),
        table("session_over_time",
              ("Model", "Group", "Ep", "SessionCreationTime", "SessionCreationTime_second", "ReportUrl"),
              [(c.row.model, group, _name(c), c.row.creation_cold_s, c.row.creation_second_s, url)
               for c in cells if c.row.creation_cold_s is not None],
              ("SessionCreationTime", "SessionCreationTime_second")),
        table("op_metrics", ("Model", "Ep", "op percentage in each ep", "Group"),
              [(c.row.model, _name(c), c.row.ratio_of_ops_on_ep, group)
               for c in cells if c.row.ratio_of_ops_on_ep is not None], ("op percentage in each ep",)),
        table("specs", (".", "Spec", "Version"), _specs(run, provenance)),
    )  # fmt: skip


def _wide(
    name: str, cells: Sequence[CellResult], group: str, draw: Callable[[CellRow], Value]
) -> tuple[str, tuple[str, ...], list[tuple[Value, ...]], tuple[str, ...]]:
    """A row for each model and a column for each of the predecessor's targets, under its name."""
    columns = tuple(SPELLINGS[t][0] for t in WIDE)
    at = {(c.row.model, c.column): draw(c.row) for c in cells}
    models = dict.fromkeys(c.row.model for c in cells)
    rows: list[tuple[Value, ...]] = [(m, *(at.get((m, t)) for t in WIDE), group) for m in models]
    return name, ("Model", *columns, "Group"), rows, columns


def _name(cell: CellResult) -> str:
    """A target as the dashboard knows it, else as we spell it."""
    return SPELLINGS[cell.column][0] if cell.column in SPELLINGS else cell.column


def _passed(row: CellRow) -> int | None:
    """1 or 0; None for what was not tried, which is no failure."""
    return {outcomes.PASS: 1, outcomes.FAIL: 0}.get(row.status)


def _specs(run: FinishedRun, provenance: Provenance) -> list[tuple[Value, ...]]:
    told: list[tuple[str, str]] = list(list_specs(run.host)) if run.host else []
    told += [
        ("Branch", provenance.branch),
        ("CommitId", provenance.commit),
        ("CommitTime", provenance.commit_date),
    ]
    return [(str(i), name, value) for i, (name, value) in enumerate(told)]
