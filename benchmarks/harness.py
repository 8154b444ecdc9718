"""Real launches of the real harness, made one at a time for a benchmark to look at."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from perf import backends
from perf.machine.machine_lock import MachineLock
from perf.planning.launch import WORKER_PRELOAD, LaunchRequest
from perf.request import options as command_line
from perf.results.run_folder import RunFolder
from perf.schema import cell as cells
from perf.schema.cell import Cell
from perf.schema.record import Launch, LaunchKind, Passed
from perf.wrapper.launcher import ProcessLauncher
from perf.wrapper.supervisor import Supervisor

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Bare:
    """What a bare process told."""

    created_s: float
    runs_s: float
    samples_ns: tuple[int, ...]


def wrapper(*flags: str) -> list[str]:
    """The command of a real run."""
    return [sys.executable, str(ROOT / "benchmark_wrapper.py"), *flags]


def cell_of(results: Path, *flags: str) -> Path:
    """Run the wrapper for one cell, and return its cell.json; raises RuntimeError where it did not pass."""
    done = subprocess.run(
        wrapper("-o", str(results), *flags), capture_output=True, text=True, check=False
    )
    paths = [p.parent / "cell.json" for p in results.glob("latest/cells/*/*/*/record.json")]
    if len(paths) != 1:
        raise RuntimeError(f"expected one cell, found {len(paths)}:\n{done.stdout}{done.stderr}")
    return paths[0]


def bare(job: Path, runs: int, warmup: int) -> Bare:
    """One bare process for a cell; raises CalledProcessError."""
    words = [sys.executable, "-m", "benchmarks.bare", str(job), str(runs), str(warmup)]
    told: Mapping[str, Any] = json.loads(
        subprocess.run(words, capture_output=True, check=True, cwd=ROOT).stdout
    )
    return Bare(told["created_s"], told["runs_s"], tuple(told["samples_ns"]))


class Launches:
    """Measure launches of one cell, by the harness's own launcher on its own Supervisor."""

    def __init__(
        self, supervisor: Supervisor, job: Path, folder: Path, isolation: str, *flags: str
    ) -> None:
        given = cells.read_cell(job)
        self.cell: Cell = replace(given, protocol=replace(given.protocol, isolation=isolation))
        self._job = folder.parent / f"{isolation}.json"
        folder.mkdir(parents=True, exist_ok=True)
        cells.write_cell(self.cell, self._job)
        options = command_line.parse(["--isolation", isolation, *flags])
        run = RunFolder(
            folder.parent.parent, folder.parent.name
        )  # what it is given lies there too
        self._launcher = ProcessLauncher(supervisor, options, (), "", run)
        self._folder = folder
        self._preload = WORKER_PRELOAD + backends.backend_of_cell(self.cell).preload
        self._made = 0

    def one(self) -> Launch:
        """One launch, its every file included; raises RuntimeError where it did not pass."""
        self._made += 1
        name = f"measure_{self._made}"
        request = LaunchRequest(
            LaunchKind.MEASURE, name, self._job, self._folder / name, self.cell.environment,
            self._preload, self.cell,
        )  # fmt: skip
        launch = (self._launcher.start(request) or self._launcher.wait()).launch
        if not isinstance(launch.outcome, Passed) or launch.timed is None:
            raise RuntimeError(f"{name} in {self._folder}: {launch.outcome}")
        if launch.isolation != self.cell.protocol.isolation:
            raise RuntimeError(f"{name} ran by {launch.isolation}")
        return launch


def quiet() -> MachineLock:
    """The machine's quiet, which other runs of the harness wait for; waits for one that holds it."""
    return MachineLock.measuring("benchmarks", wait_s=1800.0)
