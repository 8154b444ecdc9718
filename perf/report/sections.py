"""What a run's end shows: the predecessor's sections, a line per model and target, from the long rows."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from perf.machine.system import SystemInfo, list_specs
from perf.report.layout import Column, Section
from perf.results import gains
from perf.results.build_spread import BuildsRow, measure_spreads
from perf.results.cell_row import CellResult, CellRow
from perf.results.columns import draw_row
from perf.results.trt_gap import find_gaps
from perf.schema import outcomes

NAMED = 3  # ids named per mark
MOST_ELSEWHERE = 3  # operator types named per cell

Cells = Sequence[CellResult]


def all_sections(cells: Cells, host: SystemInfo, width: int) -> tuple[Section, ...]:
    """Latency, gains, what explains them, status, metrics, failing cells and the system.

    Those with nothing to say are left out.
    """
    found = (
        list_latencies(cells), list_gains(cells), list_gaps(cells), list_builds(cells),
        list_statuses(cells, width), list_placements(cells), list_failures(cells),
    )  # fmt: skip
    system = Section("System information", (Column("Spec"), Column("Version")), list_specs(host))
    return (*(s for s in found if s.rows), system)


def list_latencies(cells: Cells) -> Section:
    """A group of lines per model, a line per target that has a latency."""
    return Section(
        "Models/EPs latency (ms)",
        _columns("Model / EP", numbers=("mean", "p50", "±", "p90", "MiB", "gain %")),
        _group_by_model((c for c in cells if c.row.p50_ms is not None), _latency_texts),
        _mark_remarks(cells),
    )


def list_gains(cells: Cells) -> Section:
    """The predecessor's four gains, where both sides were measured; not claimed if the interval holds 0."""
    rows: list[tuple[str, ...]] = []
    for model in _models(cells):
        by_column = {c.column: c.record for c in cells if c.row.model == model}
        for d in gains.predecessor_gains(tuple(by_column)):
            gain = gains.gain_between(by_column[d.base], by_column[d.subject])
            if gain and gain.interval:
                text = f"{gain.percent:.2f} %" if gain.claimed else "not claimed"
                bounds = f"[{gain.interval.low:.2f}, {gain.interval.high:.2f}]"
                rows.append((model, d.header, text, bounds, str(gain.pairs)))
    columns = _columns("Model", ("Gain",), ("", "95 % interval", "pairs"))
    return Section("Models/EPs gains", columns, tuple(rows))


def list_gaps(cells: Cells) -> Section:
    """What the TensorRT EP's time differs by from TensorRT's alone, and the parts that were measured."""
    rows: list[tuple[str, ...]] = []
    for g in find_gaps([c.record for c in cells]):
        largest = max(g.subject_ms, g.base_ms)
        total, ours, theirs = (
            format_ms(ms, largest) for ms in (g.total_ms, g.subject_ms, g.base_ms)
        )
        rows.append((f"{g.model}: {g.subject} - {g.base}", total, f"{ours} less {theirs}"))
        for t in g.terms:
            rows.append((f"  {t.name}", format_ms(t.ms, largest) or "not measured", t.facts))
    columns = (Column("Gap and its terms", firm=True), Column("ms", True), Column("facts"))
    return Section("TensorRT EP and TensorRT alone (ms)", columns, tuple(rows))


def list_builds(cells: Cells) -> Section:
    """How engines that were built from the same model differ, in speed and from the reference."""
    rows = []
    for builds in measure_spreads([c.record for c in cells]):
        b, norms = draw_row(BuildsRow, builds), builds.relative_norms
        texts = (
            f"{b.published} of {b.builds}",
            format_ms(b.median_ms),
            format_ms(b.half_range_ms, b.median_ms),
            "" if b.spread_pct is None else f"{b.spread_pct:.1f}",
            f"{min(norms):.2g} to {max(norms):.2g}" if norms else "",
        )
        rows.append((f"{b.model} / {b.ep}", *texts))
    heads = ("builds", "median (ms)", "±", "± %", "off the reference")
    return Section("Engines built again", _columns("Model / EP", numbers=heads), tuple(rows))


def list_statuses(cells: Cells, width: int) -> Section:
    """A row per model and a column per target where that fits, else a line per model and target."""
    columns, models = tuple(dict.fromkeys(c.column for c in cells)), _models(cells)
    longest = max((len(m) for m in models), default=0)
    if longest + sum(2 + max(len(c), len(outcomes.SKIPPED)) for c in columns) > width:
        return Section(
            "Models/EPs status",
            _columns("Model / EP", ("status", "outcome")),
            _group_by_model(cells, lambda row: (row.status, row.exact_outcome)),
        )
    at = {(c.row.model, c.column): c.row.status for c in cells}
    rows = tuple((m, *(at.get((m, column), "") for column in columns)) for m in models)
    return Section("Models/EPs status", tuple(Column(c) for c in ("Model", *columns)), rows)


def list_placements(cells: Cells) -> Section:
    """Where nodes ran, for every cell whose placement is known or should be."""
    columns = _columns("Model / EP", numbers=("ops", "on EP", "ops share", "time share"))
    placed = (c for c in cells if c.row.placement_source)
    rows = _group_by_model(placed, _placement_texts)
    return Section("Models/EPs metrics", (*columns, Column("left on others")), rows)


def list_failures(cells: Cells) -> Section:
    """Every cell that failed, with the predecessor's error type and the exact outcome."""
    return Section(
        "Failing Models/EPs",
        _columns("Model / EP", ("error type", "outcome", "why")),
        _group_by_model(
            (c for c in cells if c.row.status == outcomes.FAIL),
            lambda row: (row.error_type, row.exact_outcome, shorten(row.detail, 120)),
        ),
    )


def format_ms(value: float | None, beside: float | None = None) -> str:
    """Enough digits to compare with, as many as the figure `beside` it has; "" for unknown."""
    if value is None:
        return ""
    size = value if beside is None else beside
    digits = 1 if size >= 1000 else 2 if size >= 100 else 3 if size >= 1 else 4
    return f"{value:.{digits}f}"


def format_share(value: float | None) -> str:
    """A share in %; "" for unknown."""
    return "" if value is None else f"{100 * value:.1f} %"


def shorten(text: str, length: int) -> str:
    """The first line of a text, cut where it is longer."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= length else line[: length - 1] + "…"


def _columns(
    name: str, texts: Iterable[str] = (), numbers: Iterable[str] = ()
) -> tuple[Column, ...]:
    """Headings: of the name, which is the last to be wrapped, of texts, and of numbers."""
    return (
        Column(name, firm=True), *map(Column, texts), *(Column(n, right=True) for n in numbers),
    )  # fmt: skip


def _latency_texts(row: CellRow) -> tuple[str, ...]:
    memory = row.gpu_peak_mib if row.gpu_peak_mib is not None else row.host_peak_mib
    return (
        format_ms(row.mean_ms),
        format_ms(row.p50_ms),
        format_ms(row.launch_half_range_ms, row.p50_ms),
        format_ms(row.p90_ms),
        "" if memory is None else f"{memory:.0f}",
        "" if row.cpu_gain_pct is None else f"{row.cpu_gain_pct:+.1f}",
    )


def _placement_texts(row: CellRow) -> tuple[str, ...]:
    others: Counter[str] = Counter()
    for where, n in row.ops_elsewhere.items():
        others[where.rpartition("/")[2]] += n
    named = [f"{op} x{n}" for op, n in others.most_common(MOST_ELSEWHERE)]
    if len(others) > MOST_ELSEWHERE:
        named.append(f"{len(others) - MOST_ELSEWHERE} more types")
    return (
        row.placement_source if row.total_ops is None else str(row.total_ops),
        "" if row.ops_on_ep is None else str(row.ops_on_ep),
        format_share(row.ratio_of_ops_on_ep),
        format_share(row.ratio_of_time_on_ep),
        ", ".join(named),
    )


def _models(cells: Iterable[CellResult]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(c.row.model for c in cells))


def _group_by_model(
    cells: Iterable[CellResult], texts: Callable[[CellRow], tuple[str, ...]]
) -> tuple[tuple[str, ...], ...]:
    rows: list[tuple[str, ...]] = []
    by_model: dict[str, list[tuple[str, ...]]] = {}
    for c in cells:
        by_model.setdefault(c.row.model, []).append(("  " + c.column, *texts(c.row)))
    for model, lines in by_model.items():
        rows += [(model, *[""] * (len(lines[0]) - 1)), *lines]
    return tuple(rows)


def _mark_remarks(cells: Cells) -> tuple[str, ...]:
    marked: dict[str, list[str]] = {}
    for c in cells:
        for mark in c.row.marks:
            kind = "preempted" if mark.startswith("preempted") else mark
            marked.setdefault(kind, []).append(c.row.cell)
    remarks = [
        "± is half the range of the launches' medians; MiB is GPU memory, else the host's;"
        " the gain is over the CPU EP, empty where it cannot be claimed."
    ]
    for mark, ids in marked.items():
        more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
        remarks.append(f"{mark}: {', '.join(ids[:NAMED])}{more}")
    return tuple(remarks)
