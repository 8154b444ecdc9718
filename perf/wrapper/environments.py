"""Environments built once under a lock, probed for what is in them, and the targets that they serve here."""

import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from perf import backends
from perf.backends import Backend, ProbeResult
from perf.machine.gpus import find_gpus
from perf.machine.machine_lock import MachineLock
from perf.planning.targets import (
    Offer,
    Planned,
    ProbedEnvironment,
    make_offers,
    named_targets,
    probed_environment,
    reads_form,
)
from perf.report.terminal import wrap_lines
from perf.request.environments import (
    STAMP,
    EnvironmentsError,
    EnvironmentSpec,
    folder_of,
    interpreter_of,
    is_built,
    override_environments,
    read_environments,
)
from perf.request.locations import CODE, environments_folder
from perf.request.locks import find_lock
from perf.request.options import Options
from perf.schema.cell import Environment
from perf.schema.file_lock import hold_lock
from perf.schema.model_form import Format
from perf.wrapper.prober import Probe, run_probes
from perf.wrapper.spawn import die_with_the_wrapper

BUILD_TIMEOUT_S = 3600.0  # for which one build waits for another's end
MOST_TOLD = 2000  # characters of why a build failed
PYTHON_S = 20.0  # for an interpreter to tell its version, from a cold disk too
_TELL_VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"
NOT_ASKED_FOR = "not looked into: none of its targets was asked for"


def needs_building(spec: EnvironmentSpec) -> bool:
    """Its requirements are not what lies where it should."""
    return bool(spec.requirements) and not is_built(spec)


def build_environment(spec: EnvironmentSpec, say: Callable[[str], None]) -> str:
    """Build an environment aside and put it in place whole; returns why it failed, or "".

    Raises LockHeld where another builds one of this name for longer than an hour.
    """
    home = environments_folder()
    home.mkdir(parents=True, exist_ok=True)
    lock = MachineLock(f"environment {spec.name}", "that builds it", BUILD_TIMEOUT_S, home)
    lock.acquire(waiting=say)
    with contextlib.closing(lock):
        if not needs_building(spec):
            return ""  # another run built it while this one waited
        folder = folder_of(spec)
        aside = home / f"{folder.name}.new"
        shutil.rmtree(aside, ignore_errors=True)
        digests = find_lock(spec.folder, spec.name, spec.requirements)
        known = "" if digests else " (by their versions alone: no lock holds their digests)"
        say(f"building environment {spec.name}: {', '.join(spec.requirements)}{known}")
        packages = ["--require-hashes", "-r", str(digests)] if digests else spec.requirements
        python = str(aside / "bin" / "python")
        install = ("-I", "-m", "pip", "install", "--disable-pip-version-check")
        for argv in (  # -I: what PYTHONPATH leads to is not in the environment
            [sys.executable, "-I", "-m", "venv", str(aside)],
            [python, *install, *packages],
        ):
            if problem := _shown(argv, say):
                shutil.rmtree(aside, ignore_errors=True)
                return f"environment {spec.name} could not be built: {problem}"
        (aside / STAMP).write_text(spec.digest, encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
    return ""


@contextlib.contextmanager
def hold_environments(planned: Sequence[Planned]) -> Iterator[None]:
    """Keep the environments that a run needs from being removed while it runs."""
    specs = {p.offer.probed.spec.name: p.offer.probed.spec for p in planned if not p.skip}
    with contextlib.ExitStack() as held:
        for spec in (s for s in specs.values() if s.requirements):
            held.enter_context(hold_lock(folder_of(spec), shared=True))
        yield


def probe_all(
    specs: Sequence[EnvironmentSpec], gpus: Sequence[str], trtexec: str, options: Options
) -> Iterator[tuple[int, ProbedEnvironment]]:
    """Each specification's number, and what its interpreter holds, as it is known.

    `trtexec` is the program that was found, if any. One that is not built says so at once.
    """
    probes: dict[int, Probe] = {}
    for number, spec in enumerate(specs):
        bare = Environment(spec.name, interpreter_of(spec), spec.variables)
        if spec.requirements and needs_building(spec):
            yield number, _not_built(spec, bare, gpus, options)
        else:
            probes[number] = Probe(bare, spec.plugin)
    numbers = list(probes)
    reports = run_probes(list(probes.values()), options.timeout, fence=options.fence, say=say)
    for at, report in reports:
        number = numbers[at]
        spec, bare = specs[number], probes[number].environment
        if report.probed is None or report.launch is not None:
            why = f"environment {spec.name}: {report.problem}"
            versions = report.probed.versions if report.probed else {}
            yield number, ProbedEnvironment(
                spec, replace(bare, versions=versions), ProbeResult(gpus=tuple(gpus)), why,
                failed=report.launch, log=report.log,
            )  # fmt: skip
        else:
            yield number, probed_environment(spec, bare.python, report.probed, gpus, trtexec)


def _not_built(
    spec: EnvironmentSpec, bare: Environment, gpus: Sequence[str], options: Options
) -> ProbedEnvironment:
    size = f", about {spec.size_mib} MiB" if spec.size_mib else ""
    built = (
        "a run that asks for it builds it"
        if options.install
        else "leave out --no_install to build it"
    )
    why = f"environment {spec.name} is not built{size}; {built}"
    return ProbedEnvironment(spec, bare, ProbeResult(gpus=tuple(gpus)), why, to_build=True)


def _shown(argv: Sequence[str], say: Callable[[str], None]) -> str:
    """Run a program, passing its lines on as progress; returns its last error line, or ""."""
    lines: list[str] = []
    with subprocess.Popen(
        list(argv), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        for line in process.stdout or ():
            lines.append(line.rstrip())
            if line.startswith(("Collecting", "Downloading", "Installing", "  Downloading")):
                say("\n".join(wrap_lines([line.strip()], sys.stderr)))
    if process.returncode == 0:
        return ""
    errors = [x for x in lines if "error" in x.lower()] or lines or ["no output"]
    return errors[-1][:MOST_TOLD]


def offer_targets(
    options: Options, *, build: bool, formats: Collection[Format] = ()
) -> tuple[Offer, ...]:
    """Every target of every environment; environments that are needed are built where allowed.

    One that reads a format of the request's models is needed whatever is named: it makes their references.
    """
    return _Offering(options, build=build, formats=formats).all()


def offers_as_known(options: Options) -> Iterator[tuple[Offer, ...]]:
    """Every target of every environment, each as soon as nothing that is still looked into can change it."""
    return _Offering(options, build=False).as_known()


class _Offering:
    """The environments of a request, and what they serve."""

    def __init__(self, options: Options, *, build: bool, formats: Collection[Format] = ()) -> None:
        self._options = options
        self._specs = override_environments(read_environments(), options.env, options.plugin)
        _require_pythons(self._specs, options.env)
        self._gpus = tuple(g.name for g in find_gpus())
        self._known = backends.discover_backends()
        self._kept = {s.name: _load_own_backend(s) for s in self._specs if s.backend}
        every, names = (*self._known, *self._kept.values()), named_targets(options)
        planned = options.dry_run and options.install and not options.list
        self._needed = [
            s
            for s in self._specs
            if (build or planned) and _is_needed(s, names, every, self._gpus, formats)
        ]
        # a run pays for the probes that it needs
        self._wanted = [
            s for s in self._specs if not build or _is_asked_for(s, names, every, formats)
        ]
        if build:
            _build_all(self._needed)
        elif self._needed:
            say(f"environments that a run would build: {_name_and_size(self._needed)}")

    def all(self) -> tuple[Offer, ...]:
        """Once all are looked into."""
        places = {spec.name: _not_asked(spec, self._gpus) for spec in self._specs}
        places |= dict(self._looked_into())
        return make_offers(list(places.values()), self._known, self._kept)

    def as_known(self) -> Iterator[tuple[Offer, ...]]:
        """Those that are certain, as they become so."""
        names = [s.name for s in self._specs]
        places: dict[str, ProbedEnvironment] = {}
        told: set[tuple[str, str]] = set()
        for name, probed in self._looked_into():
            places[name] = probed
            known = [places[n] for n in names if n in places]
            before = next((i for i, n in enumerate(names) if n not in places), len(names))
            whole = before == len(names)
            offers = make_offers(known, self._known, self._kept, whole=whole)
            certain = tuple(
                o for o in offers
                if (o.target.label, o.probed.spec.name) not in told
                and (whole or (names.index(o.probed.spec.name) < before and not (o.first and o.missing)))
            )  # fmt: skip
            told |= {(o.target.label, o.probed.spec.name) for o in certain}
            yield certain

    def _looked_into(self) -> Iterator[tuple[str, ProbedEnvironment]]:
        programs = (b.program(self._options.trtexec, self._options.workspace) for b in self._known)
        trtexec = next(filter(None, programs), "")
        for number, probed in probe_all(self._wanted, self._gpus, trtexec, self._options):
            spec = self._wanted[number]
            yield spec.name, replace(probed, to_build=probed.to_build and spec in self._needed)


def _require_pythons(specs: Sequence[EnvironmentSpec], given: Mapping[str, str]) -> None:
    """Raise EnvironmentsError for an interpreter of --env that no worker can run in."""
    for spec in (s for s in specs if s.name in given and s.python not in ("", "current")):
        python = interpreter_of(spec)
        try:
            done = subprocess.run(
                [python, "-I", "-S", "-c", _TELL_VERSION], stdin=subprocess.DEVNULL, capture_output=True,
                text=True, errors="replace", check=False, timeout=PYTHON_S,
                preexec_fn=die_with_the_wrapper,
            )  # fmt: skip
            told = done.stdout.strip()
        except (OSError, subprocess.TimeoutExpired):
            told = ""
        if not re.fullmatch(r"3\.(1[1-9]|[2-9]\d)", told):
            what = f"Python {told}" if re.fullmatch(r"\d+\.\d+", told) else "no Python"
            raise EnvironmentsError(
                f"--env {spec.name}={given[spec.name]}: {python} is {what}; workers need 3.11 or newer"
            )


def _not_asked(spec: EnvironmentSpec, gpus: tuple[str, ...]) -> ProbedEnvironment:
    return ProbedEnvironment(
        spec, Environment(spec.name, ""), ProbeResult(gpus=gpus), NOT_ASKED_FOR
    )


def _load_own_backend(spec: EnvironmentSpec) -> Backend:
    """The backend that an environment brings; raises EnvironmentsError for a file that is none."""
    try:
        return backends.load_backend_file(Path(spec.backend))
    except Exception as e:  # it is anybody's code
        told = e.strerror if isinstance(e, OSError) else str(e).removeprefix(f"{spec.backend}: ")
        raise EnvironmentsError(f"[{spec.name}]: backend {spec.backend}: {told}") from e


def _is_needed(
    spec: EnvironmentSpec,
    names: Sequence[str],
    known: Sequence[Backend],
    gpus: Sequence[str],
    formats: Collection[Format],
) -> bool:
    """Whether a run needs this environment built: its targets are named, or run by default."""
    needed = needs_building(spec) and (not spec.needs_gpu or bool(gpus))
    return needed and _is_asked_for(spec, names, known, formats)


def _is_asked_for(
    spec: EnvironmentSpec,
    names: Sequence[str],
    known: Sequence[Backend],
    formats: Collection[Format] = (),
) -> bool:
    """Whether any of an environment's targets may be among those asked for."""
    if spec.python == "current" or not (spec.targets or spec.plugin or spec.backend):
        return True  # it serves whatever its probe finds, references among it
    labels = {t.label: b for b in known for t in b.targets}
    if any(reads_form(labels[t], formats) for t in spec.targets if t in labels):
        return True
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


def _build_all(specs: Sequence[EnvironmentSpec]) -> None:
    if not specs:
        return
    say(f"environments to build: {_name_and_size(specs)}")
    for spec in specs:
        if problem := build_environment(spec, say):
            say(f"warning: {problem}")


def _name_and_size(specs: Sequence[EnvironmentSpec]) -> str:
    total, folder = sum(s.size_mib for s in specs), environments_folder()
    shown = folder.name if folder.parent == CODE else folder
    size = f"about {total} MiB on disk " if total else ""
    return f"{', '.join(s.name for s in specs)} ({size}in {shown}/)"


def say(text: str) -> None:
    """Tell whoever waits, apart from the results."""
    print(text, file=sys.stderr, flush=True)
