"""How engines built from the same model differ from one another, in speed and in outputs (`--builds N`)."""

from collections.abc import Sequence
from dataclasses import dataclass

from perf.results.cell_figures import find_largest
from perf.results.columns import ColumnSource
from perf.results.target_gap import median_ms
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


of_builds = ColumnSource[Builds]()
of_speed = of_builds.through(lambda builds: builds.speed)


# fmt: off
@dataclass(frozen=True, kw_only=True)
class BuildsRow:
    """A cell whose engine was built more than once."""

    model: str = of_builds("name in the model list", lambda b: b.model)
    ep: str = of_builds("target", lambda b: b.target)
    builds: int = of_builds("engines built from the same model (--builds)", lambda b: len(b.outcomes))
    published: int = of_builds("of these, with a latency", lambda b: len(b.medians_ms))
    median_ms: float | None = of_speed("median of the builds' medians", lambda s: rounded(s.median))
    half_range_ms: float | None = of_speed("half the range of the builds' medians",
                                           lambda s: rounded(s.half_range))
    spread_pct: float | None = of_speed("half_range_ms of median_ms",
                                        lambda s: rounded(ratio(100 * (s.half_range or 0.0), s.median), 3))
    medians_ms: tuple[float, ...] = of_builds("each build's median over its launches' medians",
                                              lambda b: tuple(round(m, 6) for m in b.medians_ms))
    relative_norms: tuple[float, ...] = of_builds("each build's largest distance from the reference",
                                                  lambda b: b.relative_norms)
    outcomes: tuple[str, ...] = of_builds("each build's exact outcome's name", lambda b: b.outcomes)
# fmt: on


def measure_spreads(records: Sequence[Record]) -> tuple[Builds, ...]:
    """Between-build spread of every cell that was built more than once."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        if BUILD_OPTION in record.cell.options:
            groups.setdefault(_key_without_build(record.cell), []).append(record)
    return tuple(_compare_builds(group) for group in groups.values() if len(group) > 1)


def _compare_builds(group: Sequence[Record]) -> Builds:
    medians = tuple(m for m in map(median_ms, group) if m is not None)
    norms = [_find_largest_norm(r) for r in group]
    return Builds(
        model=group[0].cell.model.name,
        target=group[0].cell.target.label,
        medians_ms=medians,
        speed=spread(medians) if len(medians) > 1 else None,
        relative_norms=tuple(n for n in norms if n is not None),
        outcomes=tuple(outcomes.name(r.outcome) for r in group),
    )


def _find_largest_norm(record: Record) -> float | None:
    check = check_launch(record)
    return find_largest(c.relative_norm for c in check.compared) if check else None


def _key_without_build(cell: Cell) -> tuple[str, ...]:
    rest = {k: v for k, v in cell.options.items() if k != BUILD_OPTION}
    variant = ",".join(v for v in cell.variant.split(",") if not v.startswith(f"{BUILD_OPTION}="))
    return (cell.model.name, cell.target.label, variant, cell.io.value, repr(sorted(rest.items())))
