"""Asks the wrapper as a user does, in a process of its own, and reads what it leaves behind."""

import csv
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perf.results import run_folder, run_names
from perf.results.run_folder import RunFolder
from perf.schema.record import Record

ROOT = Path(__file__).parents[1]
CURRENT = 'drop = ["*"]\n[current]\npython = "current"\n'
NOTES = ("busy machine ", "waiting for environment ")  # of the machine that tests run on
QUICK = ("-i", "zoo", "-t", "4", "--launches", "2", "--warmup", "1")


@dataclass(frozen=True)
class Said:
    """How a run ended, what it said, and the folder of results it was given."""

    status: int
    out: str
    err: str
    results: Path

    @property
    def run(self) -> RunFolder:
        """The newest run there."""
        return run_names.find_run(self.results)

    @property
    def records(self) -> dict[str, Record]:
        """Durable records by cell id."""
        return {r.cell.id: r for r in run_folder.read_records(self.run)}

    @property
    def cells(self) -> dict[str, dict[str, Any]]:
        """Rows of cells.jsonl by cell id."""
        lines = (self.run.root / "cells.jsonl").read_text(encoding="utf-8").splitlines()
        return {row["cell"]: row for row in map(json.loads, lines)}

    def table(self, name: str) -> list[dict[str, str]]:
        """Rows of one of the seven tables."""
        path = self.results / f"benchmark_{name}_{self.run.run_id}.csv"
        with path.open(encoding="utf-8", newline="") as f:
            return list(csv.DictReader(f))


def command(*words: str, python: str = sys.executable) -> list[str]:
    """The wrapper's command line."""
    return [python, str(ROOT / "benchmark_wrapper.py"), *overriding(words)]


def overriding(words: Sequence[str]) -> list[str]:
    """A test's own flags in place of those that it shares with others: given twice, they would be refused."""
    words = ["-m" if w == "--model_source" else w for w in words]
    once = ("-m", "-o", "-i", "-t", "-r", "--launches", "--warmup")
    last = {w: at for at, w in enumerate(words) if w in once}
    gone = {i for at, w in enumerate(words) if at < last.get(w, 0) for i in (at, at + 1)}
    return [w for at, w in enumerate(words) if at not in gone]


def ask(
    home: Path,
    *words: str,
    out: str = "result",
    env: Mapping[str, str] | None = None,
    python: str = sys.executable,
) -> Said:
    """Run the wrapper in `home` to its end, in a process of its own."""
    done = subprocess.run(
        command("-m", "models", "-o", out, *words, python=python), cwd=home, capture_output=True,
        text=True, timeout=120, check=False, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return Said(done.returncode, done.stdout, done.stderr, home / out)


def complaints(err: str) -> str:
    """What a program said on stderr, without its notes on a busy machine and on whom it waits for."""
    return "".join(x for x in err.splitlines(keepends=True) if not x.startswith(NOTES))


def one_line(said: Said) -> str:
    """The one line of an error, with the promise that it is one; a busy machine may be waited for before it."""
    lines = complaints(said.err).strip().splitlines()
    assert len(lines) == 1, said.err
    assert lines[0].startswith("error: ")
    return lines[0]


def snapshot(folder: Path) -> dict[str, str]:
    """Every file below a folder, by its digest."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.rglob("*")
        if p.is_file()
    }
