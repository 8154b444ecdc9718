"""The predecessor's seven tables: their columns, with the headers that its users know, and their rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from perf.machine import system
from perf.machine.system import SystemInfo
from perf.results import gains
from perf.results.cell_row import CellResult, CellRow
from perf.results.columns import ColumnSource, Value, column_names, draw_row, row_values
from perf.schema import outcomes
from perf.schema.cell import Cell, Io
from perf.stats.summary import PairedGain, rounded

TENSORRT = "TensorrtExecutionProvider"  # whose columns the predecessor names
INTEGERS = (2, 3, 4, 5, 6, 7, 12, 13)  # TensorProto.DataType: uint8 … int64, uint32, uint64
BENEATH = ("numpy", "onnxruntime", "torch")  # loaded beside an engine that is none of them


of_result = ColumnSource[CellResult]()
of_cell = of_result.through(lambda result: result.record.cell)
of_row = of_result.through(lambda result: result.row)
of_tensorrt = of_row.through(lambda row: row if row.provider == TENSORRT else None)
of_gain = ColumnSource[PairedGain]()
of_interval = of_gain.through(lambda gain: gain.interval)
of_spec = ColumnSource[tuple[str, str]]()


# fmt: off
@dataclass(frozen=True, kw_only=True)
class FailRow:
    """A cell that did not pass, what was not tried included."""

    model: str = of_row("name in the model list", lambda r: r.model)
    ep: str = of_result("target, and its variant in brackets", lambda x: x.column)
    error_type: str = of_row("runtime error, result accuracy issue, script error; skipped, not run",
                             lambda r: r.error_type, "error type")
    error_message: str = of_row("why, in the words of whoever knew", lambda r: r.detail, "error message")
    exact_outcome: str = of_row("outcome with stage, signal or share", lambda r: r.exact_outcome, "exact outcome")
    stage: str = of_row("where it happened", lambda r: r.stage)
    cell: str = of_row("id that -k and --rerun take", lambda r: r.cell)
    environment: str = of_row("name in environments.toml", lambda r: r.environment)
    log: str = of_row("log of the launch that decided, below the result folder", lambda r: r.log)


@dataclass(frozen=True, kw_only=True)
class SuccessRow:
    """A cell that passed: the predecessor's columns with their right meaning, then ours."""

    engine: str = of_result("onnxruntime, or the program that ran it", lambda x: name_engine(x)[0])
    version: str = of_result("of the engine, as loaded", lambda x: name_engine(x)[1])
    device: str = of_result("target, and its variant in brackets", lambda x: x.column)
    fp16: bool = of_row("whether fp16 was asked for", lambda r: r.precision == "fp16")
    io_binding: bool = of_row("whether inputs and outputs were bound in device memory", lambda r: r.io == Io.DEVICE)
    graph_optimizations: str = of_row("graph optimisation level", lambda r: r.graph_optimization)
    enable_cache: Mapping[str, str] = of_row("provider options, as the predecessor had them here", lambda r: r.options)
    model_name: str = of_row("name in the model list", lambda r: r.model)
    inputs: int | None = of_row("number of inputs", lambda r: len(r.input_shapes) or None)
    batch_size: int | None = of_cell("leading dimension that all inputs share; empty: none", lambda c: find_batch(c))
    sequence_length: int | None = of_cell("2nd dimension, where all inputs are integer matrices", lambda c: find_sequence(c))
    datetime: str = of_row("when the cell ended, UTC, ISO 8601", lambda r: r.finished_at)
    test_times: int | None = of_row("timed runs, all launches", lambda r: r.samples)
    QPS: float | None = of_row("runs per second: 1000 / mean; a run is one query", lambda r: r.runs_per_s)
    average_latency_ms: float | None = of_row("mean of all samples (ms)", lambda r: r.mean_ms)
    latency_variance: float | None = of_row("variance of all samples (ms^2, n - 1)",
                                            lambda r: None if r.stdev_ms is None else rounded(r.stdev_ms**2, 9))
    latency_90_percentile: float | None = of_row("(ms); empty below 29 samples", lambda r: r.p90_ms)
    latency_95_percentile: float | None = of_row("(ms); empty below 59 samples", lambda r: r.p95_ms)
    latency_99_percentile: float | None = of_row("(ms); empty below 299 samples", lambda r: r.p99_ms)
    p50_ms: float | None = of_row("median of all samples", lambda r: r.p50_ms)
    spread_ms: float | None = of_row("half the range of the launches' medians", lambda r: r.launch_half_range_ms)
    launches: int | None = of_row("measure launches", lambda r: r.launches)
    io: str = of_row("host: copies are timed; device: bound in device memory", lambda r: r.io)
    math_mode: str = of_row("arithmetic allowed: fp32; tf32 (fp32 with TF32 allowed); fp16; …", lambda r: r.math_mode)
    check: str = of_row("checked; unchecked (--no_check); unreferenced", lambda r: r.check)
    exact_outcome: str = of_row("the exact outcome", lambda r: r.exact_outcome)
    ratio_of_ops_on_ep: float | None = of_row("nodes on the provider asked for, of all", lambda r: r.ratio_of_ops_on_ep)
    host_peak_mib: float | None = of_row("VmHWM above its baseline", lambda r: r.host_peak_mib)
    gpu_peak_mib: float | None = of_row("GPU memory above its baseline", lambda r: r.gpu_peak_mib)
    marks: tuple[str, ...] = of_row("what to know before believing the numbers", lambda r: r.marks)
    cell: str = of_row("id that -k and --rerun take", lambda r: r.cell)
    environment: str = of_row("name in environments.toml", lambda r: r.environment)
    input_shapes: Mapping[str, str] = of_row("shapes that these figures are of", lambda r: r.input_shapes)
    more_shapes: int | None = of_row("further shapes that the cell was fed: their figures are in cells.csv",
                                     lambda r: count_more_shapes(r))
    max_ms: float | None = of_row("slowest run", lambda r: r.max_ms)
    inputs_from: tuple[str, ...] = of_row("where the inputs came from: stored, given or random", lambda r: r.inputs_from)


@dataclass(frozen=True, kw_only=True)
class LatencyPart:
    """A target's columns in the latency table; each header follows the target's name."""

    mean_ms: float | None = of_row("mean of all samples", lambda r: r.mean_ms, "mean (ms)")
    p90_ms: float | None = of_row("empty below 29 samples", lambda r: r.p90_ms, "90th percentile (ms)")
    peak_mib: float | None = of_row("GPU memory above its baseline", lambda r: r.gpu_peak_mib, "peak memory usage (MiB)")
    host_mib: float | None = of_row("VmHWM above its baseline", lambda r: r.host_peak_mib, "peak host memory usage (MiB)")
    p50_ms: float | None = of_row("median of all samples", lambda r: r.p50_ms, "p50 (ms)")
    spread_ms: float | None = of_row("half the range of the launches' medians",
                                     lambda r: r.launch_half_range_ms, "spread between launches (ms)")
    launches: int | None = of_row("measure launches", lambda r: r.launches)
    samples: int | None = of_row("timed runs, all launches", lambda r: r.samples)
    io: str = of_row("host or device", lambda r: r.io)
    math_mode: str = of_row("fp32; tf32 (fp32 with TF32 allowed); fp16; …", lambda r: r.math_mode, "math mode")
    status: str = of_row("Pass, Fail, Skipped or NotRun", lambda r: r.status)
    marks: tuple[str, ...] = of_row("what to know before believing the numbers", lambda r: r.marks)
    input_shapes: Mapping[str, str] = of_row("shapes that these figures are of", lambda r: r.input_shapes, "input shapes")
    more_shapes: int | None = of_row("further shapes that the cell was fed: their figures are in cells.csv",
                                     lambda r: count_more_shapes(r), "more shapes")
    max_ms: float | None = of_row("slowest run", lambda r: r.max_ms, "max (ms)")


@dataclass(frozen=True, kw_only=True)
class GainPart:
    """A gain's columns in the latency table; each header follows the gain's name."""

    percent: float | None = of_gain("(base - subject) * 100 / base; empty: the interval holds 0",
                                    lambda g: rounded(g.percent, 2) if g.claimed else None)
    low: float | None = of_interval("95 % interval, low", lambda i: rounded(i.low, 2))
    high: float | None = of_interval("95 % interval, high", lambda i: rounded(i.high, 2))
    pairs: int | None = of_gain("launches paired by round", lambda g: g.pairs)


@dataclass(frozen=True, kw_only=True)
class SessionPart:
    """A target's columns in the session table; each header follows the target's name."""

    creation_s: float | None = of_row("first: no engine cached, alone on the machine",
                                      lambda r: r.creation_cold_s, "session creation time (s)")
    second_s: float | None = of_row("median of measure launches",
                                    lambda r: r.creation_second_s, "second session creation time (s)")
    first_run_ms: float | None = of_row("first inference of the check launch", lambda r: r.first_run_ms, "first run (ms)")
    status: str = of_row("Pass, Fail, Skipped or NotRun", lambda r: r.status)


@dataclass(frozen=True, kw_only=True)
class StatusPart:
    """A target's column in the status table; its header is the target's name."""

    status: str = of_row("Pass, Fail, Skipped or NotRun; empty: not planned", lambda r: r.status)


@dataclass(frozen=True, kw_only=True)
class MetricsRow:
    """Where the nodes of a cell ran; nodes after basic optimisation, subgraphs included."""

    model: str = of_row("name in the model list", lambda r: r.model, "Model")
    ep: str = of_result("target, and its variant in brackets", lambda x: x.column, "EP")
    provider: str = of_row("the provider asked for: 'ep' below", lambda r: r.provider)
    total_ops: int | None = of_row("nodes assigned to any provider", lambda r: r.total_ops)
    total_ops_in_trt: int | None = of_tensorrt("nodes on TensorRT; where that was asked for", lambda r: r.ops_on_ep)
    ratio_of_ops_in_trt: float | None = of_tensorrt("of total_ops; where TensorRT was asked for", lambda r: r.ratio_of_ops_on_ep)
    total_execution_time: float | None = of_row("host-side kernel time of one profiled run (us)", lambda r: r.host_time_us)
    total_trt_execution_time: float | None = of_tensorrt("of it on TensorRT (us)", lambda r: r.host_time_on_ep_us)
    ratio_of_execution_time_in_trt: float | None = of_tensorrt("of total_execution_time", lambda r: r.ratio_of_time_on_ep)
    total_ops_in_ep: int | None = of_row("nodes on the provider asked for", lambda r: r.ops_on_ep)
    ratio_of_ops_in_ep: float | None = of_row("of total_ops; empty for a graph folded to nothing", lambda r: r.ratio_of_ops_on_ep)
    total_ep_execution_time: float | None = of_row("of total_execution_time on the EP (us)", lambda r: r.host_time_on_ep_us)
    ratio_of_execution_time_in_ep: float | None = of_row("of total_execution_time", lambda r: r.ratio_of_time_on_ep)
    partitions_in_ep: int | None = of_row("subgraphs the provider was given", lambda r: r.partitions_on_ep)
    ops_elsewhere: Mapping[str, int] = of_row("provider/operator type -> nodes left on others", lambda r: r.ops_elsewhere)
    source: str = of_row("graph_assignment, profile, or unproven", lambda r: r.placement_source)
    status: str = of_row("Pass, Fail, Skipped or NotRun", lambda r: r.status)


@dataclass(frozen=True, kw_only=True)
class SystemRow:
    """A fact of the machine or of an environment."""

    spec: str = of_spec("what", lambda spec: spec[0], "Spec")
    version: str = of_spec("its value", lambda spec: spec[1], "Version")
# fmt: on


@dataclass(frozen=True)
class Table:
    """A table's name, its header, and its rows; None is unknown."""

    name: str
    header: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]


@dataclass(frozen=True)
class Grid:
    """Cells by model and target column, both in plan order."""

    models: tuple[str, ...]
    columns: tuple[str, ...]
    at: Mapping[tuple[str, str], CellResult]

    def draw(self, part: type, model: str, column: str) -> tuple[Value, ...]:
        """A cell's fields of a wide table; None each, where it was not planned."""
        cell = self.at.get((model, column))
        return row_values(draw_row(part, cell)) if cell else (None,) * len(column_names(part))


def lay_out_grid(cells: Sequence[CellResult]) -> Grid:
    """Arrange cells; a second one of a model and target column gets a column with its digest."""
    at: dict[tuple[str, str], CellResult] = {}
    for cell in cells:
        model, column = cell.row.model, cell.column
        at[model, f"{column} ({cell.row.digest})" if (model, column) in at else column] = cell
    models = tuple(dict.fromkeys(model for model, _ in at))
    return Grid(models, tuple(dict.fromkeys(column for _, column in at)), at)


def legacy_tables(cells: Sequence[CellResult], host: SystemInfo) -> tuple[Table, ...]:
    """Fail, success, latency, metrics, status, session and system_info; every cell in its place, with the
    figures of its first input shapes."""
    firsts = [c for c in cells if c.is_first]
    return (
        *tables_of_cells(firsts, lay_out_grid(firsts)),
        make_table("system_info", SystemRow, system.list_specs(host)),
    )


def tables_of_cells(cells: Sequence[CellResult], grid: Grid) -> tuple[Table, ...]:
    """All of them but system_info, the wide ones as the grid lays their cells out."""
    passed = [c for c in cells if c.row.status == outcomes.PASS]
    return (
        make_table("fail", FailRow, [c for c in cells if c.row.status != outcomes.PASS]),
        make_table("success", SuccessRow, passed),
        latency_table(grid),
        make_table("metrics", MetricsRow, [c for c in cells if c.row.placement_source]),
        status_table(grid),
        session_table(grid),
    )


def make_table(name: str, row: type, roots: Sequence[object]) -> Table:
    """A table with a row for each of these."""
    return Table(name, column_names(row), tuple(row_values(draw_row(row, x)) for x in roots))


def latency_table(grid: Grid) -> Table:
    """A row per model, a group of columns per target, then the gains."""
    defined = gains.gain_definitions(grid.columns)
    heads = [f"{c} {h}" for c in grid.columns for h in column_names(LatencyPart)]
    for d in defined:
        heads += [
            d.header if h == "percent" else f"{d.header} {h}" for h in column_names(GainPart)
        ]
    rows: list[tuple[Value, ...]] = []
    for model in grid.models:
        line: list[Value] = [model]
        for column in grid.columns:
            line += grid.draw(LatencyPart, model, column)
        for d in defined:
            base, subject = grid.at.get((model, d.base)), grid.at.get((model, d.subject))
            gain = gains.gain_between(base.record, subject.record) if base and subject else None
            line += row_values(draw_row(GainPart, gain))
        rows.append(tuple(line))
    return Table("latency", ("Model", *heads), tuple(rows))


def session_table(grid: Grid) -> Table:
    """A row per model; all targets' first creation, then all second, as the predecessor had them."""
    heads = [f"{c} {h}" for h in column_names(SessionPart) for c in grid.columns]
    rows: list[tuple[Value, ...]] = []
    for model in grid.models:
        parts = [grid.draw(SessionPart, model, c) for c in grid.columns]
        rows.append((model, *(value for kind in zip(*parts, strict=True) for value in kind)))
    return Table("session", ("Model", *heads), tuple(rows))


def status_table(grid: Grid) -> Table:
    """A row per model, a word per target; empty only where the cell was not planned."""
    rows = [
        (model, *(v for c in grid.columns for v in grid.draw(StatusPart, model, c)))
        for model in grid.models
    ]
    return Table("status", ("Model", *grid.columns), tuple(rows))


def name_engine(cell: CellResult) -> tuple[str, str]:
    """ORT by the distribution that carries it, else the engine as its launches name it, else the target."""
    record, row = cell.record, cell.row
    loaded = [v for x in record.launches for v in x.versions.items() if v[0] not in BENEATH]
    if loaded and not row.provider:
        return loaded[-1]
    for name, version in row.versions.items():
        if name.startswith("onnxruntime"):
            return "onnxruntime", version
    return row.target, next(iter(row.versions.values()), "")


def count_more_shapes(row: CellRow) -> int | None:
    """Input shapes of a row's cell that have rows of their own in cells.csv."""
    return None if row.shape_count is None else row.shape_count - 1


def find_batch(cell: Cell) -> int | None:
    """The leading dimension that all inputs share."""
    inputs = cell.sets[0].inputs if cell.sets else ()
    leading = {t.shape[0] if t.shape else None for t in inputs}
    return leading.pop() if len(leading) == 1 else None


def find_sequence(cell: Cell) -> int | None:
    """The second dimension, where all inputs are integer matrices and share it."""
    inputs = cell.sets[0].inputs if cell.sets else ()
    lengths = {
        t.shape[1] if len(t.shape) == 2 and t.onnx_type in INTEGERS else None for t in inputs
    }
    return lengths.pop() if len(lengths) == 1 else None
