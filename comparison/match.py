"""Which cell of one run answers the same question as which of the other, and in what they differ."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from comparison.cell_summary import CellSummary, RunSummary

# Fields that must agree before two measured numbers are compared; `--across FIELD` lifts one.
FIELDS = (
    "model", "inputs", "batch", "cpu", "gpu", "driver", "ep_version", "io", "precision", "math", "graph",
    "options", "protocol",
)  # fmt: skip
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


@dataclass(frozen=True, slots=True)
class CellPair:
    """A cell of both runs; `differing` holds fields that nobody lifted."""

    previous: CellSummary
    current: CellSummary
    differing: tuple[str, ...]
    across: tuple[str, ...]  # fields that differ and were lifted


@dataclass(frozen=True, slots=True)
class LoneCell:
    """A cell that only one run has."""

    cell: CellSummary
    is_current: bool


Matched: TypeAlias = CellPair | LoneCell
CellsByKey: TypeAlias = Mapping[str, Sequence[CellSummary]]


def match_cells(
    previous: RunSummary, current: RunSummary, across: Sequence[str]
) -> tuple[Matched, ...]:
    """Pair the cells of two runs by id; within one id, those that share most conditions first."""
    across = [*across, *(f for a in across for f in IMPLIED.get(a, ()))]
    before, after = _group_by_key(previous, across), _group_by_key(current, across)
    if previous.only_failures:
        before = _add_unlisted(before, after)
    if current.only_failures:
        after = _add_unlisted(after, before)
    out: list[Matched] = []
    for key in sorted(before.keys() | after.keys()):
        out += _match_group(before.get(key, ()), after.get(key, ()), across)
    if any(len({c.conditions.get("host") for c in r.cells}) > 1 for r in (previous, current)):
        out = [_tell_hosts(m) for m in out]
    return tuple(out)


def _tell_hosts(m: Matched) -> Matched:
    """A pair of a run of many hosts says where the two were measured, alike as the hosts may be."""
    if isinstance(m, LoneCell):
        return m
    a, b = (c.conditions.get("host", "") for c in (m.previous, m.current))
    return replace(m, across=(*m.across, f"host: {a} -> {b}")) if a and b and a != b else m


def find_differences(a: CellSummary, b: CellSummary) -> Mapping[str, tuple[str, str]]:
    """Fields known in both runs that differ, with what differs in them in either run."""
    return {
        f: _take_apart(a.conditions[f], b.conditions[f])
        for f in FIELDS
        if f in a.conditions and f in b.conditions and a.conditions[f] != b.conditions[f]
    }


def _take_apart(a: str, b: str) -> tuple[str, str]:
    """The parts that one of two conditions has and the other lacks."""
    x, y = a.split("; "), b.split("; ")
    left, right = ([p for p in x if p not in y], [p for p in y if p not in x])
    return "; ".join(left) or "none", "; ".join(right) or "none"


def _group_by_key(run: RunSummary, across: Sequence[str]) -> CellsByKey:
    groups: dict[str, list[CellSummary]] = defaultdict(list)
    # first shapes first: what tells no shapes, a wide table, holds the figures of those
    for cell in sorted(
        run.cells, key=lambda c: (c.id, not c.is_first, c.digest, sorted(c.conditions.items()))
    ):
        groups[_make_key(cell, across)].append(cell)
    return groups


def _make_key(cell: CellSummary, across: Sequence[str]) -> str:
    target, at, environment = cell.target.partition("@")
    if "precision" in across:
        target = target.removesuffix(f"_{cell.conditions.get('precision', 'fp32')}")
    if "target" in across:
        target = ""
    if "environment" in across:
        at = environment = ""
    variant = "" if "variant" in across else cell.variant
    return f"{cell.model}::{target}{at}{environment}" + (f"[{variant}]" if variant else "")


def _add_unlisted(listed: CellsByKey, other: CellsByKey) -> CellsByKey:
    """A list of failures, completed by what the other run knows and it leaves out: no failure."""
    fine = {
        key: [replace(c, outcome="Pass", detail="not listed among the failures") for c in cells]
        for key, cells in other.items()
        if key not in listed
    }
    return {**listed, **fine}


def _match_group(
    before: Sequence[CellSummary], after: Sequence[CellSummary], across: Sequence[str]
) -> list[Matched]:
    costs = sorted(
        (len(find_differences(a, b)) + (a.digest != b.digest) / 2, i, j)
        for i, a in enumerate(before)
        for j, b in enumerate(after)
    )
    partners: dict[int, int] = {}
    for _, i, j in costs:
        if i not in partners and j not in partners.values():
            partners[i] = j
    taken = partners.values()
    return [
        *(_make_pair(before[i], after[j], across) for i, j in sorted(partners.items())),
        *(LoneCell(a, is_current=False) for i, a in enumerate(before) if i not in partners),
        *(LoneCell(b, is_current=True) for j, b in enumerate(after) if j not in taken),
    ]


def _make_pair(a: CellSummary, b: CellSummary, across: Sequence[str]) -> CellPair:
    (x, _, environment_a), (y, _, environment_b) = (c.target.partition("@") for c in (a, b))
    named = {  # parts of an id that conditions do not hold
        "target": (x, y),
        "environment": (a.environment or environment_a, b.environment or environment_b),
        "variant": (a.variant, b.variant),
    }
    found = find_differences(a, b)
    differing = tuple(f"{f}: {x} -> {y}" for f, (x, y) in found.items() if f not in across)
    lifted = {f: d for f, d in {**found, **named}.items() if f in across and d[0] != d[1]}
    return CellPair(a, b, differing, tuple(f"{f}: {x} -> {y}" for f, (x, y) in lifted.items()))
