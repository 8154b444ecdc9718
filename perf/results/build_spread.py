"""How engines built from the same model differ from one another, in speed and in outputs (`--builds N`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from perf.results.columns import column
from perf.results.trt_gap import median_ms
from perf.schema import outcomes
from perf.schema.cell import BUILD_OPTION, Cell
from perf.schema.record import Record, check_launch
from perf.stats.summary import Spread, ratio, rounded, spread


@dataclass(frozen=True)
class Builds:
    """The builds of one cell: the spread of their medians, and of their distance from the reference."""

    model: str
    target: str
    medians_ms: tuple[float, ...]
    speed: Spread | None  # None: fewer than two builds published a latency
    relative_norms: tuple[float, ...]  # each build's largest, over its outputs
    outcomes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class BuildsRow:
    """A cell whose engine was built more than once."""

    model: str = column("name in the model list")
    ep: str = column("target")
    builds: int = column("engines built from the same model (--builds)")
    published: int = column("of these, with a latency")
    median_ms: float | None = column("median of the builds' medians")
    half_range_ms: float | None = column("half the range of the builds' medians")
    spread_pct: float | None = column("half_range_ms of median_ms")
    medians_ms: tuple[float, ...] = column("each build's median over its launches' medians")
    relative_norms: tuple[float, ...] = column("each build's largest distance from the reference")
    outcomes: tuple[str, ...] = column("each build's exact outcome's name")


def builds_table(records: Sequence[Record]) -> tuple[BuildsRow, ...]:
    """A row per cell that was built more than once."""
    return tuple(_row(b) for b in measure_spreads(records))


def _row(b: Builds) -> BuildsRow:
    half = b.speed.half_range if b.speed else None
    middle = b.speed.median if b.speed else None
    return BuildsRow(
        model=b.model, ep=b.target, builds=len(b.outcomes), published=len(b.medians_ms),
        median_ms=rounded(middle), half_range_ms=rounded(half),
        spread_pct=rounded(ratio(half * 100 if half is not None else None, middle), 3),
        medians_ms=tuple(round(m, 6) for m in b.medians_ms), relative_norms=b.relative_norms,
        outcomes=b.outcomes,
    )  # fmt: skip


def measure_spreads(records: Sequence[Record]) -> tuple[Builds, ...]:
    """Between-build spread of every cell that was built more than once."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        if BUILD_OPTION in record.cell.options:
            groups.setdefault(_without_build(record.cell), []).append(record)
    return tuple(_builds(group) for group in groups.values() if len(group) > 1)


def _builds(group: Sequence[Record]) -> Builds:
    medians = tuple(m for m in map(median_ms, group) if m is not None)
    norms = [_largest_norm(r) for r in group]
    return Builds(
        model=group[0].cell.model.name,
        target=group[0].cell.target.label,
        medians_ms=medians,
        speed=spread(medians) if len(medians) > 1 else None,
        relative_norms=tuple(n for n in norms if n is not None),
        outcomes=tuple(outcomes.name(r.outcome) for r in group),
    )


def _largest_norm(record: Record) -> float | None:
    check = check_launch(record)
    told = (
        [c.relative_norm for c in check.compared if c.relative_norm is not None] if check else []
    )
    return max(told, default=None)


def _without_build(cell: Cell) -> tuple[str, ...]:
    rest: Mapping[str, str] = {k: v for k, v in cell.options.items() if k != BUILD_OPTION}
    variant = ",".join(v for v in cell.variant.split(",") if not v.startswith(f"{BUILD_OPTION}="))
    return (cell.model.name, cell.target.label, variant, cell.io.value, repr(sorted(rest.items())))
