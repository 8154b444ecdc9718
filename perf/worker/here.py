"""What the running interpreter serves: the environments it is, and for all others which program to start."""

import importlib.util
import os
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from perf import backends
from perf.backends import Found
from perf.core import environments as specifications
from perf.core.cell import Environment
from perf.core.devices import Gpu, alone
from perf.core.environments import QUIET, EnvironmentSpec
from perf.core.options import BadRequestError, Options
from perf.planning import targets
from perf.planning.request import wanted_names
from perf.planning.targets import Offer, Place
from perf.worker import probe

_READ_AT_START = ("LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH")


def offers(used: Sequence[Gpu], options: Options) -> tuple[Offer, ...]:
    """Every target of every environment; those of other interpreters say why they cannot run in this one.

    Sets this process's environment variables, before the engine is imported. Raises BadRequestError for a
    TARGET@ENVIRONMENT of another interpreter.
    """
    specs = specifications.load(specifications.file())
    mine = sorted((s for s in specs if _is_this(s)), key=lambda s: s.python == "current")
    mine = mine or [EnvironmentSpec("current", "current")]
    others = [s for s in specs if s not in mine]
    _refuse_elsewhere(wanted_names(options), others)
    late = {s.name: unset(s.variables) for s in mine}
    settle({k: v for s in mine for k, v in s.variables.items()}, used)
    kept = {s.name: backends.kept_elsewhere(Path(s.backend)) for s in specs if s.backend}
    seen = tuple(g.name for g in used)
    known = backends.discover()
    trtexec = next(
        filter(None, (b.program(options.trtexec, options.workspace) for b in known)), ""
    )
    places = [
        *(_here(s, seen, late[s.name], trtexec) for s in mine),
        *(_elsewhere(s, seen) for s in others),
    ]
    return targets.offers(places, known, kept)


def refuse_without_onnx() -> None:
    """Inputs are prepared in this process too; raises BadRequestError where what reads them is not there."""
    if importlib.util.find_spec("onnx") is None:
        raise BadRequestError(
            f"{sys.executable} has no onnx, which reads models and their data: "
            f"`{sys.executable} -m pip install onnx`, or run a stored "
            "cell (benchmark.py PATH/cell.json), which needs none"
        )


def settle(variables: Mapping[str, str], used: Sequence[Gpu]) -> None:
    """Give this process the variables that a worker of its own would have been started with, and its GPU."""
    os.environ.update(QUIET)
    os.environ.update(variables)
    for gpu in used[:1]:
        os.environ.update(alone(gpu))


def unset(variables: Mapping[str, str]) -> dict[str, str]:
    """Those variables that a process must be started with, and this one was not."""
    return {k: v for k, v in variables.items() if k in _READ_AT_START and os.environ.get(k) != v}


def _is_this(spec: EnvironmentSpec) -> bool:
    return specifications.interpreter(spec) in (
        sys.executable,
        str(Path(sys.executable).absolute()),
    )


def _refuse_elsewhere(names: Iterable[str], others: Sequence[EnvironmentSpec]) -> None:
    for name in names:
        spec = next((s for s in others if s.name == name.partition("@")[2]), None)
        if spec is not None:
            raise BadRequestError(f"{name}: {_another(spec)}")


def _another(spec: EnvironmentSpec) -> str:
    python = specifications.interpreter(spec)
    return (
        f"environment {spec.name} is another interpreter ({python}); use benchmark_wrapper.py, "
        "or start benchmark.py with it"
    )


def _here(
    spec: EnvironmentSpec, gpus: tuple[str, ...], late: Mapping[str, str], trtexec: str
) -> Place:
    told = probe.look(spec.plugin)
    found = Found(
        providers=tuple(told["providers"]), versions=told["versions"], gpus=gpus,
        plugin_devices=tuple(told["plugin_devices"]), errors=told["errors"], trtexec=trtexec,
    )  # fmt: skip
    environment = Environment(spec.name, sys.executable, spec.variables, found.versions)
    problem = specifications.lacking(spec, found.errors)
    if late:
        settings = " ".join(f"{k}={shlex.quote(v)}" for k, v in late.items())
        problem = f"its program reads {', '.join(late)} as it starts: begin the command with `{settings}`"
    return Place(spec, environment, found, problem)


def _elsewhere(spec: EnvironmentSpec, gpus: tuple[str, ...]) -> Place:
    environment = Environment(spec.name, specifications.interpreter(spec), spec.variables)
    return Place(spec, environment, Found(gpus=gpus), _another(spec))
