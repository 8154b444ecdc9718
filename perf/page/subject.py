"""What the page shows of one cell: its record, the figures of its row, its anchor and its colour."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from perf.report.finished_run import FinishedRun
from perf.results import gains, tables
from perf.results.cell_row import CellRow
from perf.results.latency import Latency, summarise_latency
from perf.schema import outcomes
from perf.schema.cell import Cell
from perf.schema.record import Record
from perf.stats.summary import PairedGain

COLOURS = 8  # of providers, in style.css


@dataclass(frozen=True)
class Subject:
    """One cell of one run; of a cell that was fed several input shapes, one of them."""

    run: FinishedRun
    record: Record
    row: CellRow
    latency: Latency | None
    gain: PairedGain | None
    anchor: str
    colour: int
    run_note: str  # the run's id where the page shows several, else ""
    shapes: str  # that its figures are of, where the cell was fed several, else ""

    @property
    def cell(self) -> Cell:
        """What was asked."""
        return self.record.cell

    @property
    def model(self) -> str:
        """The model's name."""
        return self.record.cell.model.name

    @property
    def column(self) -> str:
        """Target and variant, and the run where there are several; shapes but for the first, which stand for
        the cell."""
        own = gains.column_of(self.record)
        further = "" if self.is_first else self.shapes
        return " · ".join(p for p in (own, further, self.run_note) if p)

    @property
    def is_first(self) -> bool:
        """Whether its shapes are the first test set's: what is told of a whole cell is told with these."""
        return self.row.shape_number == 1

    @property
    def status(self) -> str:
        """Pass, Fail, Skipped or NotRun."""
        return outcomes.status(self.record.outcome)

    @property
    def expected(self) -> str:
        """Why this failure is no surprise; "" where it is one, or none."""
        return self.run.expected_failure(self.record)

    @property
    def unexpected_pass(self) -> str:
        """What was expected to fail it, and did not; "" for the usual."""
        return self.run.unexpected_pass(self.record)

    @property
    def launch_folder(self) -> Path | None:
        """Where the check launch's files lie."""
        return self.run.folder.launch(self.cell, "check") if self.run.folder else None


def subjects_of(runs: Sequence[FinishedRun]) -> tuple[Subject, ...]:
    """Every cell of every run and each of its input shapes, in order, each with an anchor of its own."""
    colours = provider_colours([r for run in runs for r in run.records])
    seen: dict[str, int] = {}
    out = []
    for run in runs:
        for found in tables.tabulate_cells(run.records, run_id=run.run_id):
            name = f"cell-{found.record.cell.digest}"
            seen[name] = seen.get(name, 0) + 1
            out.append(
                Subject(
                    run=run,
                    record=found.record,
                    row=found.row,
                    latency=summarise_latency(found.record),
                    gain=found.gain,
                    anchor=name if seen[name] == 1 else f"{name}-{seen[name]}",
                    colour=colours[provider_of(found.record.cell)],
                    shapes=found.shapes,
                    run_note=run.run_id if len(runs) > 1 else "",
                )
            )
    return tuple(out)


def by_model(subjects: Sequence[Subject]) -> dict[str, list[Subject]]:
    """Cells of each model, models in the order of the plan."""
    out: dict[str, list[Subject]] = {}
    for s in subjects:
        out.setdefault(s.model, []).append(s)
    return out


def provider_of(cell: Cell) -> str:
    """Who runs a cell's nodes: its provider, or the engine itself where it names none."""
    return cell.provider or cell.target.name


def provider_colours(records: Sequence[Record]) -> dict[str, int]:
    """A colour for each provider; the same one on every page, as far as the other providers allow.

    The baseline has the first. The others take the one that their name stands for, or the next that is free.
    """
    told = {provider_of(r.cell) for r in records}
    told |= {p for r in records for x in r.launches if x.placement for p in x.placement.nodes}
    out = {gains.BASELINE: 0}
    for name in sorted(told - {gains.BASELINE}):
        wanted = zlib.crc32(name.encode("utf-8", "replace")) % (COLOURS - 1)
        taken = set(out.values())
        places = [1 + (wanted + i) % (COLOURS - 1) for i in range(COLOURS - 1)]
        out[name] = next((p for p in places if p not in taken), places[0])
    return out
