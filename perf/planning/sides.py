"""Which cells the two names of `--ab` mean: a target, an environment, and a named option set."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from perf.core.cell import Cell
from perf.core.options import BadRequestError
from perf.planning.targets import Offer

if TYPE_CHECKING:
    from perf.planning.plan import Planned


def bare(name: str) -> str:
    """A name of `--ab` without its variant: `T[fast]@env` is of the target `T@env`."""
    return re.sub(r"\[[^\]]*\]", "", name)


def means(name: str, offer: Offer, cell: Cell) -> bool:
    """Whether a name of `--ab` means a cell: its target or an alias, its variant, its environment."""
    wanted, _, environment = bare(name).lower().partition("@")
    variant = re.search(r"\[([^\]]*)\]", name)
    spellings = {offer.target.label.lower(), *(a.lower() for a in offer.target.aliases)}
    there = environment == offer.place.spec.name.lower() if environment else offer.first
    return wanted in spellings and there and named(cell) == (variant[1] if variant else "")


def named(cell: Cell) -> str:
    """A cell's variant without its io mode, which both sides are asked in alike."""
    return ",".join(p for p in cell.variant.split(",") if p and not p.startswith("io="))


def label(name: str, planned: Sequence["Planned"]) -> str:
    """A side as tables spell it: target, environment where it is not the default one, variant."""
    cell = next(p.cell for p in planned if means(name, p.offer, p.cell))
    variant = f"[{named(cell)}]" if named(cell) else ""
    return cell.target.label + variant


def check(ab: Sequence[str], planned: Sequence[tuple[Offer, Cell]]) -> None:
    """Raise BadRequestError where a side means no planned cell, or both mean the same."""
    for name in ab:
        if not any(means(name, offer, cell) for offer, cell in planned):
            raise BadRequestError(
                f"--ab {name}: no planned cell is meant; a variant is named by --ep_options "
                f"{bare(name)}[NAME]:key=value"
            )
    if any(all(means(name, offer, cell) for name in ab) for offer, cell in planned):
        raise BadRequestError(
            f"--ab {' '.join(ab)}: both mean the same cells; `python -m comparison.calibrate` "
            "compares a target with itself"
        )
