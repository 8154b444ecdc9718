"""What the running interpreter serves: the environments it is, and for all others which program to start."""

import importlib.util
import os
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from perf import backends
from perf.backends import ProbeResult
from perf.machine.gpus import Gpu, variables_for
from perf.planning import targets
from perf.planning.targets import Offer, ProbedEnvironment, named_targets
from perf.request import environments as specifications
from perf.request.environments import QUIET, EnvironmentSpec
from perf.request.options import BadRequestError, Options
from perf.request.programs import command_of, install_command
from perf.schema.cell import Environment
from perf.worker import probe

_READ_AT_START = ("LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH")


def offer_targets(used: Sequence[Gpu], options: Options) -> tuple[Offer, ...]:
    """Every target of every environment; those of other interpreters say why they cannot run in this one.

    Sets this process's environment variables, before the engine is imported. Raises BadRequestError for a
    TARGET@ENVIRONMENT of another interpreter.
    """
    specs = specifications.override_environments(
        specifications.read_environments(), {}, options.plugin
    )
    mine = sorted((s for s in specs if _is_this(s)), key=lambda s: s.python == "current")
    mine = mine or [EnvironmentSpec("current", "current")]
    others = [s for s in specs if s not in mine]
    _refuse_elsewhere(named_targets(options), others)
    late = {s.name: missing_variables(s.variables) for s in mine}
    set_variables({k: v for s in mine for k, v in s.variables.items()}, used)
    kept = {s.name: backends.load_backend_file(Path(s.backend)) for s in specs if s.backend}
    seen = tuple(g.name for g in used)
    known = backends.discover_backends()
    trtexec = next(
        filter(None, (b.program(options.trtexec, options.workspace) for b in known)), ""
    )
    places = [
        *(_this_interpreter(s, seen, late[s.name], trtexec) for s in mine),
        *(_elsewhere(s, seen) for s in others),
    ]
    return targets.make_offers(places, known, kept)


def require_onnx() -> None:
    """Inputs are prepared in this process too; raises BadRequestError where what reads them is not there."""
    if importlib.util.find_spec("onnx") is None:
        raise BadRequestError(
            f"{sys.executable} has no onnx, which reads models and their data: "
            f"`{install_command('onnx')}` fixes it, or run a stored cell (PATH/cell.json), which needs none"
        )


def set_variables(variables: Mapping[str, str], used: Sequence[Gpu]) -> None:
    """Give this process the variables that a worker of its own would have been started with, and its GPU."""
    os.environ.update(QUIET)
    os.environ.update(variables)
    for gpu in used[:1]:
        os.environ.update(variables_for(gpu))


def missing_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Those variables that a process must be started with, and this one was not."""
    return {k: v for k, v in variables.items() if k in _READ_AT_START and os.environ.get(k) != v}


def _is_this(spec: EnvironmentSpec) -> bool:
    return specifications.interpreter_of(spec) in (
        sys.executable,
        str(Path(sys.executable).absolute()),
    )


def _refuse_elsewhere(names: Iterable[str], others: Sequence[EnvironmentSpec]) -> None:
    for name in names:
        spec = next((s for s in others if s.name == name.partition("@")[2]), None)
        if spec is not None:
            raise BadRequestError(f"{name}: {_another(spec)}")


def _another(spec: EnvironmentSpec) -> str:
    python = specifications.interpreter_of(spec)
    return (
        f"environment {spec.name} is another interpreter ({python}); use "
        f"{command_of('perf.cli.benchmark_wrapper')}, which starts it"
    )


def _this_interpreter(
    spec: EnvironmentSpec, gpus: tuple[str, ...], late: Mapping[str, str], trtexec: str
) -> ProbedEnvironment:
    told = probe.probe_environment(spec.plugin)
    probed = targets.probed_environment(spec, sys.executable, told, gpus, trtexec)
    if late:
        settings = " ".join(f"{k}={shlex.quote(v)}" for k, v in late.items())
        problem = f"its program reads {', '.join(late)} as it starts: begin the command with `{settings}`"
        return replace(probed, problem=problem)
    return probed


def _elsewhere(spec: EnvironmentSpec, gpus: tuple[str, ...]) -> ProbedEnvironment:
    environment = Environment(spec.name, specifications.interpreter_of(spec), spec.variables)
    return ProbedEnvironment(spec, environment, ProbeResult(gpus=gpus), _another(spec))
