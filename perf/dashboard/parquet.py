"""Dashboard tables as Parquet files, a file per table and run, typed as the database's are."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from perf.dashboard.dashboard_tables import DashboardTable
from perf.schema import atomic_file


def write_parquet(folder: Path, tables: Sequence[DashboardTable], run_id: str) -> None:
    """TABLE/RUN.parquet, each whole or not at all; raises OSError."""
    for table in tables:
        kinds = {c: pa.float64() if c in table.numbers else pa.string() for c in table.columns}
        columns = list(zip(*table.rows, strict=True)) or [()] * len(table.columns)
        arrays = [
            pa.array([_storable(v, kind) for v in values], type=kind)
            for kind, values in zip(kinds.values(), columns, strict=True)
        ]
        path = folder / table.name / f"{run_id}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file.draft_of(path) as aside:
            pq.write_table(
                pa.Table.from_arrays(arrays, schema=pa.schema(list(kinds.items()))), aside
            )


def _storable(value: str | float | None, kind: pa.DataType) -> str | float | None:
    """A number, or text without lone surrogates, which Arrow refuses."""
    if value is None or kind == pa.float64():
        return value
    return str(value).encode("utf-8", "replace").decode()
