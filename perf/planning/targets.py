"""Names of targets resolved to offers: a backend's target in one environment, or why it cannot run there."""

import difflib
import importlib.util
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from perf.backends import Backend, ProbeResult, TargetSpec
from perf.request.environments import EnvironmentSpec, missing_modules
from perf.request.options import BadRequestError, Options
from perf.request.programs import install_command
from perf.schema.cell import Cell, Environment, Precision
from perf.schema.journal import Probed
from perf.schema.model_form import Format
from perf.schema.record import Launch

NO_DEVICE = "no device: NVML sees no NVIDIA GPU here"
SERVED_NOWHERE = (
    "no environment serves it: add it to an environment's targets in environments.toml"
)


class NothingMeasurableError(Exception):
    """No target can run here; the message is one line that says why and what to do."""


@dataclass(frozen=True)
class ProbedEnvironment:
    """An environment as planning sees it: its specification, what was found in it, what is wrong with it."""

    spec: EnvironmentSpec
    environment: Environment
    found: ProbeResult
    problem: str = ""
    to_build: bool = False  # a run would build it first, so a plan counts on it
    failed: Launch | None = None  # the probe that ended as its cells do: crashed, hung, raised
    log: bytes = b""  # that probe's output, its end


@dataclass(frozen=True)
class Offer:
    """A target in an environment; `missing` says why it cannot run there and what would fix it."""

    target: TargetSpec
    backend: Backend
    probed: ProbedEnvironment
    missing: str
    first: bool  # the environment that serves the target when none is named: the first that can, if any

    @property
    def label(self) -> str:
        """As tables spell it, with its environment where that is not the default one."""
        return self.target.label + ("" if self.first else f"@{self.probed.spec.name}")


@dataclass(frozen=True)
class Planned:
    """A cell of the run; `skip` says why it cannot run here, "" where it can."""

    cell: Cell
    offer: Offer
    skip: str = ""
    failed: Launch | None = None  # the probe whose end is this cell's


def probed_environment(
    spec: EnvironmentSpec, python: str, probed: Probed, gpus: Sequence[str], trtexec: str
) -> ProbedEnvironment:
    """An environment by what a probe told; a plug-in's EP that nobody named is the one that it offers."""
    devices, problem = probed.plugin_devices, missing_modules(spec, probed.errors)
    if spec.plugin and not spec.plugin["ep_name"] and devices:
        spec = replace(spec, plugin={**spec.plugin, "ep_name": devices[0]})
        if len(set(devices)) > 1:
            names = ", ".join(dict.fromkeys(devices))
            problem = f"its library offers {names}: name one, --plugin NAME=LIBRARY:EP_NAME"
    found = ProbeResult(
        providers=probed.providers, versions=probed.versions, gpus=tuple(gpus), plugin_devices=devices,
        errors=probed.errors, trtexec=trtexec, libraries=probed.libraries,
    )  # fmt: skip
    environment = Environment(spec.name, python, spec.variables, found.versions)
    return ProbedEnvironment(spec, environment, found, problem)


def make_offers(
    places: Sequence[ProbedEnvironment],
    backends: Sequence[Backend],
    kept: Mapping[str, Backend],
    *,
    whole: bool = True,
) -> tuple[Offer, ...]:
    """Every target of every environment, in the file's order; `whole`: there are no other environments.

    `kept` are backends kept elsewhere by the environment that names their file: no other can load them.
    """
    out = []
    for probed in places:
        own = kept.get(probed.spec.name)
        for target, backend in _served(probed, (*backends, own) if own else backends):
            out.append(Offer(target, backend, probed, _missing(probed, backend), first=False))
    seen = {o.target.label for o in out}
    for backend in backends if places and whole else ():  # known by name, and served nowhere
        for target in (t for t in backend.targets if t.label not in seen):
            why = _missing(places[0], backend) or SERVED_NOWHERE
            out.append(Offer(target, backend, places[0], why, first=False))
    first: dict[str, Offer] = {}
    for offer in sorted(out, key=lambda o: bool(o.missing)):  # a stable order: the file's
        first.setdefault(offer.target.label, offer)
    return tuple(replace(o, first=first[o.target.label] is o) for o in out)


def _missing(probed: ProbedEnvironment, backend: Backend) -> str:
    """Why a backend cannot run in an environment, and what would fix it; "" where it can."""
    if backend.needs_gpu and not probed.found.gpus:
        return NO_DEVICE
    if probed.to_build:
        return ""
    return (
        missing_modules(probed.spec, probed.found.errors, backend.preload)
        or probed.problem
        or backend.missing(probed.found)
    )


def named_targets(options: Options) -> tuple[str, ...]:
    """Targets named with -e, --ep or --ab."""
    named = (
        *options.ep_list,
        *([options.ep] if options.ep else []),
        *map(strip_variant, options.ab),
    )
    return tuple(dict.fromkeys(named))


def strip_variant(name: str) -> str:
    """A name of `--ab` without its variant: `T[fast]@env` is of the target `T@env`."""
    return re.sub(r"\[[^\]]*\]", "", name)


def choose_offers(
    offered: Sequence[Offer], options: Options, formats: Collection[Format] = ()
) -> tuple[Offer, ...]:
    """The offers that a request means; raises BadRequestError, or NothingMeasurableError for none.

    `formats` are those that the request's models come in.
    """
    out = choose_targets(offered, named_targets(options), fp16=options.fp16, formats=formats)
    if not out:
        told = [o.missing for o in offered if o.backend.reference]
        why = next(filter(None, [*told, *(o.probed.problem for o in offered)]), "")
        raise NothingMeasurableError(f"no target can run here: {why or '--list says why'}")
    return out


def require_onnx() -> None:
    """Models are prepared by this interpreter: raises NothingMeasurableError where it has no onnx."""
    if importlib.util.find_spec("onnx") is None:
        raise NothingMeasurableError(
            f"{sys.executable} has no onnx, which reads models and their data; "
            f"`{install_command('onnx')}` fixes it"
        )


def choose_targets(
    offered: Sequence[Offer],
    names: Sequence[str],
    *,
    fp16: bool,
    formats: Collection[Format] = (),
) -> tuple[Offer, ...]:
    """The targets that were named, or by default all that can run here; raises BadRequestError.

    By default, targets of environments that run only when named run too where a model has a form that is
    read there; targets of ONNX files alone do not where no model is one.
    """
    if not names:
        return tuple(
            o for o in offered
            if o.first and (not o.missing or o.probed.failed) and o.backend.default and o.target.default
            and (o.probed.spec.default or reads_form(o.backend, formats))
            and (not formats or set(o.backend.formats) & set(formats))
            and (fp16 or o.target.precision is not Precision.FP16)
            and (o.backend.reference or o.probed.spec.targets or not o.probed.to_build)  # else unknown
        )  # fmt: skip
    out: list[Offer] = []
    for name in names:
        offer = find_offer(offered, name)
        if not fp16 and offer.target.precision is Precision.FP16:
            raise BadRequestError(
                f"{name} is an fp16 target and --no_fp16 was given; leave out one"
            )
        if offer not in out:
            out.append(offer)
    return tuple(out)


def reads_form(backend: Backend, formats: Collection[Format]) -> bool:
    """Whether a backend tells the inputs of some format other than ONNX, and makes its references."""
    return backend.describe is not None and not set(backend.formats).isdisjoint(formats)


def find_offer(offered: Sequence[Offer], name: str) -> Offer:
    """The offer that a name, an alias or NAME@ENVIRONMENT means; raises BadRequestError."""
    wanted, _, environment = name.partition("@")
    same = [o for o in offered if wanted.lower() in o.target.spellings]
    if not same:
        known = sorted({s for o in offered for s in (o.target.label, *o.target.aliases)})
        near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.4) or known[:6]
        raise BadRequestError(
            f"unknown EP {wanted!r}; nearest are {', '.join(near)} (--list shows all)"
        )
    if environment:
        there = [o for o in same if o.probed.spec.name == environment]
        if not there:
            have = ", ".join(o.probed.spec.name for o in same)
            raise BadRequestError(
                f"{name}: no environment {environment!r} serves it; these do: {have}"
            )
        return there[0]
    firsts = [o for o in same if o.first]  # an alias may mean several targets
    return next((o for o in firsts if not o.missing), firsts[0])


def _served(
    probed: ProbedEnvironment, backends: Sequence[Backend]
) -> Iterator[tuple[TargetSpec, Backend]]:
    spec = probed.spec
    if spec.plugin:
        backend = next((b for b in backends if b.serves_plugins), None)
        if backend is not None:
            short = re.sub(r"ExecutionProvider$", "", spec.plugin["target"]).lower()
            aliases = tuple(dict.fromkeys((short, spec.name)))
            yield TargetSpec(spec.plugin["target"], Precision.FP32, aliases), backend
        return
    for backend in backends:
        for target in backend.targets:
            if target.label in spec.targets or (not spec.targets and _is_found(probed, backend)):
                yield target, backend


def _is_found(probed: ProbedEnvironment, backend: Backend) -> bool:
    """An environment without a target list serves what its probe finds, and should serve the CPU."""
    if probed.to_build:
        return bool(backend.provider)  # what is in it is not known before
    if probed.problem:
        return backend.reference
    able = not backend.missing(probed.found) or backend.provider in probed.found.providers
    return able or backend.reference
