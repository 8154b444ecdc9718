"""Remembers, per results folder, which cells failed validation, so that a later benchmark leaves them out."""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from perf.planning.launch import CellState
from perf.request.options import Options
from perf.schema import codec, outcomes
from perf.schema.cell import Cell
from perf.schema.record import EnvironmentFailed, NotRun, Outcome, Passed, Skipped
from perf.schema.untrusted_file import TABLE_LIMIT, read_whole

FILE = "verdicts.jsonl"
PASSED = outcomes.name(Passed())


class Quarantine:
    """The latest verdict on each model x target x environment x tolerances x inputs wins."""

    def __init__(self, results: Path, run_id: str) -> None:
        self._path = results / FILE
        self._run_id = run_id
        self._latest: dict[str, tuple[str, str]] = {}
        data = read_whole(self._path, TABLE_LIMIT) if self._path.exists() else b""
        self._begin = b"\n" if data and not data.endswith(b"\n") else b""  # after a torn line
        for line in data.splitlines():
            try:
                told = json.loads(line)
                self._latest[told["key"]] = (told["outcome"], told["run"])
            except (ValueError, KeyError, TypeError):
                continue  # a line torn by a full disk bans nothing

    def reason(self, cell: Cell) -> str:
        """Why a cell must not be benchmarked; "" where nothing speaks against it."""
        outcome, run = self._latest.get(quarantine_key(cell), (PASSED, ""))
        if outcome == PASSED:
            return ""
        return f"failed validation in run {run} ({outcome}); --force benchmarks it all the same"

    def apply(self, states: Iterable[CellState], options: Options) -> None:
        """End cells that failed validation, before anything of theirs is begun; who validates asks anew."""
        if options.validates or options.force:
            return
        for state in states:
            if reason := self.reason(state.cell):
                state.end(NotRun(reason))

    def record(self, cell: Cell, outcome: Outcome) -> None:
        """Append a verdict by one write of one line."""
        if isinstance(outcome, (Skipped, NotRun, EnvironmentFailed)):
            return  # nothing was learnt of the cell
        key = quarantine_key(cell)
        name = outcomes.name(outcome)
        if self._latest.get(key, ("", ""))[0] == name == PASSED:
            return
        self._latest[key] = (name, self._run_id)
        line = (
            json.dumps({"key": key, "cell": cell.id, "outcome": name, "run": self._run_id}) + "\n"
        )
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            os.write(fd, self._begin + line.encode())
            self._begin = b""
        finally:
            os.close(fd)


def quarantine_key(cell: Cell) -> str:
    """What a failed validation speaks of: model, target, environment, tolerances, inputs."""
    parts = [
        cell.model.sha256, cell.target.label, cell.variant,
        json.dumps(dict(cell.environment.versions), sort_keys=True),
        json.dumps(codec.encode(cell.tolerance)), cell.inputs_digest,
    ]  # fmt: skip
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
