"""Watches a fleet's run from outside: which cells were finished when, and whether any was run again after."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests import models
from tests.asking import ROOT
from tests.fakes.ledger import LEDGER, RUN_S

TARGETS = ("LedgerOne", "LedgerTwo")
# The engine writes its ledger where a fence would keep a worker from it.
ASKED = ("-m", "models", "-e", *TARGETS, "-i", "zoo", "--no_fence")


@dataclass
class Witness:
    """Each record as it was first seen, and when."""

    run: Path
    seen: dict[Path, tuple[float, bytes]] = field(default_factory=dict)

    def look(self) -> None:
        """Take down what is new."""
        for path in self.run.glob("shards/*/*/cells/*/*/*/record.json"):
            if path not in self.seen:
                self.seen[path] = (time.monotonic(), path.read_bytes())

    def changed(self) -> list[str]:
        """Records that are not what they were when they were first seen."""
        return [
            str(p) for p, (_, was) in self.seen.items() if not p.exists() or p.read_bytes() != was
        ]

    def finished_s(self) -> Mapping[str, float]:
        """When each cell was first seen finished."""
        return {json.loads(was)["cell"]["id"]: at_s for at_s, was in self.seen.values()}


@contextmanager
def witness(run: Path) -> Iterator[Witness]:
    """A witness that looks until the end."""
    made, end = Witness(run), threading.Event()

    def watch() -> None:
        while not end.wait(0.02):
            made.look()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield made
    finally:
        end.set()
        thread.join()
        made.look()


def ledger_home(folder: Path, names: int, run_s: float = 0.001) -> Path:
    """A folder to run in: models that hand their input on, and the engine that keeps a ledger."""
    folder.mkdir()
    (folder / "environments.toml").write_text(
        f'[current]\npython = "current"\n\n[ledger]\npython = "current"\nbackend = "{ROOT}/tests/fakes/ledger.py"\n'
        f'targets = ["{TARGETS[0]}", "{TARGETS[1]}"]\ndefault = false\n'
        f'env = {{ {LEDGER} = "{folder}/ledger.jsonl", {RUN_S} = "{run_s}" }}\n',
        encoding="utf-8",
    )
    for i in range(names):
        models.identity(folder / "models" / f"net_{i:02d}")
    return folder


def entries(home: Path) -> list[Mapping[str, object]]:
    """What the engine wrote down."""
    path = home / "ledger.jsonl"
    return [json.loads(x) for x in path.read_text().splitlines()] if path.exists() else []


def run_again(home: Path, seen: Witness) -> list[Mapping[str, object]]:
    """Launches of cells that had been finished; a witness looks every few hundredths of a second."""
    finished = seen.finished_s()
    return [
        e for e in entries(home)
        if str(e["cell"]) in finished and float(str(e["at_s"])) > finished[str(e["cell"])] + 0.5
    ]  # fmt: skip
