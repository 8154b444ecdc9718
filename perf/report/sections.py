"""What a run's end shows: the predecessor's sections, a line per model and target, from the long rows."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from perf.report.layout import Column, Section
from perf.results import gains
from perf.results.build_spread import BuildsRow, measure_spreads
from perf.results.cell_row import CellResult
from perf.results.columns import draw_row
from perf.results.latency import mark_kind
from perf.results.target_gap import find_gaps
from perf.schema import outcomes
from perf.stats.summary import PairedGain, factor_of

NAMED = 3  # ids named per mark
MOST_ELSEWHERE = 3  # operator types named per cell
MOST_TOLD = 2000  # characters of a reason

Cells = Sequence[CellResult]


def all_sections(cells: Cells, width: int) -> tuple[Section, ...]:
    """Latency, gains, what explains them, status, metrics and failing cells; none that has nothing to say."""
    firsts = [c for c in cells if c.is_first]  # what is told of a cell, whatever its input shapes
    found = (
        list_latencies(cells), list_gains(cells), list_gaps(firsts), list_builds(firsts),
        list_statuses(firsts, width), list_placements(firsts), list_failures(firsts),
    )  # fmt: skip
    return tuple(s for s in found if s.rows)


def list_latencies(cells: Cells) -> Section:
    """A group of lines per model, a line per target that has a latency."""
    return Section(
        "Models/EPs latency (ms)",
        _columns("Model / EP", numbers=("mean", "p50", "±", "p90", "max", "MiB", "× CPU")),
        _group_by_model((c for c in cells if c.row.p50_ms is not None), _latency_texts),
        _mark_remarks(cells),
    )


def list_gains(cells: Cells) -> Section:
    """The predecessor's four gains, where both sides were measured; not claimed if the interval holds 0."""
    rows: list[tuple[str, ...]] = []
    for model, shapes in dict.fromkeys((c.row.model, c.shapes) for c in cells):
        mine = [c for c in cells if (c.row.model, c.shapes) == (model, shapes)]
        by_column = {c.column: c.record for c in mine}
        for d in gains.predecessor_gains(tuple(by_column)):
            gain = gains.gain_between(by_column[d.base], by_column[d.subject])
            if gain and gain.interval:
                text = format_gain(gain) if gain.claimed else "not claimed"
                name = f"{model} {shapes}".rstrip()
                told = d.header.replace("(%)", "")
                rows.append((name, told, text, format_factors(gain), str(gain.pairs)))
    columns = _columns("Model", ("Gain",), ("", "95 % interval", "pairs"))
    return Section("Models/EPs gains", columns, tuple(rows))


def list_gaps(cells: Cells) -> Section:
    """What an EP's time differs by from its engine's alone, in parts that were measured; what Python adds."""
    rows: list[tuple[str, ...]] = []
    for g in find_gaps([c.record for c in cells]):
        largest = max(g.subject_ms, g.base_ms)
        total, ours, theirs = (
            format_ms(ms, largest) for ms in (g.total_ms, g.subject_ms, g.base_ms)
        )
        rows.append((f"{g.model}: {g.subject} - {g.base}", total, f"{ours} less {theirs}"))
        for t in g.terms:
            rows.append((f"  {t.name}", format_ms(t.ms, largest) or "not measured", t.facts))
    columns = (
        Column("Gap and its terms", firm=True),
        Column("ms", True),
        Column("facts", prose=True),
    )
    return Section("An EP and its engine alone, Python and C++ (ms)", columns, tuple(rows))


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
            _group_by_model(cells, lambda c: (c.row.status, c.row.exact_outcome)),
        )
    at = {(c.row.model, c.column): c.row.status for c in cells}
    rows = tuple((m, *(at.get((m, column), "") for column in columns)) for m in models)
    return Section("Models/EPs status", tuple(Column(c) for c in ("Model", *columns)), rows)


def list_placements(cells: Cells) -> Section:
    """Where nodes ran, for every cell whose placement is known or should be."""
    columns = _columns("Model / EP", numbers=("ops", "on EP", "ops share", "time share"))
    placed = (c for c in cells if c.row.placement_source)
    rows = _group_by_model(placed, _placement_texts)
    return Section("Models/EPs metrics", (*columns, Column("left on others", prose=True)), rows)


def list_failures(cells: Cells) -> Section:
    """Every cell that failed, with the predecessor's error type and the exact outcome."""
    reasons = {c.row.cell: one_line(outcomes.reason(c.record.outcome)) for c in cells}
    return Section(
        "Failing Models/EPs",
        (*_columns("Model / EP", ("error type", "outcome")), Column("why", prose=True)),
        _group_by_model(
            (c for c in cells if c.row.status == outcomes.FAIL),
            lambda c: (c.row.error_type, c.row.exact_outcome, reasons[c.row.cell]),
        ),
    )


def format_ms(value: float | None, beside: float | None = None) -> str:
    """Enough digits to compare with, as many as the figure `beside` it has; "" for unknown."""
    if value is None:
        return ""
    size = value if beside is None else beside
    digits = 1 if size >= 1000 else 2 if size >= 100 else 3 if size >= 1 else 4
    return f"{value:.{digits}f}"


def format_gain(gain: PairedGain) -> str:
    """How many times as fast or as slow as the base, by the medians shown beside it: 19 × slower."""
    factor = gain.speedup
    return f"{_format_factor(max(factor, 1 / factor))} × {'faster' if factor >= 1 else 'slower'}"


def format_factors(gain: PairedGain) -> str:
    """The interval of a gain in the manner of `format_gain`, above 1 as that is; "" for none."""
    if gain.interval is None:
        return ""
    ends = [factor_of(gain.interval.low), factor_of(gain.interval.high)]
    if gain.speedup < 1:
        ends = [1 / f if f else math.inf for f in reversed(ends)]
    return f"[{', '.join(map(_format_factor, ends))}]"


def _format_factor(factor: float) -> str:
    """Three digits, two for many times."""
    if factor >= 1000 or not math.isfinite(factor):
        return f"{factor:.0f}"
    return f"{factor:.3g}" if factor < 0.1 or factor >= 9.995 else f"{factor:.2f}"


def format_share(value: float | None) -> str:
    """A share in %; "" for unknown."""
    return "" if value is None else f"{100 * value:.1f} %"


def one_line(text: str) -> str:
    """A text without its line breaks, whole unless no person would read it to its end."""
    line = " ".join(text[: 2 * MOST_TOLD].split())
    return line if len(line) <= MOST_TOLD else line[: MOST_TOLD - 1] + "…"


def _columns(
    name: str, texts: Iterable[str] = (), numbers: Iterable[str] = ()
) -> tuple[Column, ...]:
    """Headings: of the name, which is the last to be wrapped, of texts, and of numbers."""
    return (
        Column(name, firm=True), *map(Column, texts), *(Column(n, right=True) for n in numbers),
    )  # fmt: skip


def _latency_texts(cell: CellResult) -> tuple[str, ...]:
    row, gain = cell.row, cell.gain
    memory = row.gpu_peak_mib if row.gpu_peak_mib is not None else row.host_peak_mib
    return (
        format_ms(row.mean_ms),
        format_ms(row.p50_ms),
        format_ms(row.launch_half_range_ms, row.p50_ms),
        format_ms(row.p90_ms),
        format_ms(row.max_ms, row.p50_ms),
        "" if memory is None else f"{memory:.0f}",
        _format_factor(gain.speedup) if gain and gain.claimed else "",
    )


def _placement_texts(cell: CellResult) -> tuple[str, ...]:
    row = cell.row
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
    cells: Iterable[CellResult], texts: Callable[[CellResult], tuple[str, ...]]
) -> tuple[tuple[str, ...], ...]:
    rows: list[tuple[str, ...]] = []
    by_model: dict[str, list[tuple[str, ...]]] = {}
    for c in cells:
        name = f"  {c.column}" if c.is_first else f"    {c.shapes}"
        by_model.setdefault(c.row.model, []).append((name, *texts(c)))
    for model, lines in by_model.items():
        rows += [(model, *[""] * (len(lines[0]) - 1)), *lines]
    return tuple(rows)


def _mark_remarks(cells: Cells) -> tuple[str, ...]:
    marked: dict[str, list[str]] = {}
    for c in cells:
        for mark in c.row.marks:
            kind = mark_kind(mark)
            marked.setdefault(kind, []).append(c.row.cell)
    remarks = [
        "± is half the range of the launches' medians; MiB is GPU memory, else the host's;"
        " × CPU is how many times as fast as the CPU EP, empty where that cannot be claimed."
    ]
    for mark, found in marked.items():
        ids = list(dict.fromkeys(found))
        more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
        remarks.append(f"{mark}: {', '.join(ids[:NAMED])}{more}")
    return tuple(remarks)
