"""Recorded stand-ins for programs that are not ours (docker, podman, git, id): each notes its arguments."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HOME = Path(__file__).resolve().parents[2]

RECORDER = """#!{python} -I
import json, os, sys
with open({log!r}, "a", encoding="utf-8") as log:
    log.write(json.dumps(sys.argv) + "\\n")
{body}
"""


@dataclass(frozen=True)
class Programs:
    """A folder of recorded programs that comes first on PATH."""

    folder: Path
    log: Path

    def add(self, name: str, body: str = "") -> Path:
        """Put a program there; body is Python that runs after the arguments are written down."""
        path = self.folder / name
        path.write_text(RECORDER.format(python=sys.executable, log=str(self.log), body=body))
        path.chmod(0o755)
        return path

    def calls(self) -> list[list[str]]:
        """The argument lists so far, program names without folders."""
        if not self.log.exists():
            return []
        lines = [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]
        return [[Path(argv[0]).name, *argv[1:]] for argv in lines]


Run = Callable[..., subprocess.CompletedProcess[str]]
