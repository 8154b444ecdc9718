"""Where the shards of a run lie below it, and whether one is complete."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from perf.planning.plan_identity import is_canary
from perf.results import run_folder
from perf.results.run_folder import RunFolder

FOLDER = "shards"
LAST_BYTES = 4096  # of a log, where its last line is looked for


@dataclass(frozen=True)
class ShardFolder:
    """One shard's own folder of results: result/<run id>/shards/<number>."""

    merged_results: Path
    run_id: str
    number: int

    @property
    def results(self) -> Path:
        """The folder that its run is given with -o."""
        return self.merged_results / self.run_id / FOLDER / f"{self.number:05d}"

    @property
    def run(self) -> RunFolder:
        """Its run."""
        return RunFolder(self.results, self.run_id)

    @property
    def log(self) -> Path:
        """What its attempts say, one after the other."""
        return self.merged_results / self.run_id / "logs" / f"{self.number:05d}.log"

    def has_begun(self) -> bool:
        """Whether any attempt got as far as to describe its run."""
        return (self.run.root / "run.json").is_file()

    def is_complete(self) -> bool:
        """Whether every cell of it has its record."""
        told = run_folder.read_json(self.run.root / "run.json")
        if not isinstance(told, dict):
            return False
        planned = {c for c in told.get("cells", ()) if not is_canary(str(c).partition("::")[0])}
        return planned <= self.finished()

    def finished(self) -> frozenset[str]:
        """Ids of the cells that have a record."""
        found = map(run_folder.read_json, self.run.root.glob("cells/*/*/*/record.json"))
        return frozenset(str(r["cell"]["id"]) for r in found if isinstance(r, dict))

    def last_error(self) -> str:
        """What its last attempt said before it gave up; "" where that was nothing."""
        with suppress(OSError), self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - LAST_BYTES))
            lines = log.read().decode("utf-8", "replace").splitlines()
            return next((x for x in reversed(lines) if x.startswith("error: ")), "")
        return ""
