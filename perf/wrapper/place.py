"""What this machine offers: environments built and probed, and the targets they serve."""

import sys
from collections.abc import Sequence
from pathlib import Path

from perf import backends
from perf.backends import Backend, Found
from perf.core import environments as specifications
from perf.core.cell import Environment
from perf.core.environments import EnvironmentsError, EnvironmentSpec
from perf.core.options import Options
from perf.planning import devices, targets
from perf.planning.request import wanted_names
from perf.planning.targets import Offer, Place
from perf.wrapper import environments

NOT_ASKED_FOR = "not looked into: none of its targets was asked for"


def offers(options: Options, *, build: bool) -> tuple[Offer, ...]:
    """Every target of every environment; environments that are needed are built where allowed."""
    specs = specifications.given(specifications.load(specifications.file()), options.env)
    gpus = tuple(g.name for g in devices.gpus())
    known = backends.discover()
    kept = {s.name: _kept(s) for s in specs if s.backend}
    names = wanted_names(options)
    every = (*known, *kept.values())
    planned = options.dry_run and options.install and not options.list
    needed = [s for s in specs if (build or planned) and _is_needed(s, names, every, gpus)]
    if build:
        _build(needed)
    elif needed:
        _say(f"environments that a run would build: {_told(needed)}")
    programs = (b.program(options.trtexec, options.workspace) for b in known)
    trtexec = next(filter(None, programs), "")
    places = []
    for spec in specs:
        if build and not _is_asked_for(spec, names, every):  # a run pays for the probes it needs
            found = Found(gpus=gpus)
            places.append(Place(spec, Environment(spec.name, ""), found, NOT_ASKED_FOR))
            continue
        r = environments.resolve(spec, gpus, trtexec)
        to_build = r.buildable and spec in needed
        places.append(Place(r.spec, r.environment, r.found, r.problem, to_build))
    return targets.offers(places, known, kept)


def _kept(spec: EnvironmentSpec) -> Backend:
    """The backend that an environment brings; raises EnvironmentsError for a file that is none."""
    try:
        return backends.kept_elsewhere(Path(spec.backend))
    except Exception as e:  # it is anybody's code
        told = e.strerror if isinstance(e, OSError) else str(e).removeprefix(f"{spec.backend}: ")
        raise EnvironmentsError(f"[{spec.name}]: backend {spec.backend}: {told}") from e


def _is_needed(
    spec: EnvironmentSpec, names: Sequence[str], known: Sequence[Backend], gpus: Sequence[str]
) -> bool:
    """Whether a run needs this environment built: its targets are named, or run by default."""
    needed = environments.needs_building(spec) and (not spec.needs_gpu or bool(gpus))
    return needed and _is_asked_for(spec, names, known)


def _is_asked_for(spec: EnvironmentSpec, names: Sequence[str], known: Sequence[Backend]) -> bool:
    """Whether any of an environment's targets may be among those asked for."""
    if spec.python == "current" or not (spec.targets or spec.plugin or spec.backend):
        return True  # it serves whatever its probe finds, references among it
    if not names:
        return spec.default
    served = {spec.plugin["target"].lower()} if spec.plugin else {t.lower() for t in spec.targets}
    served |= {
        alias.lower()
        for b in known
        for t in b.targets
        if t.label in spec.targets
        for alias in t.aliases
    }
    if spec.plugin:
        served |= {spec.name.lower()}
    for name in names:
        target, _, environment = name.lower().partition("@")
        if environment == spec.name.lower() or (not environment and target in served):
            return True
    return False


def _build(specs: Sequence[EnvironmentSpec]) -> None:
    if not specs:
        return
    _say(f"environments to build: {_told(specs)}")
    for spec in specs:
        if problem := environments.build(spec, _say):
            _say(f"warning: {problem}")


def _told(specs: Sequence[EnvironmentSpec]) -> str:
    total = sum(s.size_mib for s in specs)
    return f"{', '.join(s.name for s in specs)} (about {total} MiB on disk in .envs/)"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
