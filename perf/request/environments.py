"""environments.toml read into specifications: which interpreter, built from what, serves which targets."""

import os
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

HARNESS = Path(__file__).resolve().parents[2]
BUILT = HARNESS / ".envs"
# What every process that holds an engine is told: no telemetry, no threads at import.
QUIET = {
    "ORT_DISABLE_TELEMETRY": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # so that CUDA numbers devices as NVML does
}


class EnvironmentsError(Exception):
    """environments.toml cannot be used; one line that says what, where and what to do."""


@dataclass(frozen=True)
class EnvironmentSpec:
    """One table of environments.toml, or one --env NAME=PYTHON."""

    name: str
    python: str = ""  # an interpreter; "current": the one that runs the wrapper; "": built
    requirements: tuple[str, ...] = ()  # fully pinned; what the environment is built from
    targets: tuple[str, ...] = ()  # empty: every target that its probe finds
    variables: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # target -> options
    plugin: Mapping[str, str] = field(default_factory=dict)  # target, library, ep_name, …
    backend: str = ""  # a Python file with a BACKEND kept elsewhere
    size_mib: int = 0  # on disk, roughly, once built
    needs_gpu: bool = False  # is built only where NVML sees one
    default: bool = True  # its targets run when none are named


def environments_file() -> Path:
    """environments.toml of the folder the command was given in, else the harness's own."""
    here = Path("environments.toml")
    return here if here.is_file() else HARNESS / here


_KEYS: Mapping[str, type] = {
    "python": str,
    "requirements": list,
    "targets": list,
    "env": dict,
    "options": dict,
    "plugin": dict,
    "backend": str,
    "size_mib": int,
    "needs_gpu": bool,
    "default": bool,
}
_WORDS: Mapping[type, str] = {
    str: "a string",
    list: "a list of strings",
    dict: "a table",
    int: "a whole number",
    bool: "true or false",
}


def load_environments(path: Path) -> tuple[EnvironmentSpec, ...]:
    """Read environments.toml; raises EnvironmentsError."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EnvironmentsError(
            f"{path}: no such file; it names the environments to run in"
        ) from None
    except OSError as e:
        raise EnvironmentsError(f"{path}: {e.strerror}") from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise EnvironmentsError(f"{path}: {e}") from e
    return tuple(_spec(name, table, path) for name, table in tables.items())


def interpreter_of(spec: EnvironmentSpec) -> str:
    """The program that runs an environment's workers; for one that is built, where it will lie."""
    if spec.python == "current":
        return sys.executable
    if spec.python:
        return spec.python if os.sep not in spec.python else str(Path(spec.python).absolute())
    return str(BUILT / spec.name / "bin" / "python")


def missing_modules(
    spec: EnvironmentSpec, errors: Mapping[str, str], modules: Sequence[str] = ("numpy",)
) -> str:
    """What an environment must have and cannot import, with the command that fixes it; "" for nothing."""
    lost = [m for m in modules if m in errors]
    if not lost:
        return ""
    absent = [m for m in lost if f"No module named {m!r}" in errors[m]]
    names = absent if lost[0] in absent else lost[:1]  # one that is there may only want another
    packages = dict.fromkeys(spec.requirements[0] if spec.requirements else m for m in names)
    return (
        f"environment {spec.name} cannot import {' and '.join(names)} ({errors[names[0]]}); "
        f"`{interpreter_of(spec)} -m pip install {' '.join(packages)}` fixes it"
    )


def override_environments(
    specs: Sequence[EnvironmentSpec], named: Mapping[str, str]
) -> tuple[EnvironmentSpec, ...]:
    """The file's environments with --env NAME=PYTHON laid over them.

    An interpreter takes the place of what the file builds or names for NAME, which keeps its targets,
    variables, options and plug-in; a NAME that the file has not is an environment of every target its
    probe finds.
    """
    known = {s.name for s in specs}
    laid = (
        replace(s, python=named[s.name], requirements=(), size_mib=0, needs_gpu=False)
        if s.name in named
        else s
        for s in specs
    )
    return (*laid, *(EnvironmentSpec(n, python) for n, python in named.items() if n not in known))


def _spec(name: str, table: Any, path: Path) -> EnvironmentSpec:
    where = f"{path}: [{name}]"
    if not isinstance(table, dict):
        raise EnvironmentsError(f"{where} is not a table")
    if not re.fullmatch(r"[\w.-]+", name) or name in (".", ".."):
        raise EnvironmentsError(f"{where}: use letters, digits, '.', '_' and '-' in a name")
    if unknown := sorted(set(table) - set(_KEYS)):
        raise EnvironmentsError(
            f"{where}: unknown key {unknown[0]!r}; known are {', '.join(_KEYS)}"
        )
    _fit(table, where)
    python, requirements = table.get("python", ""), tuple(table.get("requirements", ()))
    if bool(python) == bool(requirements):
        raise EnvironmentsError(f"{where}: give either python or requirements")
    if loose := [r for r in requirements if "==" not in r]:
        raise EnvironmentsError(f"{where}: {loose[0]!r} is not pinned; write name==version")
    plugin = {k: str(v) for k, v in table.get("plugin", {}).items()}
    if plugin and not {"target", "library", "ep_name"} <= set(plugin):
        raise EnvironmentsError(f"{where}: a plugin needs target, library and ep_name")
    here = path.absolute().parent  # what a file names, it names from its own folder
    return EnvironmentSpec(
        name=name,
        python=str(here / python) if os.sep in python else python,
        requirements=requirements,
        targets=tuple(table.get("targets", ())),
        variables={k: str(v) for k, v in table.get("env", {}).items()},
        options={
            t: {k: str(v) for k, v in o.items()} for t, o in table.get("options", {}).items()
        },
        plugin=plugin,
        backend=str(here / table["backend"]) if table.get("backend") else "",
        size_mib=table.get("size_mib", 0),
        needs_gpu=table.get("needs_gpu", False),
        default=table.get("default", True),
    )


def _fit(table: Mapping[str, Any], where: str) -> None:
    """Refuse values of another kind than their key's."""
    for key, value in table.items():
        kind = _KEYS[key]
        words = value if isinstance(value, list) else ()
        if type(value) is not kind or not all(isinstance(word, str) for word in words):
            raise EnvironmentsError(f"{where}: {key} must be {_WORDS[kind]}")
    for target, options in table.get("options", {}).items():
        if not isinstance(options, dict):
            raise EnvironmentsError(f"{where}: options.{target} must be a table")
