"""What a command line points at: the list of models, and the targets by their names."""

from collections.abc import Sequence
from pathlib import Path

from perf.core.options import Options
from perf.planning import targets
from perf.planning.targets import Offer


def source(options: Options) -> Path:
    """-m as given, else below -w, where the predecessor looked for it."""
    given = Path(options.model_source)
    below = Path(options.workspace) / given
    return given if given.exists() or not below.exists() else below


def wanted_names(options: Options) -> tuple[str, ...]:
    """Targets named with -e, --ep or --ab."""
    named = (*options.ep_list, *([options.ep] if options.ep else []), *options.ab)
    return tuple(dict.fromkeys(named))


def chosen(offered: Sequence[Offer], options: Options) -> tuple[Offer, ...]:
    """The offers that a request means."""
    return targets.chosen(offered, wanted_names(options), fp16=options.fp16)
