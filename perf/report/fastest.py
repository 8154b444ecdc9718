"""Which target ran each model fastest, and whether the next one can be told apart from it."""

from collections.abc import Sequence

from perf.report.layout import Column, Section
from perf.report.sections import format_ms
from perf.results import gains
from perf.results.cell_row import CellResult


def list_fastest(cells: Sequence[CellResult]) -> Section:
    """A row per model and shapes of which two targets or more have a latency."""
    alike: dict[tuple[str, str], list[CellResult]] = {}
    for c in cells:
        if c.row.p50_ms is not None:
            fed = ", ".join(f"{name} {dims}" for name, dims in c.row.input_shapes.items())
            alike.setdefault((c.row.model, fed), []).append(c)
    models = [model for model, _ in alike]
    rows: list[tuple[str, ...]] = []
    for (model, fed), mine in alike.items():
        if len(mine) > 1:
            first, second = sorted(mine, key=lambda c: c.row.p50_ms or 0.0)[:2]
            gain = gains.gain_between(second.record, first.record)
            doubt = "" if gain and gain.claimed else ", not told apart"
            next_one = f"{second.column}, {format_ms(second.row.p50_ms)} ms{doubt}"
            name = f"{model} {fed}" if models.count(model) > 1 else model
            rows.append((name, first.column, format_ms(first.row.p50_ms), next_one))
    columns = (
        Column("Model", firm=True), Column("fastest", firm=True), Column("p50 (ms)", right=True),
        Column("next", prose=True),
    )  # fmt: skip
    return Section("Fastest EP per model", columns, tuple(rows))
