"""Runs the wrapper on real frameworks, in a folder with small modules in it."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from perf.request.environments import interpreter_of, is_built, load_environments
from perf.request.locations import environments_folder
from tests.asking import ROOT, Said, command

ENVIRONMENTS = ("torch", "openvino_alone", "iree")


def interpreter(name: str) -> str:
    """Where `make framework-environments` has built an environment, or somebody put one by hand."""
    spec = next(s for s in load_environments(ROOT / "environments.toml") if s.name == name)
    by_hand = environments_folder() / name / "bin" / "python"
    return interpreter_of(spec) if is_built(spec) else str(by_hand)


@dataclass(frozen=True)
class Workplace:
    """A folder with entry points in it, and the frameworks that run them."""

    home: Path

    def run(self, *words: str, out: str = "result", env: dict[str, str] | None = None) -> Said:
        """Run the wrapper as a user does, quickly: one launch of five runs."""
        quick = ["-r", "both", "--launches", "1", "-t", "5", "--warmup", "1"]
        if not {"--intra_op_threads", "--cpu_affinity"} & set(words):
            quick += [
                "--intra_op_threads",
                "1",
            ]  # threads of one run wait long for each other on a busy machine
        named = ("--env", *(f"{n}={interpreter(n)}" for n in ENVIRONMENTS))
        done = subprocess.run(
            command("-o", out, *quick, *named, *words), cwd=self.home, capture_output=True,
            text=True, timeout=550, check=False, env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return Said(done.returncode, done.stdout, done.stderr, self.home / out)

    def let_torch_see(self, folder: Path) -> None:
        """Have workers of the environment torch import from a folder too."""
        environments = self.home / "environments.toml"
        there = f'[torch]\nenv = {{ PYTHONPATH = "{folder}" }}'
        told = environments.read_text()
        environments.write_text(re.sub(r"^\[torch\].*", there, told, flags=re.M))

    def python(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run PyTorch's interpreter with the harness to import from."""
        here = {
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(self.home),
        }  # it leaves a folder in the latter
        return subprocess.run(
            [interpreter("torch"), *words], cwd=self.home, capture_output=True, text=True,
            timeout=300, check=False, env={**os.environ, **here},
        )  # fmt: skip

    def convert(self, entry: str, to: str, name: str, *more: str) -> Path:
        """Have one form of a model made of another; fails with what was said."""
        words = ("-m", "perf.backends._torch.convert", "--to", to, entry, "-o", name)
        done = self.python(*words, *more)
        assert done.returncode == 0, done.stderr
        return self.home / name


def outcomes(said: Said) -> dict[str, str]:
    """Exact outcomes by cell."""
    return {cell: str(row["outcome"]) for cell, row in said.cells.items()}
