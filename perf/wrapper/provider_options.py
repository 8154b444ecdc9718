"""Refuses options and session entries that an EP does not know, before a run is made of what nobody asked."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from perf.planning.provider_options import options_of_provider
from perf.planning.targets import Planned
from perf.request.locations import CODE
from perf.request.options import BadRequestError, Options
from perf.schema.engine_message import lead_with_reason
from perf.wrapper.spawn import die_with_the_wrapper, environment_variables

LIMIT_S = 30.0  # after which the run itself tells


@dataclass(frozen=True)
class TrialReport:
    """What a trial told of a cell's options."""

    refusal: str = ""  # the engine's words; "": it takes them, or cannot be asked
    absent: Mapping[str, str] = field(
        default_factory=dict
    )  # by name: the one that is meant, if any


def refuse_options(planned: Sequence[Planned], options: Options) -> None:
    """Raise BadRequestError where an EP refuses an option by its name, or its libraries show a typo.

    What they neither know nor tell to be wrong is said not to be checked.
    """
    if not (
        options.ep_options or options.trt_ep_options or options.cuda_ep_options or options.session_config
    ):  # fmt: skip
        return
    tried, unknown = set[str](), set[tuple[str, str]]()
    for p in (p for p in planned if not p.skip and (p.cell.provider or p.cell.plugin)):
        given, entries = options_of_provider(p.cell), p.cell.session_config
        library = p.cell.plugin if "library" in p.cell.plugin else {}
        job = json.dumps(
            {"provider": p.cell.provider, "options": given, "plugin": dict(library),
             "session_config": list(entries)}
        )  # fmt: skip
        key = p.cell.environment.python + job
        if not (given or entries) or key in tried or p.offer.probed.to_build:
            continue
        tried.add(key)
        told, label = _try(p, job), p.cell.target.label
        if told is None:
            print(f"{label}: its options were not checked: it gave no answer", file=sys.stderr)
            continue
        if named := [name for name in given if name in told.refusal]:
            raise BadRequestError(
                f"{label} refuses the option {named[0]}: {lead_with_reason(told.refusal)}"
            )
        for name, nearest in told.absent.items():
            flag = "--session_config" if name in entries else f"--ep_options {label}:"
            if nearest:
                raise BadRequestError(
                    f"{flag} {name}: no library of {label} holds such a name; nearest is {nearest}"
                )
            unknown.add((flag, name))
    for flag, name in sorted(unknown):
        print(
            f"{flag} {name}: not checked: the engine takes any name, and its libraries do not hold this one",
            file=sys.stderr,
        )


def _try(p: Planned, job: str) -> TrialReport | None:
    """What the engine says, in its environment; None where it cannot be asked."""
    environment = p.cell.environment
    with suppress(OSError, subprocess.TimeoutExpired, ValueError):
        done = subprocess.run(
            [environment.python, "-m", "perf.worker.option_trial", job],
            env=environment_variables(environment), cwd=CODE, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, errors="replace", check=False, timeout=LIMIT_S,
            preexec_fn=die_with_the_wrapper,
        )  # fmt: skip
        told = json.loads(done.stdout.strip().rpartition("\n")[2])
        return TrialReport(
            str(told["refusal"]), {str(k): str(v) for k, v in told["absent"].items()}
        )
    return None
