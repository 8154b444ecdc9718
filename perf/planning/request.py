"""What a command line points at: the list of models, and the targets by their names."""

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from perf.core.options import BadRequestError, Options
from perf.planning import targets
from perf.planning.sides import bare
from perf.planning.targets import Offer


def source(options: Options) -> Path:
    """-m as given, else below -w, where the predecessor looked for it."""
    given = Path(options.model_source)
    below = Path(options.workspace) / given
    return given if given.exists() or not below.exists() else below


def wanted_names(options: Options) -> tuple[str, ...]:
    """Targets named with -e, --ep or --ab."""
    named = (*options.ep_list, *([options.ep] if options.ep else []), *map(bare, options.ab))
    return tuple(dict.fromkeys(named))


class NothingMeasurableError(Exception):
    """No target can run here; the message is one line that says why and what to do."""


def chosen(offered: Sequence[Offer], options: Options) -> tuple[Offer, ...]:
    """The offers that a request means; raises BadRequestError, or NothingMeasurableError for none."""
    out = targets.chosen(offered, wanted_names(options), fp16=options.fp16)
    if not out:
        told = [o.missing for o in offered if o.backend.reference]
        why = next(filter(None, [*told, *(o.place.problem for o in offered)]), "")
        raise NothingMeasurableError(f"no target can run here: {why or '--list says why'}")
    return out


def check_reader() -> None:
    """Models are prepared by this interpreter: raises NothingMeasurableError where it has no onnx."""
    if importlib.util.find_spec("onnx") is None:
        raise NothingMeasurableError(
            f"{sys.executable} has no onnx, which reads models and their data; "
            f"`{sys.executable} -m pip install onnx` fixes it"
        )


def check_cores(options: Options) -> None:
    """Refuse an affinity to cores that this machine does not have."""
    ours = os.sched_getaffinity(0)
    if beyond := sorted(set(options.cpu_affinity) - ours):
        cores = ",".join(str(c) for c in sorted(ours))
        raise BadRequestError(f"--cpu_affinity {beyond[0]}: this machine's cores are {cores}")
