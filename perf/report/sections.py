"""What a run's end shows: the predecessor's sections, a line per model and target, from the long rows."""

from collections import Counter
from collections.abc import Callable, Sequence

from perf.machine.system import SystemInfo, list_specs
from perf.report.layout import Column, Section
from perf.results import build_spread, gains, trt_gap
from perf.results.columns import CellRow
from perf.schema import outcomes
from perf.schema.record import Record

NAMED = 3  # ids named per mark
MOST_ELSEWHERE = 3  # operator types named per cell

Cells = Sequence[tuple[Record, CellRow]]


def all_sections(cells: Cells, host: SystemInfo, width: int) -> tuple[Section, ...]:
    """Latency, gains, what explains them, status, metrics, failing cells and the system.

    Those with nothing to say are left out.
    """
    found = (
        latency(cells), gain(cells), apart(cells), rebuilt(cells), status(cells, width),
        metrics(cells), failing(cells),
    )  # fmt: skip
    return (*(s for s in found if s.rows), system(host))


def latency(cells: Cells) -> Section:
    """A group of lines per model, a line per target that has a latency."""
    measured = [(r, c) for r, c in cells if c.p50_ms is not None]
    columns = ("mean", "p50", "±", "p90", "MiB", "gain %")
    return Section(
        "Models/EPs latency (ms)",
        (Column("Model / EP", firm=True), *(Column(c, right=True) for c in columns)),
        _grouped(measured, _latency),
        _marks(cells),
    )


def gain(cells: Cells) -> Section:
    """The predecessor's four gains, where both sides were measured; not claimed if the interval holds 0."""
    rows: list[tuple[str, ...]] = []
    for model, mine in _by_model(cells).items():
        by_column = {gains.column_of(r): r for r, _ in mine}
        for d in gains.predecessor_gains(tuple(by_column)):
            found = gains.gain_between(by_column[d.base], by_column[d.subject])
            if found and found.interval:
                text = f"{found.percent:.2f} %" if found.claimed else "not claimed"
                bounds = f"[{found.interval.low:.2f}, {found.interval.high:.2f}]"
                rows.append((model, d.header, text, bounds, str(found.pairs)))
    columns = (
        Column("Model", firm=True),
        Column("Gain"),
        Column("", True),
        Column("95 % interval", True),
    )
    return Section("Models/EPs gains", (*columns, Column("pairs", True)), tuple(rows))


def apart(cells: Cells) -> Section:
    """What the TensorRT EP's time differs by from TensorRT's alone, and the parts that were measured."""
    rows: list[tuple[str, ...]] = []
    for g in trt_gap.find_gaps([r for r, _ in cells]):
        beside = max(g.subject_ms, g.base_ms)
        times = f"{milliseconds(g.subject_ms, beside)} less {milliseconds(g.base_ms, beside)}"
        rows.append(
            (f"{g.model}: {g.subject} - {g.base}", milliseconds(g.total_ms, beside), times)
        )
        rows += [
            (f"  {t.name}", milliseconds(t.ms, beside) or "not measured", t.facts) for t in g.terms
        ]
    columns = (Column("Gap and its terms", firm=True), Column("ms", True), Column("facts"))
    return Section("TensorRT EP and TensorRT alone (ms)", columns, tuple(rows))


def rebuilt(cells: Cells) -> Section:
    """How engines that were built from the same model differ, in speed and from the reference."""
    rows = tuple(
        (
            f"{b.model} / {b.ep}",
            f"{b.published} of {b.builds}",
            milliseconds(b.median_ms),
            milliseconds(b.half_range_ms, b.median_ms),
            "" if b.spread_pct is None else f"{b.spread_pct:.1f}",
            f"{min(b.relative_norms):.2g} to {max(b.relative_norms):.2g}"
            if b.relative_norms
            else "",
        )
        for b in build_spread.builds_table([r for r, _ in cells])
    )
    heads = ("builds", "median (ms)", "±", "± %", "off the reference")
    columns = (Column("Model / EP", firm=True), *(Column(h, right=True) for h in heads))
    return Section("Engines built again", columns, rows)


def status(cells: Cells, width: int) -> Section:
    """A row per model and a column per target where that fits, else a line per model and target."""
    columns = tuple(dict.fromkeys(gains.column_of(r) for r, _ in cells))
    models = tuple(dict.fromkeys(c.model for _, c in cells))
    longest = max((len(m) for m in models), default=0)
    if longest + sum(2 + max(len(c), len(outcomes.SKIPPED)) for c in columns) > width:
        return Section(
            "Models/EPs status",
            (Column("Model / EP", firm=True), Column("status"), Column("outcome")),
            _grouped(cells, lambda r, c: (c.status, c.exact_outcome)),
        )
    at = {(c.model, gains.column_of(r)): c.status for r, c in cells}
    rows = tuple((m, *(at.get((m, column), "") for column in columns)) for m in models)
    return Section("Models/EPs status", tuple(Column(c) for c in ("Model", *columns)), rows)


def metrics(cells: Cells) -> Section:
    """Where nodes ran, for every cell whose placement was told or should have been."""
    placed = [(r, c) for r, c in cells if c.placement_source]
    return Section(
        "Models/EPs metrics",
        (
            Column("Model / EP", firm=True),
            *(Column(c, right=True) for c in ("ops", "on EP", "ops share", "time share")),
            Column("left on others"),
        ),
        _grouped(placed, _metrics),
    )


def failing(cells: Cells) -> Section:
    """Every cell that failed, with the predecessor's error type and the exact outcome."""
    failed = [(r, c) for r, c in cells if c.status == outcomes.FAIL]
    return Section(
        "Failing Models/EPs",
        (Column("Model / EP", firm=True), Column("error type"), Column("outcome"), Column("why")),
        _grouped(failed, lambda r, c: (c.error_type, c.exact_outcome, shortened(c.detail, 120))),
    )


def system(host: SystemInfo) -> Section:
    """The machine and its environments."""
    return Section("System information", (Column("Spec"), Column("Version")), list_specs(host))


def milliseconds(value: float | None, beside: float | None = None) -> str:
    """Enough digits to compare with, as many as the figure `beside` it has; "" for unknown."""
    if value is None:
        return ""
    size = value if beside is None else beside
    digits = 1 if size >= 1000 else 2 if size >= 100 else 3 if size >= 1 else 4
    return f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """A share in %; "" for unknown."""
    return "" if value is None else f"{100 * value:.1f} %"


def shortened(text: str, length: int) -> str:
    """The first line of a text, cut where it is longer."""
    first = text.strip().partition("\n")[0]
    return first if len(first) <= length else first[: length - 1] + "…"


def _latency(_: Record, row: CellRow) -> tuple[str, ...]:
    memory = row.gpu_peak_mib if row.gpu_peak_mib is not None else row.host_peak_mib
    gained = "" if row.cpu_gain_pct is None else f"{row.cpu_gain_pct:+.1f}"
    return (
        milliseconds(row.mean_ms),
        milliseconds(row.p50_ms),
        milliseconds(row.launch_half_range_ms, row.p50_ms),
        milliseconds(row.p90_ms),
        "" if memory is None else f"{memory:.0f}",
        gained,
    )


def _metrics(_: Record, row: CellRow) -> tuple[str, ...]:
    others: Counter[str] = Counter()
    for where, n in row.ops_elsewhere.items():
        others[where.rpartition("/")[2]] += n
    named = [f"{op} x{n}" for op, n in others.most_common(MOST_ELSEWHERE)]
    more = [f"{len(others) - MOST_ELSEWHERE} more types"] if len(others) > MOST_ELSEWHERE else []
    return (
        row.placement_source if row.total_ops is None else str(row.total_ops),
        "" if row.ops_on_ep is None else str(row.ops_on_ep),
        percent(row.ratio_of_ops_on_ep),
        percent(row.ratio_of_time_on_ep),
        ", ".join(named + more),
    )


def _grouped(
    cells: Cells, figures: Callable[[Record, CellRow], tuple[str, ...]]
) -> tuple[tuple[str, ...], ...]:
    rows: list[tuple[str, ...]] = []
    for model in dict.fromkeys(c.model for _, c in cells):
        told = [("  " + gains.column_of(r), *figures(r, c)) for r, c in cells if c.model == model]
        rows.append((model, *[""] * (len(told[0]) - 1)))
        rows += told
    return tuple(rows)


def _by_model(cells: Cells) -> dict[str, list[tuple[Record, CellRow]]]:
    out: dict[str, list[tuple[Record, CellRow]]] = {}
    for record, row in cells:
        out.setdefault(row.model, []).append((record, row))
    return out


def _marks(cells: Cells) -> tuple[str, ...]:
    marked: dict[str, list[str]] = {}
    for _, row in cells:
        for mark in row.marks:
            kind = "preempted" if mark.startswith("preempted") else mark
            marked.setdefault(kind, []).append(row.cell)
    notes = ["± is half the range of the launches' medians; MiB is GPU memory, else the host's;"]
    notes[0] += " the gain is over the CPU EP, empty where it cannot be claimed."
    for mark, ids in marked.items():
        more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
        notes.append(f"{mark}: {', '.join(ids[:NAMED])}{more}")
    return tuple(notes)
