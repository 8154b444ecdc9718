"""Environments built once under a lock, probed for what is in them, and the targets that they serve here."""

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from perf.request.options import Options
from perf.schema.cell import Environment
from perf.schema.file_lock import hold_lock
from perf.schema.model_form import Format
from perf.wrapper.spawn import die_with_the_wrapper, environment_variables

PROBE_TIMEOUT_S = 120.0
BUILD_TIMEOUT_S = 3600.0  # for which one build waits for another's end
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
        say(f"building environment {spec.name}: {', '.join(spec.requirements)}")
        python = str(aside / "bin" / "python")
        for argv in (  # -I: what PYTHONPATH leads to is not in the environment
            [sys.executable, "-I", "-m", "venv", str(aside)],
            [
                python,
                "-I",
                "-m",
                "pip",
                "install",
                "--disable-pip-version-check",
                *spec.requirements,
            ],
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


def probe_environment(
    spec: EnvironmentSpec, gpus: Sequence[str], trtexec: str = ""
) -> ProbedEnvironment:
    """Find a specification's interpreter and probe it; `trtexec` is the program that was found, if any."""
    python = interpreter_of(spec)
    bare = Environment(spec.name, python, spec.variables)
    if spec.requirements and needs_building(spec):
        size = f", about {spec.size_mib} MiB" if spec.size_mib else ""
        why = f"environment {spec.name} is not built{size}; leave out --no_install to build it"
        return ProbedEnvironment(spec, bare, ProbeResult(gpus=tuple(gpus)), why, to_build=True)
    told = _probe(bare, spec.plugin)
    if isinstance(told, str):
        return ProbedEnvironment(spec, bare, ProbeResult(gpus=tuple(gpus)), told)
    return probed_environment(spec, python, told, gpus, trtexec)


def _probe(environment: Environment, plugin: Mapping[str, str]) -> dict[str, Any] | str:
    """What the probe found, or one line on why it could not run."""
    with tempfile.TemporaryDirectory(prefix="ep-perf-probe-") as folder:
        out = Path(folder) / "found.json"
        argv = [environment.python, "-m", "perf.worker.probe", str(out), json.dumps(dict(plugin))]
        try:
            done = subprocess.run(
                argv, env=environment_variables(environment), cwd=CODE, capture_output=True,
                text=True, errors="replace", timeout=PROBE_TIMEOUT_S, check=False,
                stdin=subprocess.DEVNULL, preexec_fn=die_with_the_wrapper,
            )  # fmt: skip
        except OSError as e:
            return (
                f"environment {environment.name}: no interpreter {environment.python} ({e.strerror}); "
                "correct environments.toml or --env"
            )
        except subprocess.TimeoutExpired:
            return f"environment {environment.name}: its probe hung for {PROBE_TIMEOUT_S:g} s"
        try:
            told: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            last = (done.stderr.strip().splitlines() or [""])[-1]
            return f"environment {environment.name}: its probe ended with {done.returncode}: {last[:200]}"
        return told


def _shown(argv: Sequence[str], say: Callable[[str], None]) -> str:
    """Run a program, passing its lines on as progress; returns its last error line, or ""."""
    lines: list[str] = []
    with subprocess.Popen(
        list(argv), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        for line in process.stdout or ():
            lines.append(line.rstrip())
            if line.startswith(("Collecting", "Downloading", "Installing", "  Downloading")):
                say(line.strip()[:100])
    if process.returncode == 0:
        return ""
    errors = [x for x in lines if "error" in x.lower()] or lines or ["no output"]
    return errors[-1][:300]


def offer_targets(
    options: Options, *, build: bool, formats: Collection[Format] = ()
) -> tuple[Offer, ...]:
    """Every target of every environment; environments that are needed are built where allowed.

    One that reads a format of the request's models is needed whatever is named: it makes their references.
    """
    specs = override_environments(read_environments(), options.env, options.plugin)
    gpus = tuple(g.name for g in find_gpus())
    known = backends.discover_backends()
    kept = {s.name: _load_own_backend(s) for s in specs if s.backend}
    names = named_targets(options)
    every = (*known, *kept.values())
    planned = options.dry_run and options.install and not options.list
    needed = [
        s for s in specs if (build or planned) and _is_needed(s, names, every, gpus, formats)
    ]
    if build:
        _build_all(needed)
    elif needed:
        say(f"environments that a run would build: {_name_and_size(needed)}")
    programs = (b.program(options.trtexec, options.workspace) for b in known)
    trtexec = next(filter(None, programs), "")
    places = []
    for spec in specs:
        if build and not _is_asked_for(
            spec, names, every, formats
        ):  # a run pays for the probes it needs
            found = ProbeResult(gpus=gpus)
            places.append(
                ProbedEnvironment(spec, Environment(spec.name, ""), found, NOT_ASKED_FOR)
            )
            continue
        probed = probe_environment(spec, gpus, trtexec)
        places.append(replace(probed, to_build=probed.to_build and spec in needed))
    return make_offers(places, known, kept)


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
