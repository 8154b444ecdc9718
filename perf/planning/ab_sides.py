"""Which cells the two names of `--ab` mean: a target, an environment, and a named option set."""

import re
from collections.abc import Sequence

from perf.planning.targets import Planned, strip_variant
from perf.request.flag_types import spell_shape
from perf.request.options import BadRequestError
from perf.request.programs import command_of
from perf.schema.cell import Cell


def matches(name: str, planned: Planned) -> bool:
    """Whether a name of `--ab` means a cell: its target or an alias, its variant, its environment."""
    offer = planned.offer
    wanted, _, environment = strip_variant(name).lower().partition("@")
    variant = re.search(r"\[([^\]]*)\]", name)
    there = environment == offer.probed.spec.name.lower() if environment else offer.first
    named = variant[1] if variant else ""
    alike = [spell_shape(name, dims) for name, dims in planned.cell.shapes.items()]
    own = [p for p in variant_without_io(planned.cell).split(",") if p not in alike]
    return wanted in offer.target.spellings and there and ",".join(own) == named


def variant_without_io(cell: Cell) -> str:
    """A cell's variant without its io mode, which both sides are asked in alike."""
    return ",".join(p for p in cell.variant.split(",") if p and not p.startswith("io="))


def side_label(name: str, planned: Sequence[Planned]) -> str:
    """A side as tables spell it: target, environment where it is not the default one, variant with shapes."""
    cell = next(p.cell for p in planned if matches(name, p))
    variant = variant_without_io(cell)
    return cell.target.label + (f"[{variant}]" if variant else "")


def choose_sides(ab: Sequence[str], planned: Sequence[Planned]) -> list[Planned]:
    """The cells that the sides mean; raises BadRequestError where one means none, or both the same."""
    for name in ab:
        if not any(matches(name, p) for p in planned):
            raise BadRequestError(
                f"--ab {name}: no planned cell is meant; a variant is named by --ep_options "
                f"{strip_variant(name)}[NAME]:key=value"
            )
    if any(all(matches(name, p) for name in ab) for p in planned):
        raise BadRequestError(
            f"--ab {' '.join(ab)}: both mean the same cells; `{command_of('comparison.calibrate')}` "
            "compares a target with itself"
        )
    return [p for p in planned if any(matches(name, p) for name in ab)]
