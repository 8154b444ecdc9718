"""Which cell of one side answers the same question as which of the other, and in what they differ."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from comparison.cell_summary import CellSummary, Side

# Fields that must agree before two measured numbers are compared; `--across FIELD` lifts one.
FIELDS = (
    "model",
    "inputs",
    "batch",
    "cpu",
    "gpu",
    "driver",
    "ep_version",
    "io",
    "precision",
    "math",
    "graph",
    "options",
    "protocol",
)
# Fields that are part of a cell's id: across them, cells are paired by what is left of the id.
NAMES = ("precision", "environment", "target", "variant")
ACROSS = tuple(dict.fromkeys((*FIELDS, *NAMES)))
# What cannot stay the same when the question is another precision, target or environment.
IMPLIED: Mapping[str, tuple[str, ...]] = {
    "precision": ("math",),
    "target": ("precision", "math", "options", "ep_version"),
    "environment": ("ep_version",),
    "variant": ("options",),
    "gpu": ("driver",),
}


@dataclass(frozen=True)
class Matched:
    """A cell on both sides, or on one only; `differing` holds fields that nobody lifted."""

    previous: CellSummary | None
    current: CellSummary | None
    differing: tuple[str, ...] = ()
    across: tuple[str, ...] = ()  # fields that differ and were lifted

    @property
    def cell(self) -> CellSummary:
        """The cell as the current side names it, or as the previous one did."""
        found = self.current or self.previous
        if found is None:
            raise ValueError("a pair of nothing")
        return found


def match_cells(previous: Side, current: Side, across: Sequence[str]) -> tuple[Matched, ...]:
    """Pair the cells of two sides by id; within one id, those that share most conditions first."""
    across = [*across, *(f for a in across for f in IMPLIED.get(a, ()))]
    before, after = _grouped(previous, across), _grouped(current, across)
    if previous.only_failures:
        before = _unlisted(before, after)
    if current.only_failures:
        after = _unlisted(after, before)
    out: list[Matched] = []
    for key in sorted(before.keys() | after.keys()):
        out += _matched(before.get(key, []), after.get(key, []), across)
    if any(len({c.conditions.get("host") for c in s.cells}) > 1 for s in (previous, current)):
        out = [_told_of_hosts(m) for m in out]
    return tuple(out)


def _told_of_hosts(m: Matched) -> Matched:
    """A pair of a run of many hosts says where the two were measured, alike as the hosts may be."""
    if m.previous is None or m.current is None:
        return m
    a, b = (c.conditions.get("host", "") for c in (m.previous, m.current))
    return replace(m, across=(*m.across, f"host: {a} -> {b}")) if a and b and a != b else m


def differences(a: CellSummary, b: CellSummary) -> Mapping[str, tuple[str, str]]:
    """Fields known on both sides that differ, with what differs in them on either side."""
    return {
        f: _apart(a.conditions[f], b.conditions[f])
        for f in FIELDS
        if f in a.conditions and f in b.conditions and a.conditions[f] != b.conditions[f]
    }


def _apart(a: str, b: str) -> tuple[str, str]:
    """The parts that one of two conditions has and the other lacks."""
    x, y = a.split("; "), b.split("; ")
    left, right = ([p for p in x if p not in y], [p for p in y if p not in x])
    return "; ".join(left) or "none", "; ".join(right) or "none"


def _grouped(side: Side, across: Sequence[str]) -> dict[str, list[CellSummary]]:
    groups: dict[str, list[CellSummary]] = defaultdict(list)
    for cell in sorted(side.cells, key=lambda c: (c.id, c.digest, sorted(c.conditions.items()))):
        groups[_key(cell, across)].append(cell)
    return groups


def _key(cell: CellSummary, across: Sequence[str]) -> str:
    target, at, environment = cell.target.partition("@")
    if "precision" in across:
        target = target.removesuffix(f"_{cell.conditions.get('precision', 'fp32')}")
    if "target" in across:
        target = ""
    if "environment" in across:
        at = environment = ""
    variant = "" if "variant" in across else cell.variant
    return f"{cell.model}::{target}{at}{environment}" + (f"[{variant}]" if variant else "")


def _unlisted(
    listed: Mapping[str, list[CellSummary]], other: Mapping[str, list[CellSummary]]
) -> dict[str, list[CellSummary]]:
    """A list of failures, completed by what the other side knows and it leaves out: no failure."""
    fine = {
        key: [replace(c, outcome="Pass", detail="not listed among the failures") for c in cells]
        for key, cells in other.items()
        if key not in listed
    }
    return {**listed, **fine}


def _matched(
    before: list[CellSummary], after: list[CellSummary], across: Sequence[str]
) -> list[Matched]:
    costs = sorted(
        (len(differences(a, b)) + (a.digest != b.digest) / 2, i, j)
        for i, a in enumerate(before)
        for j, b in enumerate(after)
    )
    taken: dict[int, int] = {}
    for _, i, j in costs:
        if i not in taken and j not in taken.values():
            taken[i] = j
    out = [_pair(before[i], after[j], across) for i, j in sorted(taken.items())]
    out += [Matched(a, None) for i, a in enumerate(before) if i not in taken]
    out += [Matched(None, b) for j, b in enumerate(after) if j not in taken.values()]
    return out


def _pair(a: CellSummary, b: CellSummary, across: Sequence[str]) -> Matched:
    found = differences(a, b)
    told = [f"{f}: {x} -> {y}" for f, (x, y) in found.items() if f not in across]
    lifted = [f"{f}: {x} -> {y}" for f, (x, y) in found.items() if f in across]
    lifted += [f"{f}: {x} -> {y}" for f, x, y in _names(a, b) if f in across and x != y]
    return Matched(a, b, tuple(told), tuple(lifted))


def _names(a: CellSummary, b: CellSummary) -> Iterator[tuple[str, str, str]]:
    """Parts of an id that conditions do not hold, on both sides."""
    (x, _, there_a), (y, _, there_b) = a.target.partition("@"), b.target.partition("@")
    yield "target", x, y
    yield "environment", a.environment or there_a, b.environment or there_b
    yield "variant", a.variant, b.variant
