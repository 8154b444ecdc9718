"""Options that reach an EP by its provider's name, and those that its backend knows to be none of them."""

import difflib
from collections.abc import Sequence

from perf.backends import FALLBACK_EP_PREFIX
from perf.planning.targets import Planned
from perf.request.options import BadRequestError
from perf.schema.cell import BUILD_OPTION, Cell


def options_of_provider(cell: Cell) -> dict[str, str]:
    """A cell's options less what is the harness's own, or of the provider beneath."""
    return {
        name: value
        for name, value in cell.options.items()
        if name != BUILD_OPTION and not name.startswith(FALLBACK_EP_PREFIX)
    }


def refuse_ignored_options(planned: Sequence[Planned]) -> None:
    """Raise BadRequestError for an option of which an EP would take no notice."""
    for p in planned:
        known = p.offer.backend.option_names
        for name in options_of_provider(p.cell) if known is not None else ():
            if name not in (known or ()):
                near = difflib.get_close_matches(name, known or (), n=1, cutoff=0.4)
                takes = f"it takes {', '.join(sorted(known or ())) or 'none'}"
                raise BadRequestError(
                    f"--ep_options {p.cell.target.label}: no option {name}; "
                    f"{f'nearest is {near[0]}' if near else takes}"
                )
