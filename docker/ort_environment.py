"""Environments around a freshly built wheel: made beside the old one, proved, then swung in by a link."""

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

CHECK = (
    "import json, numpy, onnxruntime as ort; "
    "print(json.dumps([ort.__version__, ort.get_available_providers()]))"
)


class BuildFailed(Exception):
    """One line for the user: what, where, what to do next. The old environment still works."""


def install(
    wheel: Path, record: Mapping[str, object], new: Path, constraints: Path, tools: Path
) -> None:
    """Make a fresh environment with the wheel and prove that it loads; `build.json` marks it whole.

    The record is what build.json will say of the build; `tools` is the interpreter whose pip installs,
    so that the environment holds the engine and what it needs, nothing else. Raises BuildFailed.
    """
    shutil.rmtree(new, ignore_errors=True)
    run("make an environment", [sys.executable, "-m", "venv", "--without-pip", str(new)])
    python = str(new / "bin" / "python")
    # The harness's pins but for ONNX Runtime's own: this one's version is what is being tested.
    lines = constraints.read_text(encoding="utf-8").splitlines(keepends=True)
    pins = new / "constraints.txt"
    pins.write_text("".join(x for x in lines if not x.startswith("onnxruntime")), encoding="utf-8")
    pip = [str(tools), "-m", "pip", "--python", python, "install", "--constraint", str(pins)]
    run("install the wheel", [*pip, "numpy", str(wheel)])
    checked = subprocess.run([python, "-c", CHECK], capture_output=True, text=True, check=False)
    if checked.returncode != 0:
        last = (checked.stderr.strip().splitlines() or ["no message"])[-1]
        raise BuildFailed(f"the new wheel does not load in {new}: {last}")
    version, providers = json.loads(checked.stdout.strip().splitlines()[-1])
    write_json(new / "build.json", {**record, "version": version, "providers": providers})


def swing(link: Path, new: Path) -> None:
    """Point the environment at the new one in one step; the one before stays for those who run it."""
    old = link.resolve() if link.is_symlink() else None
    fresh = link.with_name(link.name + ".new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(new.name)
    fresh.replace(link)
    for stale in link.parent.glob(f"{link.name}@*"):
        if stale.resolve() not in (new.resolve(), old):
            shutil.rmtree(stale, ignore_errors=True)


def run(what: str, command: Sequence[str], env: dict[str, str] | None = None) -> None:
    """Run a program with its output shown; raises BuildFailed naming the step and the exit."""
    say(f"{what}: {shlex.join(command)}")
    done = subprocess.run(command, env=env, check=False)
    if done.returncode != 0:
        raise BuildFailed(
            f"cannot {what}: {command[0]} ended with {done.returncode}; its output is above"
        )


def say(line: str) -> None:
    """Tell the user where the build is, in order with what the programs print."""
    print(f"ort_build_latest.py: {line}", flush=True)


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write the whole file or nothing."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)
