"""Runs from Python: one that was made as typed records and data frames, and one made by a child process."""

import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from perf.machine.system import SystemInfo
from perf.report.finished_run import read_finished_run
from perf.request.exit_status import CANNOT_SERVE
from perf.request.programs import child_command, child_variables, install_command
from perf.results import run_names
from perf.results.cell_row import CellRow
from perf.results.latency import NS_PER_MS
from perf.results.tables import tabulate_cells
from perf.schema import outcomes
from perf.schema.record import Launch, Record


class RunFailedError(RuntimeError):
    """A run could not be made; the message is what it said, `status` its exit status."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


@dataclass(frozen=True)
class LoadedRun:
    """A run: its records in plan order, the machine, and its rows; with pandas also data frames."""

    run_id: str
    folder: Path
    label: str
    records: tuple[Record, ...]
    host: SystemInfo | None

    @property
    def rows(self) -> tuple[CellRow, ...]:
        """The rows of cells.csv: one for each record and shape of its inputs."""
        host = self.host.hostname if self.host else ""
        found = tabulate_cells(self.records, run_id=self.run_id, label=self.label, host=host)
        return tuple(cell.row for cell in found)

    @property
    def cells(self) -> Any:
        """A data frame of `rows`."""
        return _frame([asdict(row) for row in self.rows])

    @property
    def launches(self) -> Any:
        """A data frame with a row for each launch of each cell."""
        return _frame([_describe_launch(r, x) for r in self.records for x in r.launches])

    @property
    def samples(self) -> Any:
        """A data frame with a row for each timed run of each measure launch, in ms."""
        return _frame(list(_samples(self.records)))


def load(run: str | Path = "latest", results: str | Path = "result") -> LoadedRun:
    """A run by any of its names (latest, latest~1, id, folder, saved name); raises BadRequestError."""
    folder = run_names.find_run(Path(results).absolute(), str(run))
    found = read_finished_run(folder)
    return LoadedRun(found.run_id, folder.root, found.label, tuple(found.records), found.host)


def run(
    model: str | Path | Sequence[str | Path],
    targets: str | Sequence[str] = (),
    *,
    results: str | Path = "result",
    **flags: object,
) -> LoadedRun:
    """Run models on targets in a child process, as `ep-perf run` does, and load what came of it.

    `flags` are its flags by name: True and False for switches, a list for several words. Outcomes raise
    nothing, they are in the records; raises RunFailedError where no run could be made.
    """
    models = [model] if isinstance(model, (str, Path)) else list(model)
    eps = targets.split() if isinstance(targets, str) else list(targets)
    words = [*map(str, models), *(["-e", *eps] if eps else []), *_words(flags)]
    command = [
        *child_command("perf.cli.benchmark_wrapper"),
        *words,
        "-o",
        str(results),
        "-q",
        "-q",
    ]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        done = subprocess.run(
            command, env=child_variables(), stdin=subprocess.DEVNULL, stdout=said, stderr=said, check=False
        )  # fmt: skip
        said.seek(0)
        text = said.read()
    if done.returncode >= CANNOT_SERVE or done.returncode < 0:
        raise RunFailedError(done.returncode, text.strip() or f"it ended with {done.returncode}")
    return load(str(flags.get("run_id") or "latest"), results)


def _words(flags: Mapping[str, object]) -> list[str]:
    out: list[str] = []
    for name, value in flags.items():
        match value:
            case True:
                out.append(f"--{name}")
            case False:
                out.append(f"--no_{name}")
            case list() | tuple():
                out += [f"--{name}", *map(str, value)]
            case _:
                out += [f"--{name}", str(value)]
    return out


def _describe_launch(record: Record, launch: Launch) -> dict[str, object]:
    timed, created, memory = launch.timed, launch.created, launch.host_memory
    return {
        "cell": record.cell.id, "model": record.cell.model.name, "target": record.cell.target.label,
        "launch": launch.name, "kind": launch.kind.value, "outcome": outcomes.exact(launch.outcome),
        "round": launch.round, "order": launch.order, "began_s": launch.began_s,
        "wall_s": launch.ending.wall_s, "creation_s": created.seconds if created else None,
        "runs": len(timed.samples_ns) if timed else 0,
        "host_peak_mib": memory.peak_mib if memory else None,
    }  # fmt: skip


def _samples(records: Sequence[Record]) -> Iterator[dict[str, object]]:
    for record in records:
        for launch in record.launches:
            for i, ns in enumerate(launch.timed.samples_ns if launch.timed else ()):
                yield {
                    "cell": record.cell.id, "model": record.cell.model.name,
                    "target": record.cell.target.label, "launch": launch.name, "run": i, "ms": ns / NS_PER_MS,
                }  # fmt: skip


def _frame(rows: list[dict[str, Any]]) -> Any:
    """A data frame; raises ImportError with what brings pandas."""
    try:
        import pandas as pd  # the user's own: nothing here needs it
    except ImportError as e:
        raise ImportError(f"data frames need pandas: `{install_command('pandas')}`") from e
    return pd.DataFrame(rows)
