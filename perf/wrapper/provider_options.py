"""Refuses --ep_options that an EP does not know, before a run is made of which every cell would fail."""

import json
import subprocess
from collections.abc import Sequence
from contextlib import suppress

from perf.planning.provider_options import options_of_provider
from perf.planning.targets import Planned
from perf.request.locations import CODE
from perf.request.options import BadRequestError, Options
from perf.schema.engine_message import lead_with_reason
from perf.wrapper.spawn import die_with_the_wrapper, environment_variables

LIMIT_S = 30.0  # after which the run itself tells


def refuse_options(planned: Sequence[Planned], options: Options) -> None:
    """Raise BadRequestError where an EP refuses an option by its name."""
    if not (options.ep_options or options.trt_ep_options or options.cuda_ep_options):
        return
    tried = set[str]()
    for p in (p for p in planned if not p.skip and not p.cell.plugin and p.cell.provider):
        given = options_of_provider(p.cell)
        job = json.dumps({"provider": p.cell.provider, "options": given})
        if (
            not given
            or (key := p.cell.environment.python + job) in tried
            or p.offer.probed.to_build
        ):
            continue
        tried.add(key)
        if refusal := _try(p, job):
            named = [name for name in given if name in refusal]
            if named:
                raise BadRequestError(
                    f"{p.cell.target.label} refuses the option {named[0]}: {lead_with_reason(refusal)}"
                )


def _try(p: Planned, job: str) -> str:
    """What the engine says against the options of a cell; "" where it takes them, or cannot be asked."""
    environment = p.cell.environment
    with suppress(OSError, subprocess.TimeoutExpired, ValueError):
        done = subprocess.run(
            [environment.python, "-m", "perf.worker.option_trial", job],
            env=environment_variables(environment), cwd=CODE, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, errors="replace", check=False, timeout=LIMIT_S,
            preexec_fn=die_with_the_wrapper,
        )  # fmt: skip
        return str(json.loads(done.stdout.strip().rpartition("\n")[2]))
    return ""
