"""Environments built once under a lock, resolved to an interpreter, and probed for what is in them."""

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perf.backends import Found
from perf.core.cell import Environment
from perf.core.environments import (
    BUILT,
    EnvironmentsError,
    EnvironmentSpec,
    interpreter,
    lacking,
    load,
)
from perf.wrapper.starting import ROOT, die_with_the_wrapper, environment_variables

PROBE_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Resolved:
    """An environment ready to run workers, or the reason why it is not, with the fix."""

    spec: EnvironmentSpec
    environment: Environment
    found: Found
    problem: str = ""
    buildable: bool = False  # it is only not built yet


def needs_building(spec: EnvironmentSpec) -> bool:
    """Its requirements are not what lies in .envs."""
    return bool(spec.requirements) and _stamp(spec) != _wanted(spec)


def build(spec: EnvironmentSpec, say: Callable[[str], None]) -> str:
    """Build an environment aside and put it in place whole; returns why it failed, or ""."""
    BUILT.mkdir(exist_ok=True)
    with (BUILT / f".{spec.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not needs_building(spec):
            return ""  # another run built it while this one waited
        folder = BUILT / spec.name
        aside = BUILT / f"{spec.name}.new"
        shutil.rmtree(aside, ignore_errors=True)
        say(f"building environment {spec.name}: {', '.join(spec.requirements)}")
        python = str(aside / "bin" / "python")
        for argv in (
            [sys.executable, "-m", "venv", str(aside)],
            [python, "-m", "pip", "install", "--disable-pip-version-check", *spec.requirements],
        ):
            if problem := _shown(argv, say):
                shutil.rmtree(aside, ignore_errors=True)
                return f"environment {spec.name} could not be built: {problem}"
        (aside / ".requirements").write_text(_wanted(spec), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
    return ""


def resolve(spec: EnvironmentSpec, gpus: Sequence[str], trtexec: str = "") -> Resolved:
    """Find a specification's interpreter and probe it; `trtexec` is the program that was found, if any."""
    python = interpreter(spec)
    bare = Environment(spec.name, python, spec.variables)
    if spec.requirements and needs_building(spec):
        size = f", about {spec.size_mib} MiB" if spec.size_mib else ""
        why = f"environment {spec.name} is not built{size}; leave out --no_install to build it"
        return Resolved(spec, bare, Found(gpus=tuple(gpus)), why, buildable=True)
    told = _probe(bare, spec.plugin)
    if isinstance(told, str):
        return Resolved(spec, bare, Found(gpus=tuple(gpus)), told)
    found = Found(
        providers=tuple(told["providers"]),
        versions=told["versions"],
        gpus=tuple(gpus),
        plugin_devices=tuple(told["plugin_devices"]),
        errors=told["errors"],
        trtexec=trtexec,
    )
    environment = Environment(spec.name, python, spec.variables, found.versions)
    return Resolved(spec, environment, found, lacking(spec, found.errors))


def _probe(environment: Environment, plugin: Mapping[str, str]) -> dict[str, Any] | str:
    """What the probe found, or one line on why it could not run."""
    with tempfile.TemporaryDirectory(prefix="ep-perf-probe-") as folder:
        out = Path(folder) / "found.json"
        argv = [environment.python, "-m", "perf.worker.probe", str(out), json.dumps(dict(plugin))]
        try:
            done = subprocess.run(
                argv, env=environment_variables(environment), cwd=ROOT, capture_output=True,
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


def _wanted(spec: EnvironmentSpec) -> str:
    return hashlib.sha256("\n".join(spec.requirements).encode()).hexdigest()


def _stamp(spec: EnvironmentSpec) -> str:
    try:
        return (BUILT / spec.name / ".requirements").read_text(encoding="utf-8")
    except OSError:
        return ""


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m perf.wrapper.environments [--file F] NAME…` builds environments before a run needs them."""
    words = list(sys.argv[1:] if argv is None else argv)
    file = ROOT / "environments.toml"
    if words[:1] == ["--file"]:
        file, words = Path(words[1]), words[2:]
    try:
        specs = {s.name: s for s in load(file)}
    except EnvironmentsError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    for name in words:
        if name not in specs:
            print(
                f"error: {file}: no environment {name!r}; it has {', '.join(specs)}",
                file=sys.stderr,
            )
            return 2
        if problem := build(specs[name], lambda text: print(text, file=sys.stderr, flush=True)):
            print(f"error: {problem}", file=sys.stderr)
            return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
