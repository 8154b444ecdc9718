"""The predecessor's seven tables as headers and rows of values, drawn from records."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import TypeAlias

from perf.machine import system
from perf.machine.system import SystemInfo
from perf.results import gains
from perf.results.cell_row import input_shapes, placement_of
from perf.results.columns import (
    CellRow,
    FailRow,
    GainPart,
    LatencyPart,
    MetricsRow,
    SessionPart,
    StatusPart,
    SuccessRow,
    SystemRow,
    Value,
    column_names,
)
from perf.schema import outcomes
from perf.schema.cell import Cell, Io
from perf.schema.record import Record
from perf.stats.summary import PairedGain, ratio, rounded

TENSORRT = "TensorrtExecutionProvider"  # whose columns the predecessor names
INTEGERS = (2, 3, 4, 5, 6, 7, 12, 13)  # TensorProto.DataType: uint8 … int64, uint32, uint64
BENEATH = ("numpy", "onnxruntime", "torch")  # loaded beside an engine that is none of them
Pair: TypeAlias = tuple[Record, CellRow]


@dataclass(frozen=True)
class Table:
    """A table's name, its header, and its rows; None is unknown."""

    name: str
    header: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]


@dataclass(frozen=True)
class Grid:
    """Records by model and target column, both in plan order."""

    models: tuple[str, ...]
    columns: tuple[str, ...]
    at: dict[tuple[str, str], Pair]


def lay_out_grid(pairs: Sequence[Pair]) -> Grid:
    """Arrange records; a second cell of one model and target column gets a column with its digest."""
    at: dict[tuple[str, str], Pair] = {}
    for record, row in pairs:
        key = (row.model, gains.column_of(record))
        if key in at:
            key = (row.model, f"{key[1]} ({row.digest})")
        at[key] = (record, row)
    models = tuple(dict.fromkeys(model for model, _ in at))
    return Grid(models, tuple(dict.fromkeys(column for _, column in at)), at)


def legacy_tables(pairs: Sequence[Pair], host: SystemInfo) -> tuple[Table, ...]:
    """Fail, success, latency, metrics, status, session and system_info; every cell in its place."""
    arranged = lay_out_grid(pairs)
    return (
        fail_table(pairs),
        success_table(pairs),
        latency_table(arranged),
        metrics_table(pairs),
        status_table(arranged),
        session_table(arranged),
        system_info_table(host),
    )


def fail_table(pairs: Sequence[Pair]) -> Table:
    """A row per cell that did not pass."""
    rows = [
        FailRow(
            model=row.model,
            ep=gains.column_of(record),
            error_type=row.error_type,
            error_message=row.detail,
            exact_outcome=row.exact_outcome,
            stage=row.stage,
            cell=row.cell,
            environment=row.environment,
            log=row.log,
        )
        for record, row in pairs
        if row.status != outcomes.PASS
    ]
    return Table("fail", column_names(FailRow), tuple(row_values(r) for r in rows))


def success_table(pairs: Sequence[Pair]) -> Table:
    """A row per cell that passed."""
    rows = [_success(record, row) for record, row in pairs if row.status == outcomes.PASS]
    return Table("success", column_names(SuccessRow), tuple(row_values(r) for r in rows))


def latency_table(arranged: Grid) -> Table:
    """A row per model, a group of columns per target, then the gains."""
    defined = gains.gain_definitions(arranged.columns)
    head = ["Model"]
    head += [f"{c} {h}" for c in arranged.columns for h in column_names(LatencyPart)]
    head += [d.header if h == "percent" else f"{d.header} {h}" for d in defined for h in GAIN]
    rows: list[tuple[Value, ...]] = []
    for model in arranged.models:
        line: list[Value] = [model]
        for column in arranged.columns:
            found = arranged.at.get((model, column))
            line += row_values(_latency(found[1])) if found else EMPTY_LATENCY
        for definition in defined:
            base = arranged.at.get((model, definition.base))
            subject = arranged.at.get((model, definition.subject))
            known = gains.gain_between(base[0], subject[0]) if base and subject else None
            line += row_values(gain_part(known))
        rows.append(tuple(line))
    return Table("latency", tuple(head), tuple(rows))


def session_table(arranged: Grid) -> Table:
    """A row per model; all targets' first creation, then all second, as the predecessor had them."""
    heads = column_names(SessionPart)
    head = ["Model", *(f"{c} {h}" for h in heads for c in arranged.columns)]
    rows: list[tuple[Value, ...]] = []
    for model in arranged.models:
        found = [arranged.at.get((model, c)) for c in arranged.columns]
        parts = [row_values(_session(f[1])) if f else (None,) * len(heads) for f in found]
        rows.append((model, *(part[i] for i in range(len(heads)) for part in parts)))
    return Table("session", tuple(head), tuple(rows))


def status_table(arranged: Grid) -> Table:
    """A row per model, a word per target; empty only where the cell was not planned."""
    rows: list[tuple[Value, ...]] = []
    for model in arranged.models:
        found = [arranged.at.get((model, c)) for c in arranged.columns]
        rows.append(
            (model, *(StatusPart(status=f[1].status).status if f else None for f in found))
        )
    return Table("status", ("Model", *arranged.columns), tuple(rows))


def metrics_table(pairs: Sequence[Pair]) -> Table:
    """A row per cell whose placement was told, or should have been."""
    rows = [_metrics(record, row) for record, row in pairs if row.placement_source]
    return Table("metrics", column_names(MetricsRow), tuple(row_values(r) for r in rows))


def system_info_table(host: SystemInfo) -> Table:
    """A row per fact."""
    rows = [SystemRow(spec=spec, version=text) for spec, text in system.list_specs(host)]
    return Table("system_info", column_names(SystemRow), tuple(row_values(r) for r in rows))


def gain_part(gain: PairedGain | None) -> GainPart:
    """A gain's columns: the figure only where it is claimed, its interval wherever there is one."""
    interval = gain.interval if gain else None
    return GainPart(
        percent=rounded(gain.percent, 2) if gain and gain.claimed else None,
        low=rounded(interval.low, 2) if interval else None,
        high=rounded(interval.high, 2) if interval else None,
        pairs=gain.pairs if gain else None,
    )


def row_values(row: object) -> tuple[Value, ...]:
    """A row's values in the order of its headers."""
    return astuple(row)  # type: ignore[call-overload, no-any-return]


GAIN = column_names(GainPart)
EMPTY_LATENCY: tuple[Value, ...] = (None,) * len(column_names(LatencyPart))


def _latency(row: CellRow) -> LatencyPart:
    return LatencyPart(
        mean_ms=row.mean_ms,
        p90_ms=row.p90_ms,
        peak_mib=row.gpu_peak_mib,
        host_mib=row.host_peak_mib,
        p50_ms=row.p50_ms,
        spread_ms=row.launch_half_range_ms,
        launches=row.launches,
        samples=row.samples,
        io=row.io,
        math_mode=row.math_mode,
        status=row.status,
        marks=row.marks,
    )


def _session(row: CellRow) -> SessionPart:
    return SessionPart(
        creation_s=row.creation_cold_s,
        second_s=row.creation_second_s,
        first_run_ms=row.first_run_ms,
        status=row.status,
    )


def _success(record: Record, row: CellRow) -> SuccessRow:
    cell = record.cell
    engine, version = _engine(record, row)
    return SuccessRow(
        engine=engine,
        version=version,
        device=gains.column_of(record),
        fp16=row.precision == "fp16",
        io_binding=row.io == Io.DEVICE.value,
        graph_optimizations=row.graph_optimization,
        enable_cache=dict(row.options),
        model_name=row.model,
        inputs=len(input_shapes(cell)) or None,
        batch_size=_batch(cell),
        sequence_length=_sequence(cell),
        datetime=row.finished_at,
        test_times=row.samples,
        QPS=row.runs_per_s,
        average_latency_ms=row.mean_ms,
        latency_variance=rounded(row.stdev_ms**2, 9) if row.stdev_ms is not None else None,
        latency_90_percentile=row.p90_ms,
        latency_95_percentile=row.p95_ms,
        latency_99_percentile=row.p99_ms,
        p50_ms=row.p50_ms,
        spread_ms=row.launch_half_range_ms,
        launches=row.launches,
        io=row.io,
        math_mode=row.math_mode,
        check=row.check,
        exact_outcome=row.exact_outcome,
        ratio_of_ops_on_ep=row.ratio_of_ops_on_ep,
        host_peak_mib=row.host_peak_mib,
        gpu_peak_mib=row.gpu_peak_mib,
        marks=row.marks,
        cell=row.cell,
        environment=row.environment,
    )


def _metrics(record: Record, row: CellRow) -> MetricsRow:
    found, wanted = placement_of(record), row.provider == TENSORRT
    nodes = found.nodes.get(TENSORRT, 0) if found and wanted else None
    spent = row.host_time_us if wanted else None
    own = found.host_time_us.get(TENSORRT, 0.0) if found and spent is not None else None
    return MetricsRow(
        model=row.model,
        ep=gains.column_of(record),
        provider=row.provider,
        total_ops=row.total_ops,
        total_ops_in_trt=nodes,
        ratio_of_ops_in_trt=ratio(nodes, row.total_ops),
        total_execution_time=row.host_time_us,
        total_trt_execution_time=rounded(own, 3),
        ratio_of_execution_time_in_trt=ratio(own, spent),
        total_ops_in_ep=row.ops_on_ep,
        ratio_of_ops_in_ep=row.ratio_of_ops_on_ep,
        total_ep_execution_time=row.host_time_on_ep_us,
        ratio_of_execution_time_in_ep=row.ratio_of_time_on_ep,
        partitions_in_ep=row.partitions_on_ep,
        ops_elsewhere=dict(row.ops_elsewhere),
        source=row.placement_source,
        status=row.status,
    )


def _engine(record: Record, row: CellRow) -> tuple[str, str]:
    """ORT by the distribution that carries it, else the engine as its launches name it, else the target."""
    told = [pair for x in record.launches for pair in x.versions.items() if pair[0] not in BENEATH]
    if told and not row.provider:
        return told[-1]
    for name, version in row.versions.items():
        if name.startswith("onnxruntime"):
            return "onnxruntime", version
    return row.target, next(iter(row.versions.values()), "")


def _batch(cell: Cell) -> int | None:
    inputs = cell.sets[0].inputs if cell.sets else ()
    leading = {t.shape[0] if t.shape else None for t in inputs}
    return leading.pop() if len(leading) == 1 else None


def _sequence(cell: Cell) -> int | None:
    inputs = cell.sets[0].inputs if cell.sets else ()
    lengths = {
        t.shape[1] if len(t.shape) == 2 and t.onnx_type in INTEGERS else None for t in inputs
    }
    return lengths.pop() if len(lengths) == 1 else None
