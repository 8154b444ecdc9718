"""environments.toml read into specifications: which interpreter, built from what, serves which targets."""

import fnmatch
import hashlib
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from perf.request.locations import ENVIRONMENTS, environments_folder
from perf.request.model_file import NO_LIBRARY, add_file, digest_file, is_shared_library
from perf.request.programs import command_of, install_command, is_set_up
from perf.schema.untrusted_file import read_text

# What every process that holds an engine is told: no telemetry, no threads at import.
QUIET = {
    "ORT_DISABLE_TELEMETRY": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # so that CUDA numbers devices as NVML does
}


STAMP = ".requirements"  # in an environment that is built: what from


class EnvironmentsError(Exception):
    """environments.toml cannot be used; one line that says what, where and what to do."""


@dataclass(frozen=True)
class EnvironmentSpec:
    """One table of environments.toml, or one --env or --plugin."""

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
    folder: str = ""  # of the file that names it; its lock lies there

    @cached_property
    def digest(self) -> str:
        """sha256 of what it is built from, a wheel by its bytes; raises EnvironmentsError."""
        out = hashlib.sha256("\n".join(self.requirements).encode())
        for wheel in (r for r in self.requirements if r.endswith(".whl")):
            try:
                add_file(out, Path(wheel))
            except OSError as e:
                raise EnvironmentsError(f"[{self.name}]: {wheel}: {e.strerror}") from e
        return out.hexdigest()


def read_environments() -> tuple[EnvironmentSpec, ...]:
    """The built-in environments with the current folder's environments.toml laid over them, by name.

    What is local comes first; it takes a built-in name's place, and `drop` takes names out. Raises
    EnvironmentsError.
    """
    here = Path(ENVIRONMENTS.name)
    if not here.exists() or here.samefile(ENVIRONMENTS):
        return load_environments(ENVIRONMENTS)
    local, dropped = _load(here)
    names = (*dropped, *(s.name for s in local))
    built_in = load_environments(ENVIRONMENTS)
    return (
        *local,
        *(s for s in built_in if not any(fnmatch.fnmatchcase(s.name, n) for n in names)),
    )


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
    """The environments of one file; raises EnvironmentsError."""
    return _load(path)[0]


def _load(path: Path) -> tuple[tuple[EnvironmentSpec, ...], tuple[str, ...]]:
    """A file's environments, and the built-in ones that it drops."""
    try:
        tables = tomllib.loads(read_text(path))
    except FileNotFoundError:
        raise EnvironmentsError(
            f"{path}: no such file; it names the environments to run in"
        ) from None
    except OSError as e:
        raise EnvironmentsError(f"{path}: {e.strerror}") from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise EnvironmentsError(f"{path}: {e}") from e
    dropped = tables.pop("drop", [])
    if not isinstance(dropped, list) or not all(isinstance(name, str) for name in dropped):
        raise EnvironmentsError(
            f"{path}: drop must be a list of strings: built-in environments to do without"
        )
    return tuple(_spec(name, table, path) for name, table in tables.items()), tuple(dropped)


def interpreter_of(spec: EnvironmentSpec) -> str:
    """The program that runs an environment's workers; for one that is built, where it will lie."""
    if spec.python == "current":
        return sys.executable
    if spec.python:
        return spec.python if os.sep not in spec.python else str(Path(spec.python).absolute())
    return str(folder_of(spec) / "bin" / "python")


def folder_of(spec: EnvironmentSpec) -> Path:
    """Where an environment lies that is built: by its name, or where that holds other requirements by both.

    So nothing is replaced that another clone may be running in.
    """
    folder = environments_folder() / spec.name
    if not folder.exists() or _holds(folder, spec):
        return folder
    return folder.with_name(f"{spec.name}-{spec.digest[:8]}")


def is_built(spec: EnvironmentSpec) -> bool:
    """Whether what its requirements ask for is there whole."""
    return _holds(folder_of(spec), spec)


def _holds(folder: Path, spec: EnvironmentSpec) -> bool:
    """Whether a folder is this environment, built whole for Pythons of this version."""
    try:
        stamp, made_by = read_text(folder / STAMP), read_text(folder / "pyvenv.cfg")
    except (OSError, UnicodeDecodeError):
        return False
    version = f"version = {sys.version_info[0]}.{sys.version_info[1]}."
    return stamp == spec.digest and version in made_by


def missing_modules(
    spec: EnvironmentSpec, errors: Mapping[str, str], modules: Sequence[str] = ("numpy",)
) -> str:
    """What an environment must have and cannot import, with the command that fixes it; "" for nothing."""
    lost = [m for m in modules if m in errors]
    if not lost:
        return ""
    absent = [m for m in lost if f"No module named {m!r}" in errors[m]]
    names = absent if lost[0] in absent else lost[:1]  # one that is there may only want another
    if spec.requirements:
        fix = f"`{command_of('perf.cli.env')} remove {spec.name}` has it built anew"
    elif spec.python == "current" and not is_set_up():
        return (
            f"not set up yet: the first `./perf.sh` installs {', '.join(names)} into .venv, "
            "`./perf.sh --setup` does that alone"
        )
    elif spec.python == "current":
        fix = f"`{install_command(' '.join(names))}` fixes it"
    else:
        pinned = " ".join(f"{m}==VERSION" for m in names)
        fix = f"choose another, or have one built: --env {spec.name}='{pinned}'"
    return (
        f"environment {spec.name} cannot import {' and '.join(names)} ({errors[names[0]]}); {fix}"
    )


def override_environments(
    specs: Sequence[EnvironmentSpec], named: Mapping[str, str], plugins: Mapping[str, str]
) -> tuple[EnvironmentSpec, ...]:
    """The files' environments with --env NAME=… and --plugin NAME=… laid over them.

    An interpreter, or requirements to build one from, take the place of what a file says of NAME, which keeps
    its targets, variables, options and plug-in; a NAME that no file has is an environment of every target its
    probe finds. A plug-in runs in environment NAME, or else in the current one. Raises EnvironmentsError.
    """
    out = {s.name: s for s in specs}
    for name, value in named.items():
        python, requirements = _interpreter_or_requirements(name, value)
        known = replace(out.get(name, EnvironmentSpec(name)), size_mib=0, needs_gpu=False)
        out[name] = replace(known, python=python, requirements=requirements)
    for name, value in plugins.items():
        out[name] = replace(
            out.get(name, EnvironmentSpec(name, "current")),
            plugin=_plugin(name, value),
            targets=(),
            default=True,
        )
    return tuple(out.values())


def _interpreter_or_requirements(name: str, value: str) -> tuple[str, tuple[str, ...]]:
    """--env's value: wheels and pinned requirements are built from, anything else is an interpreter."""
    words = value.split()
    if not any(w.endswith(".whl") or "==" in w for w in words):
        if loose := re.search(r"[<>~!]=|[<>]", value):
            raise EnvironmentsError(
                f"--env {name}={value}: {loose[0]!r} pins nothing; write PACKAGE==VERSION"
            )
        if value != "current" and shutil.which(value) is None:  # a file's may wait for its cells
            raise EnvironmentsError(
                f"--env {name}={value}: no interpreter {value} can be run; give a Python's path, a wheel, or "
                "'PACKAGE==VERSION …'"
            )
        return value, ()
    import zipfile  # kept out of the start of every other program

    for wheel in (w for w in words if w.endswith(".whl")):
        if not Path(wheel).is_file():
            raise EnvironmentsError(f"--env {name}={value}: there is no wheel {wheel}")
        if not zipfile.is_zipfile(wheel):
            raise EnvironmentsError(
                f"--env {name}={value}: {wheel} is no wheel, which is a zip archive"
            )
    return "", tuple(str(Path(w).absolute()) if w.endswith(".whl") else w for w in words)


def _plugin(name: str, value: str) -> dict[str, str]:
    """--plugin's value as a table of environments.toml says it; an EP that is not named is asked for."""
    library, _, ep_name = value.rpartition(":") if not Path(value).is_file() else (value, "", "")
    path = Path(library or ep_name).absolute()
    if not path.is_file():
        raise EnvironmentsError(f"--plugin {name}={value}: there is no library {path}")
    try:
        digest = digest_file(path)  # a library built anew asks another question
        if not is_shared_library(path):
            raise EnvironmentsError(f"--plugin {name}={value}: {NO_LIBRARY}")
    except OSError as e:
        raise EnvironmentsError(f"--plugin {name}={value}: {e.strerror}") from e
    return {"target": name, "library": str(path), "ep_name": ep_name, "sha256": digest}


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
        folder=str(here),
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
