"""A cell that was planned and did not come back, as a record and a row that claim nothing else of it."""

from collections.abc import Mapping
from typing import Any

from perf.results.cell_row import CellRow
from perf.results.columns import unknown_values
from perf.schema import outcomes
from perf.schema.cell import Cell, Environment, Io, ModelFile, Protocol, Tolerance
from perf.schema.merged_run import Fate
from perf.schema.record import NotRun, Record
from perf.schema.whole_plan import Column


def missing_record(cell_id: str, model: str, column: Column, fate: Fate, run_id: str) -> Record:
    """A record of what is known: its name, its target, and why it is not here."""
    target = column.target
    cell = Cell(
        id=cell_id, digest="", model=ModelFile(model, "", "", ""), target=target, variant=column.variant,
        provider="", environment=Environment(target.environment, ""), options={}, session_config={},
        graph_optimization="", io=Io.HOST, tf32=False, protocol=Protocol(), tolerance=Tolerance(0.0, 0.0),
        inputs_digest="",
    )  # fmt: skip
    return Record(cell, NotRun(fate.value), run_id=run_id)


def missing_row(found: Record, label: str) -> CellRow:
    """Its row: whatever only its host could have told is unknown."""
    outcome, cell = found.outcome, found.cell
    known: Mapping[str, Any] = {
        "run_id": found.run_id,
        "label": label,
        "cell": cell.id,
        "model": cell.model.name,
        "target": cell.target.label,
        "precision": cell.target.precision.value,
        "environment": cell.target.environment,
        "variant": cell.variant,
        "shape_number": 1,
        "status": outcomes.status(outcome),
        "outcome": outcomes.name(outcome),
        "exact_outcome": outcomes.exact(outcome),
        "error_type": outcomes.error_type(outcome),
        "detail": outcomes.detail(outcome),
    }
    return CellRow(**{**unknown_values(CellRow), **known})
